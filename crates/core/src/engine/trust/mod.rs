//! How far main, the spare and the set itself are trusted.

pub mod breaker;
pub mod mode;
