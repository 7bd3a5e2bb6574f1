//! The path of a bio: in `map`, in `end_io`, and when it was held and goes on.

use remap_core::error::ErrorKind;
use remap_core::host::ended::{ended, After, Ended, Way, Witnesses};
use remap_core::io::Device as Which;
use remap_core::path::{self, Direction, Discard, Request};
use remap_core::units::Sector;

use crate::beside::{Held, PerBio};
use crate::bind::bio::{self, Bio, Mapped, Op, Status};
use crate::bind::dm::Device;
use crate::bind::held::{HeldBio, HeldList};
use crate::bind::sync::{Entered, SpinLock};
use crate::bind::time::{monotonic_ms, tick};
use crate::bind::work::Wired;
use crate::set::Set;
use crate::state::State;
use crate::status::{result_of, status_of};

/// Directs a bio that arrives.
#[inline]
pub fn map(set: &Wired<Set>, bio: Bio<'_, PerBio>) -> Mapped {
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
fn transfer(set: &Wired<Set>, bio: Bio<'_, PerBio>) -> Mapped {
    let (first, write, fua) = (bio.target_sector(), bio.op().writes(), bio.is_fua());
    let request = Request { first: Sector(first), sectors: bio.sectors(), write, nowait: bio.is_nowait() };
    let entered = enter(set, &request);
    let State { store, geometry, access, block_sectors, .. } = &*set.state;
    let direction = path::direct(store.table(), geometry, access, *block_sectors, request);
    dispatch(set, bio, (first, fua), direction, entered)
}

/// A bio that core directs: one that arrives, or one that was held.
trait Directed: Sized {
    /// What the caller gets.
    type Done;
    /// Takes only a part of it, where that can be still.
    fn cut(&mut self, sectors: u32);
    /// What is kept beside it.
    fn beside(&mut self) -> &mut PerBio;
    /// Whether it stores content.
    fn stores(&self) -> bool;
    /// Sends it to a sector of a device.
    fn send(self, device: &Device, sector: u64) -> Self::Done;
    /// Keeps it.
    fn keep(self) -> (Held, Self::Done);
}

impl Directed for Bio<'_, PerBio> {
    type Done = Mapped;

    #[inline]
    fn cut(&mut self, sectors: u32) {
        self.accept_partial(sectors);
    }

    #[inline]
    fn beside(&mut self) -> &mut PerBio {
        self.data_mut()
    }

    fn stores(&self) -> bool {
        self.op().writes()
    }

    #[inline]
    fn send(mut self, device: &Device, sector: u64) -> Mapped {
        self.redirect(device, sector);
        self.remapped()
    }

    fn keep(self) -> (Held, Mapped) {
        self.map_hold()
    }
}

impl Directed for Held {
    type Done = ();

    /// What has waited cannot be split any more, and core directs it as a whole.
    fn cut(&mut self, _sectors: u32) {}

    fn beside(&mut self) -> &mut PerBio {
        self.data_mut()
    }

    fn stores(&self) -> bool {
        self.op().writes()
    }

    fn send(self, device: &Device, sector: u64) {
        self.submit(device, sector);
    }

    fn keep(self) -> (Held, ()) {
        (self, ())
    }
}

/// Has a bio go where core says; the only place that knows what each direction means. `first` and `fua` are the bio's own.
#[inline(always)]
fn dispatch<B: Directed>(
    set: &Wired<Set>,
    bio: B,
    (first, fua): (u64, bool),
    direction: Direction,
    entered: Entered,
) -> B::Done {
    let pair = &set.pair;
    // The two that are sent have an end of their own each: bios in their millions pass here.
    let (what, sectors) = match direction {
        Direction::Main { sectors } => {
            let beside = PerBio { first, way: Way::Main, entered: Some(entered), fua, failed: None };
            return send(bio, sectors, beside, pair.locate(Which::Main, first));
        }
        Direction::Spare { sector, slot, sectors } => {
            let beside = PerBio { first, way: Way::Slot(slot), entered: Some(entered), fua, failed: None };
            return send(bio, sectors, beside, pair.locate(Which::Spare, sector));
        }
        Direction::Defer { sectors } => (For::Group, sectors),
        Direction::AskEngine { sectors } => (For::Engine, sectors),
        Direction::Repair { sectors } => (For::Repair, sectors),
        Direction::Refuse(error) => (For::Nothing(error), 0),
    };
    put_aside(set, bio, (first, fua), entered, what, sectors)
}

#[inline(always)]
fn send<B: Directed>(mut bio: B, sectors: u32, beside: PerBio, (device, sector): (&Device, u64)) -> B::Done {
    bio.cut(sectors);
    *bio.beside() = beside;
    bio.send(device, sector)
}

/// What a bio that is kept waits for.
#[derive(Clone, Copy)]
enum For {
    /// A held group.
    Group,
    /// The engine's answer.
    Engine,
    /// A repair context, as if a device had failed it.
    Repair,
    /// Nothing: it fails with this error.
    Nothing(ErrorKind),
}

