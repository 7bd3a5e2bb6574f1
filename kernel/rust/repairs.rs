//! Drives core's machines, one job at a time in each repair context.

use remap_core::engine::machine::{reads_first, same, Event, Machine, Next};
use remap_core::engine::repair::{Job, Repair, Unsent};
use remap_core::engine::reread::{self, Reread};
use remap_core::engine::Engine;
use remap_core::error::ErrorKind;
use remap_core::io::{Device, IoRequest, Op};
use remap_core::path::Place;
use remap_core::units::{Sector, Slot};

use crate::bind::arc::KArc;
use crate::bind::bio::Status;
use crate::bind::io::PageBuf;
use crate::bind::time::monotonic_ms;
use crate::bios;
use crate::params;
use crate::set::{Set, Shared, Spent, Way, CONTEXTS};
use crate::status::{result_of, status_of};

/// The worker of repair context `CONTEXT`.
pub fn work<const CONTEXT: usize>(set: &KArc<Set>) {
    let Some(context) = set.contexts.get(CONTEXT) else { return };
    let mut buffer = context.lock();
    loop {
        let asking = set.asking.lock().pop();
        if let Some(bio) = asking {
            bios::answer(set, bio);
            continue;
        }
        if reads_first(CONTEXT, CONTEXTS) && read_one(set, CONTEXT as u8, &mut buffer) {
            continue;
        }
        let failed = set.failed.lock().pop();
        if let Some(bio) = failed {
            repair(set, CONTEXT as u8, bio, &mut buffer);
            continue;
        }
        // What is left here for want of a context is taken by one that ends a read, and looks again.
        if !read_one(set, CONTEXT as u8, &mut buffer) {
            return;
        }
    }
}

/// Takes a failed read, if one waits and enough contexts are left for writes.
fn read_one(set: &KArc<Set>, context: u8, buffer: &mut PageBuf) -> bool {
    let Some(bio) = set.begin_read() else { return false };
    reread(set, context, bio, buffer);
    set.end_read();
    true
}

/// Repairs one write and completes it.
fn repair(set: &KArc<Set>, context: u8, bio: Spent, buffer: &mut PageBuf) {
    let failed = bio.data().failed.unwrap_or(Status::IOERR);
    let error = result_of(failed).err().unwrap_or(ErrorKind::Io);
    let (first, sectors, fua) = (Sector(bio.data().first), bio.sent_sectors(), bio.data().fua);
    let device = match bio.data().way {
        Way::Main => Some(&set.pair.main),
        Way::Slot(_) => Some(&set.pair.spare),
        _ => None,
    };
    crate::report::repairing(set.handle(), "write", first, sectors);
    let begin = |engine: &mut Engine<'_>| {
        let now_ms = monotonic_ms();
        Machine::Write(match device {
            Some(device) => {
                let job = Job { first, sectors, fua, fua_flushes: device.fua_flushes(), error };
                Repair::new(context, job, engine, now_ms)
            }
            None => Repair::unsent(context, Unsent { first, sectors, fua }, engine, now_ms),
        })
    };
    let machine = begin_job(set, begin);
    run_job(set, context, machine, bio, failed, buffer);
}

/// Reads what can be read of one failed read, and completes it.
fn reread(set: &KArc<Set>, context: u8, bio: Spent, buffer: &mut PageBuf) {
    let failed = bio.data().failed.unwrap_or(Status::IOERR);
    let error = result_of(failed).err().unwrap_or(ErrorKind::Io);
    let first = Sector(bio.data().first);
    let place = match bio.data().way {
        Way::Slot(slot) => Place::Spare(Slot(slot)),
        _ => Place::Main,
    };
    let job = reread::Job { first, sectors: bio.sent_sectors(), place, error };
    crate::report::repairing(set.handle(), "read", first, job.sectors);
    let begin = |engine: &mut Engine<'_>| Machine::Read(Reread::new(context, job, engine, monotonic_ms()));
    let machine = begin_job(set, begin);
    run_job(set, context, machine, bio, failed, buffer);
}

