//! A small client of QEMU's monitor protocol: one JSON text a line, numbered commands, events, file
//! descriptors. It types only what this crate uses, and ignores what it does not know: another QEMU's
//! new events, fields and values end no session.

mod client;
mod message;
#[cfg(test)]
mod tests;

pub use client::{Client, Events};
pub use message::{Event, Message, Version};