/// Keeps a bio that is not sent, or fails it; it leaves the gate.
#[cold]
#[inline(never)]
fn put_aside<B: Directed>(
    set: &Wired<Set>,
    mut bio: B,
    (first, fua): (u64, bool),
    entered: Entered,
    what: For,
    sectors: u32,
) -> B::Done {
    set.gate.leave(entered);
    // A bio that fails does so as a whole: core gives it no length, which cuts nothing off.
    bio.cut(sectors);
    let failed = matches!(what, For::Repair).then_some(Status::IOERR);
    *bio.beside() = PerBio { first, way: Way::Settled, entered: None, fua, failed };
    let stores = bio.stores();
    let (held, done) = bio.keep();
    let waiting = &set.waiting;
    match what {
        // The hold may have ended before the bio was in the list: the worker looks again.
        For::Group => hand_over(set, &waiting.deferred, held, || set.kick_forward()),
        For::Engine => hand_over(set, &waiting.asking, held, || set.kick_repair()),
        For::Repair => hand_over(set, waiting.for_repair(stores), held.spent(), || set.kick_repair()),
        For::Nothing(error) => held.complete(status_of(error)),
    }
    done
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
    requeue_all(&set.waiting.failed);
    requeue_all(&set.waiting.failed_reads);
    requeue_all(&set.waiting.asking);
    requeue_all(&set.waiting.deferred);
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
    match path::discard(set.state.store.table(), &set.state.access, Sector(first), bio.sectors()) {
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
fn flush(set: &Wired<Set>, mut bio: Bio<'_, PerBio>) -> Mapped {
    if !set.state.access.flush_begins() {
        return bio.kill();
    }
    if bio.copy_number() == 0 {
        bio.data_mut().way = Way::FlushMain;
        bio.redirect(&set.pair.main, 0);
        return bio.remapped();
    }
    match set.state.dirty.flush_begins() {
        Some(mark) => {
            bio.data_mut().way = Way::FlushSpare(mark);
            bio.redirect(&set.pair.spare, 0);
            bio.remapped()
        }
        None => {
            set.state.access.flush_ended(true);
            let (held, mapped) = bio.map_hold();
            held.complete(Status::OK);
            mapped
        }
    }
}

/// A bio that has ended, as core asks for it.
struct End<'a, 'b> {
    bio: &'a Bio<'b, PerBio>,
    status: Status,
}

impl Ended for End<'_, '_> {
    #[inline(always)]
    fn first(&self) -> Sector {
        Sector(self.bio.data().first)
    }

    #[inline(always)]
    fn sectors(&self) -> u32 {
        self.bio.sent_sectors()
    }

    #[inline(always)]
    fn stores(&self) -> bool {
        self.bio.op().writes()
    }

    #[inline(always)]
    fn brings_content(&self) -> bool {
        self.bio.op() == Op::Write
    }

    #[inline(always)]
    fn fua(&self) -> bool {
        self.bio.data().fua
    }

    #[inline(always)]
    fn readahead(&self) -> bool {
        self.bio.is_readahead()
    }

    #[inline(always)]
    fn is_ok(&self) -> bool {
        self.status.is_ok()
    }

    #[inline(always)]
    fn result(&self) -> Result<(), ErrorKind> {
        result_of(self.status)
    }

    #[inline(always)]
    fn tick(&self) -> u64 {
        tick()
    }

    #[inline(always)]
    fn now_ms(&self) -> u64 {
        monotonic_ms()
    }
}

/// Sees a bio end.
#[inline]
pub fn end_io(set: &Wired<Set>, mut bio: Bio<'_, PerBio>, status: Status) -> bio::Ended {
    let entered = bio.data_mut().entered.take();
    let State { store, access, dirty, evidence, .. } = &*set.state;
    let witnesses = Witnesses { access, dirty, evidence, pending: store.pending() };
    let after = ended(&witnesses, bio.data().way, &End { bio: &bio, status });
    if let Some(entered) = entered {
        set.gate.leave(entered);
    }
    match after {
        After::Done => bio.done(status),
        After::Tell => {
            set.kick_commit();
            bio.done(status)
        }
        After::Repair => {
            bio.data_mut().failed = Some(status);
            let stores = bio.op().writes();
            let (held, ended) = bio.end_hold(status);
            hand_over(set, set.waiting.for_repair(stores), held, || set.kick_repair());
            ended
        }
    }
}

/// The worker that sends on the bios of groups that are no longer held. It may wait for room in a device's queue, so no other work
/// is done here.
pub fn forward(set: &Wired<Set>) {
    let seen = set.steps.count();
    let mut waiting = set.waiting.deferred.lock().take();
    while let Some(bio) = waiting.pop() {
        let request = request_of(&bio);
        let entered = enter(set, &request);
        match path::direct_whole(
            set.state.store.table(),
            &set.state.geometry,
            &set.state.access,
            set.state.block_sectors,
            request,
        ) {
            Direction::Defer { .. } => {
                set.gate.leave(entered);
                hand_over(set, &set.waiting.deferred, bio, || ());
                if set.steps.count() != seen {
                    // The step that ended the hold meanwhile found the list empty.
                    set.kick_forward();
                }
            }
            direction => send_on(set, bio, direction, entered),
        }
    }
}

/// Answers a read of suspect or lost sectors.
pub fn answer(set: &Wired<Set>, bio: Held) {
    let request = request_of(&bio);
    let entered = enter(set, &request);
    let direction = set
        .state
        .store
        .with(|engine| path::suspect_read(engine, &set.state.access, set.state.block_sectors, request));
    send_on(set, bio, direction.unwrap_or(Direction::Refuse(ErrorKind::Io)), entered);
}

fn request_of(bio: &Held) -> Request {
    // A held bio may wait, whatever was asked of it when it arrived.
    let write = bio.op().writes();
    Request { first: Sector(bio.data().first), sectors: bio.sent_sectors(), write, nowait: false }
}

/// Has a held bio go as a whole where core says.
fn send_on(set: &Wired<Set>, bio: Held, direction: Direction, entered: Entered) {
    let PerBio { first, fua, .. } = *bio.data();
    dispatch(set, bio, (first, fua), direction, entered);
}
