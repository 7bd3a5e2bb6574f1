//! What the machines of repair contexts have in common: what a host tells them, and what they have it do.
//!
//! A host runs one machine at a time in each repair context, with that context's buffer. It calls [`Machine::next`] with
//! [`Event::Go`], does what comes back, and calls again with the event that [`Next`] names, until [`Next::Done`].
//!
//! [`Machine::next`]: crate::engine::machine::Machine::next

use crate::engine::limits::{HELD_MS, UNIT_SECTORS_MAX, WINDOW_SECTORS};
use crate::error::ErrorKind;
use crate::gate::Lanes;
use crate::io::IoRequest;
use crate::units::SECTORS_PER_BLOCK;

/// Bytes of the buffer that a host sets aside for one repair context: a window, and two groups beside it.
pub const CONTEXT_BUFFER_BYTES: usize = (WINDOW_SECTORS + 2 * SECTORS_PER_BLOCK) as usize * 512;
/// Where the group beside the window begins in the buffer, in sectors.
pub(super) const SCRATCH_SECTOR: u32 = WINDOW_SECTORS;
/// Where the second group beside it begins: of a physical block of which a write may cost more than it carries.
pub(super) const KEPT_SECTOR: u32 = WINDOW_SECTORS + SECTORS_PER_BLOCK;
/// The same for a physical block of more than a group, which takes the place of the end of a window.
pub(super) const KEPT_WIDE_SECTOR: u32 = WINDOW_SECTORS - UNIT_SECTORS_MAX;

/// What the host tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// First call for a job, or the call again after [`Next::Wait`] or [`Next::Yield`].
    Go,
    /// The content was loaded.
    Loaded,
    /// The content was stored.
    Stored,
    /// The request has ended.
    Io(Result<(), ErrorKind>),
    /// The gate was drained.
    Drained,
    /// Some had not left the gate within the time that the drain was given, or when the job was told to stop.
    Undrained,
    /// [`Engine::commit_outcome`](crate::engine::Engine::commit_outcome) is there.
    Committed,
    /// Whether the two parts of the buffer are the same, as [`same`] says.
    Compared(bool),
}

/// What the host does next for this context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Copy this part of the bio's content to the start of the buffer; then [`Event::Loaded`].
    Load {
        /// From this sector of the bio on.
        offset_sectors: u32,
        /// Length in sectors.
        sectors: u32,
    },
    /// Copy from the start of the buffer into this part of the bio; then [`Event::Stored`].
    Store {
        /// From this sector of the bio on.
        offset_sectors: u32,
        /// Length in sectors.
        sectors: u32,
    },
    /// Carry out this request with the context's buffer; then [`Event::Io`].
    Io(IoRequest),
    /// Wake the committer, wait until [`Engine::commit_outcome`](crate::engine::Engine::commit_outcome) of this context is there; then [`Event::Committed`].
    Commit,
    /// Drain the gate; then [`Event::Drained`], or [`Event::Undrained`] if it ends before.
    Drain(Drain),
    /// Compare two parts of the buffer; then [`Event::Compared`].
    Compare(Comparison),
    /// Groups were let go that others may wait for: let these look again; then [`Event::Go`].
    Yield,
    /// Another context works on these groups: call again with [`Event::Go`] when one has finished a window.
    Wait,
    /// The job ends like this.
    Done(Result<(), ErrorKind>),
}

/// A drain of the gate: waiting until all have left some of its lanes that were there when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// The lanes.
    pub lanes: Lanes,
    /// The longest that the host waits, in milliseconds; `None`: as long as it takes.
    pub within_ms: Option<u64>,
    /// Whether it ends, with [`Event::Undrained`], when the job is to stop ([`Machine::stop`](crate::engine::machine::Machine::stop)).
    pub may_stop: bool,
}

impl Drain {
    /// All bios: what nobody is led to any more becomes something else.
    pub(super) const ALL: Drain = Drain::of(Lanes::ALL);

    /// Bios that change content, however long they take. While a group is held a reader may still be where its content was: that stays
    /// there until all have been drained, and a disk may take many seconds over a read.
    pub(super) const fn of(lanes: Lanes) -> Drain {
        Drain { lanes, within_ms: None, may_stop: false }
    }

    /// The same for an order that holds nobody: who ordered it may have it end, and a disk may never answer.
    pub(super) const fn of_order(lanes: Lanes) -> Drain {
        Drain { lanes, within_ms: None, may_stop: true }
    }

    /// The same while healthy groups are held, whose users wait.
    pub(super) const fn while_held(lanes: Lanes) -> Drain {
        Drain { lanes, within_ms: Some(HELD_MS), may_stop: false }
    }
}

/// Two parts of a context's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Where one begins, in sectors.
    pub one: u32,
    /// Where the other begins, in sectors.
    pub other: u32,
    /// Length of each in sectors.
    pub sectors: u32,
}

/// Whether two parts of a context's buffer are the same, byte for byte. A buffer that is too small has nothing in common.
pub fn same(buffer: &[u8], what: Comparison) -> bool {
    let part = |from: u32| {
        let from = (from as usize).checked_mul(512)?;
        buffer.get(from..from.checked_add((what.sectors as usize).checked_mul(512)?)?)
    };
    matches!((part(what.one), part(what.other)), (Some(one), Some(other)) if one == other)
}

/// Whether a repair context takes a failed read where a read and a write wait. All others take the write: that is what memory and callers
/// wait for. But one is for reads, or none would ever be begun while writes keep failing.
pub const fn reads_first(context: usize, contexts: usize) -> bool {
    context == 0 && contexts > 1
}

/// How many of a host's repair contexts may be at failed reads at once: all but one, so that a failed write never waits for a read that
/// takes its time.
pub const fn reads_at_once(contexts: usize) -> usize {
    if contexts > 1 {
        contexts - 1
    } else {
        1
    }
}
