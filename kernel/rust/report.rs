//! Tells what happened: log lines here, events by the caller (S30). What is logged and how often core decides.

use remap_core::engine::breaker::BreakerCause;
use remap_core::engine::{Engine, FailReason, NoRemapReason, Notice, SlotCounts};
use remap_core::host::log::{self, Level, Limit, Line, Urgency};
use remap_core::units::Sector;

use crate::bind::dm::Handle;
use crate::bind::param::debug_level;
use crate::bind::print::print_limited;

/// Logs what the engine has to tell; whether there was anything that raises an event.
pub fn tell(handle: &Handle, engine: &mut Engine<'_>) -> bool {
    let mut told = false;
    while let Some(notice) = engine.take_notice() {
        told |= log::raises_event(&notice);
        let how = log::line(&notice);
        if how.level.is_logged(debug_level()) {
            line(handle.device_name(), how, notice);
        }
    }
    told
}

fn line(name: &str, Line { limit, urgency, .. }: Line, notice: Notice) {
    match notice {
        Notice::Remapped { group, mask, slot, .. } => print_limited(
            limit,
            urgency,
            format_args!("{name}: sector {}: mask {mask:#04x} now in slot {}", group.0, slot.0),
        ),
        Notice::Released { group, mask, slot } => print_limited(
            limit,
            urgency,
            format_args!("{name}: sector {}: mask {mask:#04x} back on main from slot {}", group.0, slot.0),
        ),
        Notice::Retired(slot) => {
            print_limited(limit, urgency, format_args!("{name}: slot {} retired", slot.0))
        }
        Notice::Lost { group, mask } => {
            print_limited(limit, urgency, format_args!("{name}: sector {}: mask {mask:#04x} lost", group.0))
        }
        Notice::Evicted { copy } => {
            print_limited(limit, urgency, format_args!("{name}: metadata copy {copy} evicted"))
        }
        Notice::Readmitted { copy } => {
            print_limited(limit, urgency, format_args!("{name}: metadata copy {copy} is in sync again"))
        }
        Notice::StaysEvicted { copy } => {
            print_limited(limit, urgency, format_args!("{name}: metadata copy {copy} stays evicted"))
        }
        Notice::CommitFailed => print_limited(
            limit,
            urgency,
            format_args!(
                "{name}: commit failed; its sectors take no writes until resume_remap or the next activation"
            ),
        ),
        Notice::WriteFailed { sector } => {
            print_limited(limit, urgency, format_args!("{name}: sector {}: write failed", sector.0))
        }
        Notice::Unreadable { sector, sectors } => print_limited(
            limit,
            urgency,
            format_args!("{name}: sector {}: {sectors} sectors unreadable", sector.0),
        ),
        Notice::Suspect { sector, sectors, slot } => print_limited(
            limit,
            urgency,
            format_args!("{name}: sector {}: {sectors} sectors unreadable in slot {}", sector.0, slot.0),
        ),
        Notice::PendingFull => print_limited(
            limit,
            urgency,
            format_args!("{name}: more sectors are unreadable than can be remembered; pending is too low"),
        ),
        Notice::Unproven { group } => print_limited(
            limit,
            urgency,
            format_args!("{name}: sector {}: main takes no writes; not remapped", group.0),
        ),
        Notice::Spoilt { group } => print_limited(
            limit,
            urgency,
            format_args!("{name}: sector {}: spoilt by a failed write and stored nowhere", group.0),
        ),
        Notice::Watermark { percent } => {
            print_limited(limit, urgency, format_args!("{name}: {percent}% of the slots in use"))
        }
        Notice::Mode(mode) => {
            print_limited(limit, urgency, format_args!("{name}: mode is now {}", mode.name()))
        }
        Notice::NoRemap(reason) => {
            print_limited(limit, urgency, format_args!("{name}: mode is now no-remap: {}", why(reason)))
        }
        Notice::Failed(FailReason::Flush) => print_limited(
            limit,
            urgency,
            format_args!("{name}: a flush failed: writes are refused until the message resume_remap"),
        ),
        Notice::Failed(FailReason::Invariant(what)) => print_limited(
            limit,
            urgency,
            format_args!("{name}: broken invariant: {what}; all I/O is refused"),
        ),
        Notice::Dropped { count, .. } => {
            print_limited(limit, urgency, format_args!("{name}: {count} messages were dropped"))
        }
    }
}

fn why(reason: NoRemapReason) -> &'static str {
    match reason {
        NoRemapReason::Breaker(BreakerCause::Unproven) => {
            "the breaker opened: main takes no writes; it closes when main does again, or by resume_remap"
        }
        NoRemapReason::Breaker(BreakerCause::Slots) => {
            "the breaker opened: too many slots were taken in a minute; it closes after a while, or by resume_remap"
        }
        NoRemapReason::Commit => "metadata could not be written; see resume_remap",
        NoRemapReason::Copies => "fewer than two copies of the metadata are in sync; see resume_remap",
        NoRemapReason::Features => "the set has features that this version does not know",
    }
}

/// Logs what the slots are used for, all of them. For a set at rest: each is looked at (S33).
pub fn slots(handle: &Handle, engine: &Engine<'_>) {
    if Level::Remappings.is_logged(debug_level()) {
        let SlotCounts { used, free, retired, reserved, total } = engine.count_slots();
        print_limited(
            Limit::None,
            Urgency::Info,
            format_args!(
                "{}: {total} slots: {used} used, {free} free, {retired} retired, {reserved} reserved",
                handle.device_name()
            ),
        );
    }
}

/// Logs that a write goes to repair, or that a read is narrowed.
pub fn repairing(handle: &Handle, what: &str, first: Sector, sectors: u32) {
    if Level::Repairs.is_logged(debug_level()) {
        print_limited(
            Limit::Others,
            Urgency::Info,
            format_args!("{}: repairing a {what} of {sectors} sectors at {}", handle.device_name(), first.0),
        );
    }
}
