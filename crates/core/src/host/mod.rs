//! Decisions of a host that are about more than one set, or about how a set is served: no state of the engine is here.

pub mod deadlines;
