//! Drives core's machines, one job at a time in each repair context.

use remap_core::engine::machine::{same, Event, Machine, Next};
use remap_core::engine::repair::{Job, Repair, Unsent};
use remap_core::engine::reread::{self, Reread};
use remap_core::engine::Engine;
use remap_core::error::ErrorKind;
use remap_core::host::turn::{self, Waits};
use remap_core::host::verdict::{goes_up, GoesUp};
use remap_core::io::{Device, IoRequest, Op};
use remap_core::units::Sector;

use crate::beside::Spent;
use crate::bind::bio::Status;
use crate::bind::io::PageBuf;
use crate::bind::time::monotonic_ms;
use crate::bind::work::Wired;
use crate::bios;
use crate::params;
use crate::set::{Set, CONTEXTS};
use crate::status::{result_of, status_of};

/// The worker of repair context `CONTEXT`.
pub fn work<const CONTEXT: usize>(set: &Wired<Set>) {
    let Some(context) = set.repairs.get(CONTEXT) else { return };
    let mut buffer = context.take();
    let order = turn::order(CONTEXT, CONTEXTS);
    while order.into_iter().any(|waits| take_one(set, context.number(), waits, &mut buffer)) {}
}

/// Takes a bio of this kind and serves it, if one waits; not more failed reads at once than core says.
fn take_one(set: &Wired<Set>, context: u8, waits: Waits, buffer: &mut PageBuf) -> bool {
    // Statements of their own: a list must not be locked any more when a bio is served.
    match waits {
        Waits::Asking => {
            let asking = set.waiting.asking.lock().pop();
            asking.map(|bio| bios::answer(set, bio)).is_some()
        }
        Waits::Writes => {
            let failed = set.waiting.failed.lock().pop();
            failed.map(|bio| repair(set, context, bio, buffer)).is_some()
        }
        Waits::Reads => {
            let failed = set.waiting.begin_read(CONTEXTS);
            failed
                .map(|bio| {
                    reread(set, context, bio, buffer);
                    set.waiting.end_read();
                })
                .is_some()
        }
    }
}

/// Repairs one write and completes it.
fn repair(set: &Wired<Set>, context: u8, bio: Spent, buffer: &mut PageBuf) {
    let failed = bio.data().failed.unwrap_or(Status::IOERR);
    let error = result_of(failed).err().unwrap_or(ErrorKind::Io);
    let (first, sectors, fua) = (Sector(bio.data().first), bio.sent_sectors(), bio.data().fua);
    let device = bio.data().way.device().map(|which| set.pair.device(which));
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
fn reread(set: &Wired<Set>, context: u8, bio: Spent, buffer: &mut PageBuf) {
    let failed = bio.data().failed.unwrap_or(Status::IOERR);
    let error = result_of(failed).err().unwrap_or(ErrorKind::Io);
    let first = Sector(bio.data().first);
    let job = reread::Job { first, sectors: bio.sent_sectors(), place: bio.data().way.place(), error };
    crate::report::repairing(set.handle(), "read", first, job.sectors);
    let begin = |engine: &mut Engine<'_>| Machine::Read(Reread::new(context, job, engine, monotonic_ms()));
    let machine = begin_job(set, begin);
    run_job(set, context, machine, bio, failed, buffer);
}

/// Runs the machine of a bio that failed with `failed`, and completes the bio.
fn run_job(
    set: &Wired<Set>,
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
    let last = result_of(last).err().map(|kind| (last, kind));
    bio.complete(match goes_up(verdict, (failed, error), last) {
        GoesUp::Ok => Status::OK,
        GoesUp::Status(status) => status,
        GoesUp::Kind(kind) => status_of(kind),
    });
}

/// Makes the machine for a job; `None` without an engine.
#[inline(never)]
pub fn begin_job(set: &Set, begin: impl FnOnce(&mut Engine<'_>) -> Machine) -> Option<Machine> {
    let settings = params::settings(&set.pair);
    set.state.store.with(|engine| {
        engine.set_settings(settings);
        begin(engine)
    })
}

/// Runs a machine to its end, or until `stop` says that it is enough. `bio` is the one that its job is about, `last` the last
/// status of a device that was not good.
pub fn drive(
    set: &Wired<Set>,
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
        let seen = set.steps.count();
        let step = |engine: &mut Engine<'_>| {
            let now_ms = monotonic_ms();
            set.state.evidence.tell(engine, now_ms);
            machine.next(engine, event, now_ms)
        };
        let Some(next) = set.state.store.with(step) else {
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
                set.steps.wait_after(seen);
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
    set.state.store.with(|engine| engine.broken(what));
    Err(ErrorKind::Io)
}

/// Carries out one request.
fn run(set: &Set, request: IoRequest, buffer: &mut PageBuf, last: &mut Status) -> Result<(), ErrorKind> {
    let status = set.pair.run(&set.pool, request, buffer);
    if request.device == Device::Spare && request.op != Op::Read {
        // A repair writes to slots in place as well, and the next flush has to cover that (S8).
        set.state.dirty.mark();
    }
    if !status.is_ok() {
        *last = status;
    }
    result_of(status)
}

/// Has the committer run until the changes of this context are settled.
fn wait_for_commit(set: &Wired<Set>, context: u8) {
    loop {
        let seen = set.steps.count();
        let outcome = set.state.store.with(|engine| engine.commit_outcome(usize::from(context)));
        if !matches!(outcome, Some(None)) {
            return;
        }
        set.kick_commit();
        set.steps.wait_after(seen);
    }
}
