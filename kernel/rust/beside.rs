//! What is kept beside every bio, and bios that the set keeps.

use remap_core::host::ended::Way;

use crate::bind::bio::Status;
use crate::bind::held::{self, HeldBio};
use crate::bind::sync::Entered;

/// What is kept beside every bio.
#[derive(Default)]
pub struct PerBio {
    /// First sector of the mapped device.
    pub first: u64,
    /// Where it is.
    pub way: Way,
    /// Whether its content must be durable when it completes. Of the bio itself the block layer may take the flag away.
    pub fua: bool,
    /// Its place in the gate, while it is on a device.
    pub entered: Option<Entered>,
    /// How it failed, when it goes to a repair context.
    pub failed: Option<Status>,
}

impl held::Settle for PerBio {
    fn settle(&mut self) {
        self.way = Way::Settled;
    }
}

/// A bio that the set keeps and may send.
pub type Held = HeldBio<PerBio, held::Fresh>;
/// A bio that the set keeps and only completes.
pub type Spent = HeldBio<PerBio, held::Spent>;
