//! What is under way in a session: it knows nothing of what becomes of it.

pub mod bio;
pub mod context;
pub mod cost;
pub mod failed;
pub mod flight;
pub mod gate;
pub mod order;
pub mod reading;
pub mod successes;
pub mod tries;
