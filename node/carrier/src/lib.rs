//! The node API over gRPC with mutual TLS: one stream of messages per node, and apart from it, over
//! connections of their own, image bytes and the questions that controllers pass on to each other.
//!
//! Messages are the JSON of the types in `orders`: both ends are this program, of two versions at most,
//! and JSON keeps unknown fields harmless without a schema compiler in the build.

mod client;
mod codec;
mod server;
mod tls;

pub use client::{Controllers, PeerClient, RemoteImages};
pub use server::{Served, Server};
pub use tls::Identity;
