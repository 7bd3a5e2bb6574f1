//! What follows when a bio has ended on a device: what it tells of main and of the spare, and where it goes (S8, S14, S17).

use crate::error::ErrorKind;
use crate::evidence::Evidence;
use crate::io::Device;
use crate::path::{after_error, Access, AfterError, Failed, FlushMark, Place, SpareDirty};
use crate::pending::Pending;
use crate::units::{Sector, Slot};

/// Where a bio is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Not sent, or settled: its status is final.
    #[default]
    Settled,
    /// Sent to main.
    Main,
    /// Sent to the spare, to this slot and the following ones.
    Slot(Slot),
    /// A flush of main.
    FlushMain,
    /// A flush of the spare.
    FlushSpare(FlushMark),
    /// A discard of main.
    Discard,
}

impl Way {
    /// The device that failed a read or write; `None` if none did, as it was not sent.
    pub const fn device(self) -> Option<Device> {
        match self {
            Way::Main | Way::FlushMain | Way::Discard => Some(Device::Main),
            Way::Slot(_) | Way::FlushSpare(_) => Some(Device::Spare),
            Way::Settled => None,
        }
    }

    /// Where a failed read was. One that was not sent is read where its sectors live now, main first.
    pub const fn place(self) -> Place {
        match self {
            Way::Slot(slot) => Place::Spare(slot),
            _ => Place::Main,
        }
    }
}

/// A bio that has ended, as its host knows it. Each is asked only where it matters.
pub trait Ended {
    /// First sector of the mapped device.
    fn first(&self) -> Sector;
    /// Length in sectors, as it was sent.
    fn sectors(&self) -> u32;
    /// Whether it stores content: a write, or a write of zeroes.
    fn stores(&self) -> bool;
    /// Whether it brings content: a write. What a device does with zeroes proves nothing of what it takes.
    fn brings_content(&self) -> bool;
    /// Whether its content was to be durable at the end.
    fn fua(&self) -> bool;
    /// Whether it is read-ahead.
    fn readahead(&self) -> bool;
    /// Whether it ended well.
    fn is_ok(&self) -> bool;
    /// How it ended.
    fn result(&self) -> Result<(), ErrorKind>;
    /// A number of the host that changes every few milliseconds.
    fn tick(&self) -> u64;
    /// The host's clock in milliseconds.
    fn now_ms(&self) -> u64;
}

/// What is told of the ends of bios; no locks.
pub struct Witnesses<'a> {
    /// Modes, and flushes under way.
    pub access: &'a Access,
    /// What of the spare is not durable.
    pub dirty: &'a SpareDirty,
    /// When main took a write.
    pub evidence: &'a Evidence,
    /// What of main could not be read.
    pub pending: &'a Pending<'a>,
}

/// What the host does with the bio, after it has left the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It ends as it did below.
    Done,
    /// The same, and the committer is woken: the engine has to know soon.
    Tell,
    /// It goes to a repair context: with the failed writes if it stores content, else with the failed reads.
    Repair,
}

/// Sees a bio end. In any context.
#[inline(always)]
pub fn ended(to: &Witnesses<'_>, way: Way, bio: &impl Ended) -> After {
    match way {
        Way::Main if bio.is_ok() => {
            // Written, or readable after all.
            not_pending(to, bio);
            let news = bio.brings_content() && to.evidence.written(bio.tick(), bio.first(), || bio.now_ms());
            told(news && to.access.breaker_is_open())
        }
        Way::Slot(_) if bio.is_ok() => {
            if bio.stores() && !bio.fua() {
                to.dirty.mark();
            }
            After::Done
        }
        Way::Main | Way::Slot(_) => {
            let error = bio.result().err();
            let in_slot = matches!(way, Way::Slot(_));
            let how = How { stores: bio.stores(), brings_content: bio.brings_content(), in_slot };
            failed(to.access, to.dirty, how, bio.readahead(), error)
        }
        Way::FlushMain | Way::FlushSpare(_) => {
            let ok = bio.is_ok();
            if let (Way::FlushSpare(mark), true) = (way, ok) {
                to.dirty.flushed(mark);
            }
            to.access.flush_ended(ok);
            told(!ok)
        }
        Way::Discard => {
            // A hint that main did not take is no failed write.
            if bio.is_ok() {
                not_pending(to, bio);
            }
            After::Done
        }
        Way::Settled => After::Done,
    }
}

const fn told(news: bool) -> After {
    match news {
        true => After::Tell,
        false => After::Done,
    }
}