/// Runs the machine of a bio that failed with `failed`, and completes the bio.
fn run_job(
    set: &KArc<Set>,
    context: u8,
    machine: Option<Machine>,
    bio: Spent,
    failed: Status,
    buffer: &mut PageBuf,
) {
    let error = result_of(failed).err().unwrap_or(ErrorKind::Io);
    let mut last = failed;
    let verdict = match machine {
        Some(mut machine) => drive(set, context, &mut machine, Some(&bio), buffer, &mut last, &|| false),
        None => Err(error),
    };
    set.stepped();
    bio.complete(match verdict {
        Ok(()) => Status::OK,
        // What a device said itself goes up as it was (S15).
        Err(kind) if kind == error => failed,
        Err(kind) if result_of(last) == Err(kind) => last,
        Err(kind) => status_of(kind),
    });
}

/// Makes the machine for a job; `None` without an engine.
#[inline(never)]
pub fn begin_job(set: &Set, begin: impl FnOnce(&mut Engine<'_>) -> Machine) -> Option<Machine> {
    let settings = params::settings(&set.pair);
    set.store.with(|engine| {
        engine.set_settings(settings);
        begin(engine)
    })
}

/// Runs a machine to its end, or until `stop` says that it is enough. `bio` is the one that its job is about, `last` the last
/// status of a device that was not good.
pub fn drive(
    set: &KArc<Set>,
    context: u8,
    machine: &mut Machine,
    bio: Option<&Spent>,
    buffer: &mut PageBuf,
    last: &mut Status,
    stop: &dyn Fn() -> bool,
) -> Result<(), ErrorKind> {
    let (mut event, mut waited) = (Event::Go, false);
    loop {
        if stop() {
            machine.stop();
        }
        let seen = set.steps();
        let step = |engine: &mut Engine<'_>| {
            let now_ms = monotonic_ms();
            set.evidence.tell(engine, now_ms);
            machine.next(engine, event, now_ms)
        };
        let Some(next) = set.store.with(step) else {
            return Err(ErrorKind::Io);
        };
        // Before what may take long: who waited for what this step let go of goes on. To wait again is no step, or two that wait would wake
        // each other for ever.
        if !(waited && next == Next::Wait) {
            set.stepped();
        }
        waited = next == Next::Wait;
        event = match next {
            Next::Load { offset_sectors, sectors } => {
                let part = buffer.get_mut(..bytes(sectors));
                if !part.zip(bio).is_some_and(|(part, bio)| bio.copy_out(offset_sectors, part)) {
                    return broken(set, "a window does not fit its buffer");
                }
                Event::Loaded
            }
            Next::Store { offset_sectors, sectors } => {
                let part = buffer.get(..bytes(sectors));
                if !part.zip(bio).is_some_and(|(part, bio)| bio.copy_in(offset_sectors, part)) {
                    return broken(set, "what was read does not fit its bio");
                }
                Event::Stored
            }
            Next::Io(request) => Event::Io(run(set, request, buffer, last)),
            Next::Compare(what) => Event::Compared(same(buffer, what)),
            Next::Commit => {
                wait_for_commit(set, context);
                Event::Committed
            }
            Next::Drain(drain) => {
                let enough = || drain.may_stop && stop();
                match set.gate.drain(drain.lanes, drain.within_ms, enough) {
                    true => Event::Drained,
                    false => Event::Undrained,
                }
            }
            Next::Yield => Event::Go,
            Next::Wait => {
                set.wait_after(seen);
                Event::Go
            }
            Next::Done(verdict) => {
                // Slots that were given up are retired by a commit that nobody waits for.
                set.kick_commit();
                return verdict;
            }
        };
    }
}

fn bytes(sectors: u32) -> usize {
    (sectors as usize).saturating_mul(512)
}

fn broken(set: &Set, what: &'static str) -> Result<(), ErrorKind> {
    set.store.with(|engine| engine.broken(what));
    Err(ErrorKind::Io)
}

/// Carries out one request.
fn run(set: &Set, request: IoRequest, buffer: &mut PageBuf, last: &mut Status) -> Result<(), ErrorKind> {
    let status = set.pair.run(&set.pool, request, buffer);
    if request.device == Device::Spare && request.op != Op::Read {
        // A repair writes to slots in place as well, and the next flush has to cover that (S8).
        set.dirty.mark();
    }
    if !status.is_ok() {
        *last = status;
    }
    result_of(status)
}

/// Has the committer run until the changes of this context are settled.
fn wait_for_commit(set: &KArc<Set>, context: u8) {
    loop {
        let seen = set.steps();
        let outcome = set.store.with(|engine| engine.commit_outcome(usize::from(context)));
        if !matches!(outcome, Some(None)) {
            return;
        }
        set.kick_commit();
        set.wait_after(seen);
    }
}
