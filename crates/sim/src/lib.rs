//! A deterministic world around `remap-core`: disks that tear, lose, reorder and fail, crashes at every step, and an oracle
//! that knows what may be read (docs/testing.md).

pub mod bios;
pub mod checks;
pub mod content;
mod cost;
pub mod discards;
pub mod disk;
pub mod evidence;
pub mod history;
mod hosting;
mod known;
pub mod load;
pub mod metadata;
pub mod misfortune;
pub mod oracle;
pub mod orders;
pub mod plan;
pub mod reads;
pub mod refusals;
pub mod repairs;
pub mod rng;
pub mod session;
pub mod slots;
pub mod under_way;
pub mod world;
