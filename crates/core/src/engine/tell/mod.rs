//! What happened, for a host to tell.

pub mod counters;
pub mod notice;
