//! The path of a bio: in `map`, in `end_io`, and when it was held and goes on.

use remap_core::error::ErrorKind;
use remap_core::path::{self, AfterError, Direction, Discard, Failed, Request};
use remap_core::units::Sector;

use crate::bind::arc::KArc;
use crate::bind::bio::{Bio, Ended, Mapped, Op, Status};
use crate::bind::held::{HeldBio, HeldList};
use crate::bind::sync::{Entered, SpinLock};
use crate::bind::time::{monotonic_ms, tick};
use crate::set::{Held, PerBio, Set, Shared, Way};
use crate::status::{result_of, status_of};

/// Directs a bio that arrives.
#[inline]
pub fn map(set: &KArc<Set>, bio: Bio<'_, PerBio>) -> Mapped {
    match bio.op() {
        Op::Read | Op::Write if bio.has_sectors() => transfer(set, bio),
        Op::Write | Op::Flush => flush(set, bio),
        Op::WriteZeroes if bio.has_sectors() => transfer(set, bio),
        Op::Discard if bio.has_sectors() => discard(set, bio),
        // Nothing else is offered to dm core.
        _ => bio.kill(),
    }
}

#[inline]
fn enter(set: &Set, request: &Request) -> Entered {
    set.gate.enter(set.regions.lane(request.first, request.sectors, request.write))
}

#[inline]
fn transfer(set: &KArc<Set>, mut bio: Bio<'_, PerBio>) -> Mapped {
    let first = bio.target_sector();
    let (write, fua) = (bio.op().writes(), bio.is_fua());
    let request = Request { first: Sector(first), sectors: bio.sectors(), write, nowait: bio.is_nowait() };
    let entered = enter(set, &request);
    let direction = path::direct(set.store.table(), &set.geometry, &set.access, set.block_sectors, request);
    match direction {
        Direction::Main { sectors } => {
            bio.accept_partial(sectors);
            *bio.data_mut() = PerBio { first, way: Way::Main, entered: Some(entered), fua, failed: None };
            bio.redirect(&set.pair.main, set.pair.main_offset.wrapping_add(first));
            bio.remapped()
        }
        Direction::Spare { sector, slot, sectors } => {
            bio.accept_partial(sectors);
            *bio.data_mut() =
                PerBio { first, way: Way::Slot(slot.0), entered: Some(entered), fua, failed: None };
            bio.redirect(&set.pair.spare, set.pair.spare_offset.wrapping_add(sector));
            bio.remapped()
        }
        other => {
            set.gate.leave(entered);
            bio.data_mut().first = first;
            bio.data_mut().fua = fua;
            keep(set, bio, other)
        }
    }
}

/// The directions in which a bio is kept or fails at once; it has left the gate.
fn keep(set: &KArc<Set>, mut bio: Bio<'_, PerBio>, direction: Direction) -> Mapped {
    match direction {
        Direction::Defer { sectors } => {
            bio.accept_partial(sectors);
            let (held, mapped) = bio.map_hold();
            // The hold may have ended before the bio was in the list: the worker looks again.
            hand_over(set, &set.deferred, held, || set.kick_forward());
            mapped
        }
        Direction::AskEngine { sectors } => {
            bio.accept_partial(sectors);
            let (held, mapped) = bio.map_hold();
            hand_over(set, &set.asking, held, || set.kick_repair());
            mapped
        }
        Direction::Repair { sectors } => {
            bio.accept_partial(sectors);
            bio.data_mut().failed = Some(Status::IOERR);
            let (held, mapped) = bio.map_hold();
            hand_over(set, &set.failed, held.spent(), || set.kick_repair());
            mapped
        }
        Direction::Refuse(ErrorKind::Again) => {
            let (held, mapped) = bio.map_hold();
            held.complete(Status::AGAIN);
            mapped
        }
        Direction::Refuse(_) | Direction::Main { .. } | Direction::Spare { .. } => bio.kill(),
    }
}

/// Puts a bio into one of the set's lists and wakes whoever takes it out. Both under the list's lock: once the bio can be taken out it
/// may complete, and with the last bio the set may go. While the device is suspended without flush nothing is to wait here;
/// that is asked under the lock as well, so that [`push_back`] finds what came before.
fn hand_over<S>(
    set: &Set,
    list: &SpinLock<HeldList<PerBio, S>>,
    bio: HeldBio<PerBio, S>,
    wake: impl FnOnce(),
) {
    let mut list = list.lock();
    if set.handle().is_noflush_suspending() {
        drop(list);
        return requeue(bio);
    }
    list.push(bio);
    wake();
}

