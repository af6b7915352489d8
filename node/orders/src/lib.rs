//! Plain data that controllers and nodes share, and the link that carries it. No behaviour.
//!
//! An **order** is the whole wanted state of one object on one node; the newest wins. It carries an
//! [`base::Epoch`] (who may run the object) and a [`base::Version`] (which order is newer). Absence is
//! never an order: what shall end is ordered [`Wanted::Gone`] until the node confirms it.
//! A **report** is what the node sees; it counts only while the record names this node and epoch.

mod image;
mod link;
mod node;
mod question;
mod vm;

pub use image::{ImageRef, ImageSource};
pub use link::{Connector, ControllerEnd, NodeEnd, Order, Report, ToController, ToNode, link};
pub use node::{Inventory, NodeHello};
pub use question::{Answer, Question};
pub use vm::{ConfigDrive, Reboot, VmId, VmOrder, VmReport, VmSpec, VmState, Wanted};
