//! Log-in: proofs in, a token out; and what a token's holder may ask about itself. Holds no state.

pub(crate) mod api;
pub(crate) mod login;
pub(crate) mod wire;
