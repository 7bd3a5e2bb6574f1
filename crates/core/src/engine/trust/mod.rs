//! How far main, the spare and the set itself are trusted.

pub mod breaker;
pub mod mode;
pub mod success;
pub(in crate::engine) mod weigh;

mod judge;
