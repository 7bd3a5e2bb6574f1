//! Health of a set: evidence about main, a score that can be explained, and their place on the spare (`docs/health.md`).
//!
//! A host tells of failures, of successes and of time, asks for the score, and carries out the saves of [`store`]. All but [`Zones`] is
//! under one lock of the host. Nothing here is in the path of a bio but [`Zones::sample`].

pub mod burst;
pub mod clock;
pub mod counters;
pub mod decay;
pub mod evidence;
mod facts;
mod failures;
pub mod points;
pub mod risk;
pub mod scan;
pub mod score;
pub mod spot;
pub mod spots;
mod standing;
mod state;
pub mod store;
pub mod tables;
pub mod zone;

pub use facts::SetFacts;
pub use risk::News;
pub use state::{Health, Storage, WrongStorage, FAILURE_HALF, MAP_BYTES, MAP_BYTES_MAX, SLOW_HALF};
