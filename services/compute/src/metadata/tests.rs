//! What guests read.
