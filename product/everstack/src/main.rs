//! Everstack.
fn main() {}
