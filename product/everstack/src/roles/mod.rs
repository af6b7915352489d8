//! What the program can be: a whole cloud (`up`), a controller, a node; and the commands that look at a
//! cloud or end it.

mod admin;
mod controller;
mod down;
mod node;
mod status;
mod up;

pub use admin::{node_certificate, password};
pub use controller::controller;
pub use down::down;
pub use node::node;
pub use status::status;
pub use up::{say, up, up_on};
