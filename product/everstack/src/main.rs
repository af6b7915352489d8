//! The `everstack` program.
fn main() {}
