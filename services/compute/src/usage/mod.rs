//! Usage: how long servers ran, deleted ones included as long as they are kept. Nothing is stored here.

mod api;
mod count;

pub(crate) use api::cards;

#[cfg(test)]
mod tests;
