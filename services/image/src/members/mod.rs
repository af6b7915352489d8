//! Members: the projects that an image is shared with, and what they say to it. They live in the image's
//! own record, so the record is their guard.

mod actions;
mod api;

pub(crate) use api::cards;

#[cfg(test)]
mod tests;
