//! Unified limits.

pub mod record;
