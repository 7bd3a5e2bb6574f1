//! What happened, for a host to tell.

pub mod notice;
