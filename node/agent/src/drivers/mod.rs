//! Drivers: one trait for each part of the outside world, real ones, and a fake that behaves.

pub mod hypervisor;
