//! The engine: the state of one set, and every decision about it.
//!
//! There is one engine per live set, behind a lock of the host. Beside it stand the machines that a host drives:
//! [`load::Loader`] builds the engine from the spare, [`commit::Committer`] makes changes durable, and one [`machine::Machine`] per
//! repair context turns a failed write into stored content, or a failed read into what can be read. The lookup table is shared with readers that take
//! no lock.

pub mod commit;
pub mod load;

mod claims;
mod context;
mod jobs;
mod limits;
mod map;
mod set;
mod settings;
mod storage;
mod tell;
mod trust;

pub use context::Context;
pub use jobs::order::{release, relocate};
pub use jobs::{host, machine, order, repair, reread};
pub use limits::{CHANGES_MIN, CONTEXTS_MAX, WINDOW_GROUPS, WINDOW_SECTORS};
pub use map::changes::Change;
pub use map::list;
pub use map::slots::SlotCounts;
pub use set::Engine;
pub use settings::{Settings, Topology};
pub use storage::{Storage, StorageSizes};
pub use tell::counters::Counters;
pub use tell::notice::{self, Class, Notice, NOTICES_MAX};
pub use trust::mode::{FailReason, Mode, NoRemapReason};
pub use trust::success::Success;
pub use trust::{breaker, mode};
