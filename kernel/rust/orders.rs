//! Orders of an administrator: content moves to slots, or back to main, while the one who asked waits.

use core::fmt::Write;

use remap_core::engine::machine::Machine;
use remap_core::engine::order::Range;
use remap_core::engine::release::Release;
use remap_core::engine::relocate::Relocate;
use remap_core::engine::Engine;
use remap_core::units::Sector;

use crate::bind::bio::Status;
use crate::bind::dm::StatusText;
use crate::bind::sync::is_being_killed;
use crate::bind::work::Wired;
use crate::bind::Errno;
use crate::repairs;
use crate::reply::whole;
use crate::set::Set;

/// Moves content of main into slots.
pub fn remap(set: &Wired<Set>, range: Range, out: &mut StatusText<'_>) -> Result<(), Errno> {
    let begin =
        |engine: &mut Engine<'_>| Machine::Relocate(Relocate::new(set.orders.number(), range, engine));
    let (range, t) = carry_out(set, begin, |machine| match machine {
        Machine::Relocate(done) => Some((done.range(), done.tally())),
        _ => None,
    })?;
    tell(set, t.remapped)?;
    let written = write!(
        out,
        "sector={} sectors={} remapped={} mapped={} unreadable={} failed={}",
        range.first.0, range.sectors, t.remapped, t.mapped, t.unreadable, t.failed
    );
    whole(written.and_then(|()| end(t.next, out)))
}

/// Moves content of slots back to main.
pub fn release(set: &Wired<Set>, range: Range, out: &mut StatusText<'_>) -> Result<(), Errno> {
    let begin = |engine: &mut Engine<'_>| Machine::Release(Release::new(set.orders.number(), range, engine));
    let (range, t) = carry_out(set, begin, |machine| match machine {
        Machine::Release(done) => Some((done.range(), done.tally())),
        _ => None,
    })?;
    tell(set, t.released)?;
    let written = write!(
        out,
        "sector={} sectors={} released={} main={} lost={} unreadable={} failed={}",
        range.first.0, range.sectors, t.released, t.main, t.lost, t.unreadable, t.failed
    );
    let aside = match t.aside {
        0 => Ok(()),
        sectors => write!(out, " aside={sectors}"),
    };
    whole(written.and(aside).and_then(|()| end(t.next, out)))
}

/// Raises the one event of an order, if it moved anything (S30). Who waits for events hears of it also when the caller does not live to
/// get the answer.
fn tell(set: &Wired<Set>, moved_sectors: u64) -> Result<(), Errno> {
    if moved_sectors > 0 {
        set.handle().event();
    }
    if is_being_killed() {
        return Err(Errno::EINTR);
    }
    Ok(())
}

fn end(next: Option<Sector>, out: &mut StatusText<'_>) -> core::fmt::Result {
    match next {
        Some(next) => writeln!(out, " next={}", next.0),
        None => writeln!(out),
    }
}

/// Runs a machine in the thread of the one who asked; what `told` says of it at its end. A suspension waits for that, as dm core does
/// not let go of the table before; so the machine ends early then, and when the caller is killed. The machine is large: it stays in
/// this frame, which is no part of the caller's.
#[inline(never)]
fn carry_out<T>(
    set: &Wired<Set>,
    begin: impl FnOnce(&mut Engine<'_>) -> Machine,
    told: impl FnOnce(&Machine) -> Option<T>,
) -> Result<T, Errno> {
    let remaps = set.state.store.with(|engine| engine.mode().remaps()).ok_or(Errno::ENXIO)?;
    if !(set.state.writable && remaps) {
        return Err(Errno::EROFS);
    }
    let mut buffer = set.orders.take_killable()?;
    if set.orders.is_paused() {
        return Err(Errno::EAGAIN);
    }
    let stop = || set.orders.is_paused() || is_being_killed();
    // Borrowed where it is: some compilers make a copy of it for each move.
    let mut begun = repairs::begin_job(set, begin);
    let machine = begun.as_mut().ok_or(Errno::ENXIO)?;
    let mut last = Status::OK;
    // What became of the content is in the machine's tally.
    let _ = repairs::drive(set, set.orders.number(), machine, None, &mut buffer, &mut last, &stop);
    told(machine).ok_or(Errno::EINVAL)
}