/// The device is about to be suspended: without flush, what waits goes back to device-mapper (S19).
pub fn push_back(set: &Set) {
    if !set.handle().is_noflush_suspending() {
        return;
    }
    requeue_all(&set.failed);
    requeue_all(&set.failed_reads);
    requeue_all(&set.asking);
    requeue_all(&set.deferred);
}

/// Takes all bios of a list out under its lock, and gives them back without: what device-mapper does then takes locks of its own.
fn requeue_all<S>(list: &SpinLock<HeldList<PerBio, S>>) {
    // A statement of its own: a guard among the arguments of a call is dropped only when the call has returned.
    let mut waiting = list.lock().take();
    while let Some(bio) = waiting.pop() {
        requeue(bio);
    }
}

/// Gives a bio back to be mapped anew after the next resume.
fn requeue<S>(bio: HeldBio<PerBio, S>) {
    bio.complete(Status::REQUEUE);
}

/// Directs a discard.
fn discard(set: &Set, mut bio: Bio<'_, PerBio>) -> Mapped {
    let first = bio.target_sector();
    let entered = set.gate.enter(set.regions.lane(Sector(first), bio.sectors(), true));
    match path::discard(set.store.table(), &set.access, Sector(first), bio.sectors()) {
        Discard::Main { sectors } => {
            bio.accept_partial(sectors);
            *bio.data_mut() =
                PerBio { first, way: Way::Discard, entered: Some(entered), fua: false, failed: None };
            bio.redirect(&set.pair.main, set.pair.main_offset.wrapping_add(first));
            bio.remapped()
        }
        Discard::Leave { sectors } => {
            set.gate.leave(entered);
            bio.accept_partial(sectors);
            let (held, mapped) = bio.map_hold();
            held.complete(Status::OK);
            mapped
        }
        Discard::Refuse(_) => {
            set.gate.leave(entered);
            bio.kill()
        }
    }
}

/// A flush: copy 0 goes to main, copy 1 to the spare if it holds something new (S8).
fn flush(set: &KArc<Set>, mut bio: Bio<'_, PerBio>) -> Mapped {
    if !set.access.flush_begins() {
        return bio.kill();
    }
    if bio.copy_number() == 0 {
        bio.data_mut().way = Way::FlushMain;
        bio.redirect(&set.pair.main, 0);
        return bio.remapped();
    }
    match set.dirty.flush_begins() {
        Some(mark) => {
            bio.data_mut().way = Way::FlushSpare(mark);
            bio.redirect(&set.pair.spare, 0);
            bio.remapped()
        }
        None => {
            set.access.flush_ended(true);
            let (held, mapped) = bio.map_hold();
            held.complete(Status::OK);
            mapped
        }
    }
}

/// Sees a bio end.
#[inline]
pub fn end_io(set: &KArc<Set>, mut bio: Bio<'_, PerBio>, status: Status) -> Ended {
    let PerBio { first, way, fua, .. } = *bio.data();
    let entered = bio.data_mut().entered.take();
    let leave = || {
        if let Some(entered) = entered {
            set.gate.leave(entered);
        }
    };
    match way {
        Way::Main if status.is_ok() => {
            // Written, or readable after all.
            not_pending(set, first, &bio);
            if bio.op() == Op::Write {
                main_took(set, first);
            }
            leave();
            bio.done(status)
        }
        Way::Slot(_) if status.is_ok() => {
            if bio.op().writes() && !fua {
                set.dirty.mark();
            }
            leave();
            bio.done(status)
        }
        Way::Main | Way::Slot(_) => {
            if matches!(way, Way::Slot(_)) && bio.op().writes() {
                // Part of it may have reached the slot.
                set.dirty.mark();
            }
            leave();
            if judge(set, &bio, status) != AfterError::Repair {
                if bio.op() == Op::Write && set.access.breaker_is_open() {
                    set.kick_commit();
                }
                return bio.done(status);
            }
            bio.data_mut().failed = Some(status);
            let write = bio.op().writes();
            let (held, ended) = bio.end_hold(status);
            let list = if write { &set.failed } else { &set.failed_reads };
            hand_over(set, list, held, || set.kick_repair());
            ended
        }
        Way::FlushMain | Way::FlushSpare(_) => {
            if let (Way::FlushSpare(mark), true) = (way, status.is_ok()) {
                set.dirty.flushed(mark);
            }
            set.access.flush_ended(status.is_ok());
            if !status.is_ok() {
                set.kick_commit();
            }
            bio.done(status)
        }
        Way::Discard => {
            // A hint that main did not take is no failed write.
            if status.is_ok() {
                not_pending(set, first, &bio);
            }
            leave();
            bio.done(status)
        }
        Way::Settled => bio.done(status),
    }
}