/// Main did what a bio asked of it. With nothing pending that is one load.
#[inline(always)]
fn not_pending(to: &Witnesses<'_>, bio: &impl Ended) {
    if to.pending.any() {
        to.pending.clear(bio.first(), u64::from(bio.sectors()));
    }
}

/// A read or write that failed.
#[derive(Clone, Copy)]
struct How {
    stores: bool,
    brings_content: bool,
    in_slot: bool,
}

/// Takes values and no bio: what is referred to is put into memory, on the way of those that succeed as well.
#[cold]
#[inline(never)]
fn failed(access: &Access, dirty: &SpareDirty, how: How, readahead: bool, error: Option<ErrorKind>) -> After {
    if how.in_slot && how.stores {
        // Part of it may have reached the slot.
        dirty.mark();
    }
    let verdict = error.map_or(AfterError::PassUp, |error| {
        after_error(access, Failed { write: how.stores, readahead, error })
    });
    match verdict {
        AfterError::Repair => After::Repair,
        AfterError::PassUp => told(how.brings_content && access.breaker_is_open()),
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;
    use std::vec::Vec;

    use super::*;
    use crate::engine::StorageSizes;
    use crate::format::Geometry;

    #[derive(Clone, Copy)]
    struct Bio {
        stores: bool,
        brings_content: bool,
        fua: bool,
        readahead: bool,
        result: Result<(), ErrorKind>,
    }

    const WRITE: Bio =
        Bio { stores: true, brings_content: true, fua: false, readahead: false, result: Ok(()) };
    const READ: Bio = Bio { stores: false, brings_content: false, ..WRITE };
    const ZEROES: Bio = Bio { brings_content: false, ..WRITE };

    impl Ended for Bio {
        fn first(&self) -> Sector {
            Sector(16)
        }
        fn sectors(&self) -> u32 {
            8
        }
        fn stores(&self) -> bool {
            self.stores
        }
        fn brings_content(&self) -> bool {
            self.brings_content
        }
        fn fua(&self) -> bool {
            self.fua
        }
        fn readahead(&self) -> bool {
            self.readahead
        }
        fn is_ok(&self) -> bool {
            self.result.is_ok()
        }
        fn result(&self) -> Result<(), ErrorKind> {
            self.result
        }
        fn tick(&self) -> u64 {
            7
        }
        fn now_ms(&self) -> u64 {
            700
        }
    }

    /// All that is told of ends, of a spare that is clean.
    struct World {
        access: Access,
        dirty: SpareDirty,
        evidence: Evidence,
        words: Vec<AtomicU64>,
    }

    impl World {
        fn new() -> World {
            let sizes = StorageSizes::for_geometry(&Geometry::new(2048, None).unwrap());
            let words = (0..sizes.pending).map(|_| AtomicU64::new(0)).collect();
            let world =
                World { access: Access::new(), dirty: SpareDirty::new(), evidence: Evidence::new(), words };
            world.dirty.flushed(world.dirty.flush_begins().unwrap());
            world
        }

        fn end(&self, way: Way, bio: Bio) -> After {
            self.end_with(&Pending::new(&self.words).unwrap(), way, bio)
        }

        fn end_with(&self, pending: &Pending<'_>, way: Way, bio: Bio) -> After {
            let World { access, dirty, evidence, .. } = self;
            ended(&Witnesses { access, dirty, evidence, pending }, way, &bio)
        }

        fn is_dirty(&self) -> bool {
            self.dirty.flush_begins().is_some()
        }

        /// Whether a write that succeeds now would be the first of its tick.
        fn has_evidence(&self) -> bool {
            !self.evidence.written(7, Sector(0), || 0)
        }
    }

    const SLOT: Way = Way::Slot(Slot(3));

    #[test]
    fn s08_a_write_to_a_slot_needs_a_flush_of_the_spare_unless_it_was_durable() {
        for (bio, dirty) in
            [(WRITE, true), (ZEROES, true), (READ, false), (Bio { fua: true, ..WRITE }, false)]
        {
            let world = World::new();
            assert_eq!((world.end(SLOT, bio), world.is_dirty()), (After::Done, dirty));
        }
        // Part of a failed one may be there, FUA or not.
        let world = World::new();
        let failed = Bio { fua: true, result: Err(ErrorKind::Medium), ..WRITE };
        assert_eq!((world.end(SLOT, failed), world.is_dirty()), (After::Repair, true));
        let world = World::new();
        assert_eq!(world.end(SLOT, Bio { result: Err(ErrorKind::Medium), ..READ }), After::Repair);
        assert!(!world.is_dirty());
        assert_eq!(world.end(Way::Main, failed), After::Repair);
        assert!(!world.is_dirty(), "the spare has nothing of it");
    }

    #[test]
    fn s14_only_a_write_of_content_that_main_took_is_evidence() {
        for (way, bio, evidence) in [
            (Way::Main, WRITE, true),
            (Way::Main, ZEROES, false),
            (Way::Main, READ, false),
            (SLOT, WRITE, false),
            (Way::Discard, ZEROES, false),
            (Way::Main, Bio { result: Err(ErrorKind::Io), ..WRITE }, false),
        ] {
            let world = World::new();
            world.end(way, bio);
            assert_eq!(world.has_evidence(), evidence, "{way:?}");
        }
    }

    #[test]
    fn s16_while_the_breaker_is_open_the_engine_hears_soon_of_writes_on_main() {
        let world = || World { access: Access::with_open_breaker(), ..World::new() };
        let failed = Bio { result: Err(ErrorKind::Io), ..WRITE };
        let zeroes = Bio { result: Err(ErrorKind::Io), ..ZEROES };
        for (way, bio, after) in [
            (Way::Main, WRITE, After::Tell),
            (Way::Main, failed, After::Tell),
            (SLOT, failed, After::Tell),
            (Way::Main, ZEROES, After::Done),
            (Way::Main, zeroes, After::Done),
            (Way::Main, READ, After::Done),
            (SLOT, WRITE, After::Done),
        ] {
            assert_eq!(world().end(way, bio), after, "{way:?}");
        }
        // The second of a tick is no news.
        let world = world();
        assert_eq!([world.end(Way::Main, WRITE), world.end(Way::Main, WRITE)], [After::Tell, After::Done]);
        // And with the breaker closed it waits for the next step of a machine.
        assert_eq!(World::new().end(Way::Main, WRITE), After::Done);
    }

    #[test]
    fn s02_what_main_did_is_no_longer_pending() {
        for (way, bio, stays) in [
            (Way::Main, WRITE, false),
            (Way::Main, READ, false),
            (Way::Main, ZEROES, false),
            (Way::Discard, ZEROES, false),
            (Way::Discard, Bio { result: Err(ErrorKind::NotSupported), ..ZEROES }, true),
            (Way::Main, Bio { result: Err(ErrorKind::Io), ..WRITE }, true),
            (SLOT, WRITE, true),
        ] {
            let world = World::new();
            let pending = Pending::new(&world.words).unwrap();
            pending.watch(Sector(16), 8);
            assert_eq!(pending.confirm(Sector(16), 8, 0xff, 0), 0xff);
            assert!(pending.any());
            world.end_with(&pending, way, bio);
            assert_eq!(pending.any(), stays, "{way:?}");
        }
    }

    #[test]
    fn s08_a_flush_that_failed_has_writes_refused_and_is_told_soon() {
        let world = World::new();
        world.dirty.mark();
        let mark = world.dirty.flush_begins().unwrap();
        assert!(world.access.flush_begins() && world.access.flush_begins());
        let failed = Bio { result: Err(ErrorKind::Io), ..READ };
        assert_eq!((world.end(Way::FlushSpare(mark), failed), world.is_dirty()), (After::Tell, true));
        assert!(!world.access.flush_begins());
        assert_eq!(world.end(Way::FlushSpare(mark), READ), After::Done);
        assert!(!world.is_dirty());
    }

    #[test]
    fn s17_read_ahead_that_fails_is_no_repair_and_a_failed_discard_neither() {
        let world = World::new();
        let failed = Bio { result: Err(ErrorKind::Medium), ..READ };
        assert_eq!(world.end(Way::Main, failed), After::Repair);
        assert_eq!(world.end(Way::Main, Bio { readahead: true, ..failed }), After::Done);
        let discard = Bio { result: Err(ErrorKind::Io), ..ZEROES };
        assert_eq!(world.end(Way::Discard, discard), After::Done);
        assert_eq!(world.end(Way::Settled, failed), After::Done);
    }

    #[test]
    fn s05_the_device_that_failed_a_bio_is_the_one_that_it_was_sent_to() {
        assert_eq!(Way::Main.device(), Some(Device::Main));
        assert_eq!(SLOT.device(), Some(Device::Spare));
        assert_eq!(Way::Settled.device(), None);
        assert_eq!((Way::Main.place(), SLOT.place()), (Place::Main, Place::Spare(Slot(3))));
    }
}
