//! Lookup without locks: summary, buckets, records. `docs/lookup.md` is the design.

mod record;
mod sizes;
mod table;

pub use record::{Record, Use};
pub use sizes::TableSizes;
pub(crate) use table::hash;
pub use table::{Run, Table};
