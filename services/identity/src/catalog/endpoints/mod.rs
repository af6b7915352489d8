//! `/endpoints`. Its guards are those of the catalog.

pub(crate) mod actions;
pub(crate) mod api;
pub(crate) mod wire;
