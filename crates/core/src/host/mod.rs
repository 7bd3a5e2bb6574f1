//! Decisions of a host about serving sets, of which none needs a lock or a state of the engine that it does not ask for.
//!
//! A host carries out: it takes the numbers and results that these functions want, and does what they answer.

pub mod claims;
pub mod deadlines;
pub mod ended;
pub mod limits;
pub mod log;
pub mod opening;
pub mod refusal;
pub mod service;
pub mod turn;
pub mod verdict;
