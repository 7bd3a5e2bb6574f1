//! What a check of the module found.

/// One check that held, and what it saw.
pub struct Finding {
    /// What was checked.
    pub name: &'static str,
    /// The fact it was decided by.
    pub seen: String,
}