/// Main did what a bio asked of it. With nothing pending that is one load.
#[inline]
fn not_pending(set: &Set, first: u64, bio: &Bio<'_, PerBio>) {
    let pending = set.store.pending();
    if pending.any() {
        pending.clear(Sector(first), u64::from(bio.sent_sectors()));
    }
}

/// A write on main succeeded: core has to know, soon if the breaker waits for it.
#[inline]
fn main_took(set: &KArc<Set>, first: u64) {
    if set.evidence.written(tick(), Sector(first), monotonic_ms) && set.access.breaker_is_open() {
        set.kick_commit();
    }
}

/// What core makes of an error.
fn judge(set: &Set, bio: &Bio<'_, PerBio>, status: Status) -> AfterError {
    let Err(error) = result_of(status) else { return AfterError::PassUp };
    let failed = Failed { write: bio.op().writes(), readahead: bio.is_readahead(), error };
    path::after_error(&set.access, failed)
}

/// The worker that sends on the bios of groups that are no longer held. It may wait for room in a device's queue, so no other work
/// is done here.
pub fn forward(set: &KArc<Set>) {
    let seen = set.steps();
    let mut waiting = set.deferred.lock().take();
    while let Some(bio) = waiting.pop() {
        let request = request_of(&bio);
        let entered = enter(set, &request);
        match path::direct_whole(set.store.table(), &set.geometry, &set.access, set.block_sectors, request) {
            Direction::Defer { .. } => {
                set.gate.leave(entered);
                hand_over(set, &set.deferred, bio, || ());
                if set.steps() != seen {
                    // The step that ended the hold meanwhile found the list empty.
                    set.kick_forward();
                }
            }
            direction => send(set, bio, direction, entered),
        }
    }
}

/// Answers a read of suspect or lost sectors.
pub fn answer(set: &KArc<Set>, bio: Held) {
    let request = request_of(&bio);
    let entered = enter(set, &request);
    let direction =
        set.store.with(|engine| path::suspect_read(engine, &set.access, set.block_sectors, request));
    send(set, bio, direction.unwrap_or(Direction::Refuse(ErrorKind::Io)), entered);
}

fn request_of(bio: &Held) -> Request {
    // A held bio may wait, whatever was asked of it when it arrived.
    let write = bio.op().writes();
    Request { first: Sector(bio.data().first), sectors: bio.sent_sectors(), write, nowait: false }
}

/// Sends a held bio as a whole where core says.
fn send(set: &KArc<Set>, mut bio: Held, direction: Direction, entered: Entered) {
    let first = bio.data().first;
    match direction {
        Direction::Main { .. } => {
            bio.data_mut().way = Way::Main;
            bio.data_mut().entered = Some(entered);
            bio.submit(&set.pair.main, set.pair.main_offset.saturating_add(first));
        }
        Direction::Spare { sector, slot, .. } => {
            bio.data_mut().way = Way::Slot(slot.0);
            bio.data_mut().entered = Some(entered);
            bio.submit(&set.pair.spare, set.pair.spare_offset.saturating_add(sector));
        }
        Direction::Defer { .. } => {
            set.gate.leave(entered);
            hand_over(set, &set.deferred, bio, || set.kick_forward());
        }
        Direction::AskEngine { .. } => {
            set.gate.leave(entered);
            hand_over(set, &set.asking, bio, || set.kick_repair());
        }
        Direction::Repair { .. } => {
            set.gate.leave(entered);
            bio.data_mut().failed = Some(Status::IOERR);
            let list = if bio.op().writes() { &set.failed } else { &set.failed_reads };
            hand_over(set, list, bio.spent(), || set.kick_repair());
        }
        Direction::Refuse(error) => {
            set.gate.leave(entered);
            bio.complete(status_of(error));
        }
    }
}
