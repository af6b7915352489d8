//! Servers, through the API, in a simulated cloud.

mod check;
mod crash;
mod life;
mod lists;
mod refusals;
mod shapes;
pub(crate) mod world;
