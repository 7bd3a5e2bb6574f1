//! Drives core's committer: each round's requests at once, then the next round.

use remap_core::engine::commit::{Step, Work};
use remap_core::host::deadlines::Deadline;
use remap_core::io::Op;

use crate::bind::io::Request;
use crate::bind::time::monotonic_ms;
use crate::bind::work::Wired;
use crate::bind::Result;
use crate::commit_side::{CommitSide, ROUND_MAX};
use crate::set::Set;

/// The commit worker.
pub fn work(set: &Wired<Set>) {
    drive(set, None);
}

/// The worker of what is done by the clock.
pub fn tend(set: &Wired<Set>) {
    for due in Deadline::ALL.into_iter().filter(|deadline| set.clock.has_come(*deadline)) {
        match due {
            Deadline::Committer => {
                tell_time(set, &mut set.committer.lock());
                drive(set, None);
            }
        }
    }
    set.clock.arm(set);
}

/// Tells core the time, and has it told again when core wants that.
fn tell_time(set: &Wired<Set>, side: &mut CommitSide) {
    let now_ms = monotonic_ms();
    if let Some(Some(wait_ms)) = set.state.store.with(|engine| side.committer.tick(engine, now_ms)) {
        set.clock.set(set, Deadline::Committer, wait_ms);
    }
}

/// Runs the committer until it is idle, or until the ordered work has ended; whether that succeeded. Sleeps.
pub fn drive(set: &Wired<Set>, order: Option<Work>) -> bool {
    run(set, &mut set.committer.lock(), order)
}

/// As [`drive`], in the thread of a process that asks for it, and that may be killed while a commit is under way.
pub fn carry_out(set: &Wired<Set>, work: Work) -> Result<bool> {
    let mut side = set.committer.lock_killable()?;
    Ok(run(set, &mut side, Some(work)))
}

fn run(set: &Wired<Set>, side: &mut CommitSide, order: Option<Work>) -> bool {
    if order.is_some_and(|work| !side.committer.order(work)) {
        return false;
    }
    let done = loop {
        let end = collect(set, side);
        run_round(set, side);
        set.stepped();
        match end {
            Some(Step::Ended(work, ok)) if Some(work) == order => break ok,
            Some(Step::Idle) | None => break order.is_none(),
            _ => {}
        }
    };
    tell_time(set, side);
    done
}

/// Asks for requests until the round is complete; the step that ended the asking, `None` without an engine.
fn collect(set: &Set, side: &mut CommitSide) -> Option<Step> {
    let CommitSide { committer, buffer, round } = side;
    round.fill(None);
    for place in round.iter_mut() {
        match set.state.store.with(|engine| committer.next(engine, buffer))? {
            Step::Io(request, tag) => *place = Some((request, tag)),
            other => return Some(other),
        }
    }
    Some(Step::Wait)
}

/// Carries out a round, all at once, and reports each end.
fn run_round(set: &Set, side: &mut CommitSide) {
    let CommitSide { committer, buffer, round } = side;
    let mut requests: [Option<Request<'_>>; ROUND_MAX] = [const { None }; ROUND_MAX];
    for (place, (request, _)) in requests.iter_mut().zip(round.iter().flatten()) {
        let (device, sector) = set.pair.locate(request.device, request.sector);
        let offset = (request.buffer_sector as usize).saturating_mul(512);
        let len = (request.sectors as usize).saturating_mul(512);
        *place = match request.op {
            Op::Flush => Some(Request::flush(device)),
            // The committer reads nothing.
            Op::Read => None,
            Op::Write | Op::WriteFua => {
                let fua = request.op == Op::WriteFua;
                buffer.part(offset, len).map(|part| Request::write(device, sector, part, fua))
            }
        };
    }
    set.pool.run(&mut requests);
    for (request, (_, tag)) in requests.iter().zip(round.iter().flatten()) {
        let ok = request.as_ref().is_some_and(|request| request.status.is_ok());
        set.state.store.with(|engine| committer.done(engine, *tag, ok));
    }
}
