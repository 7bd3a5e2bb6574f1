//! One physical block that failed a read as a whole: which of its logical blocks can be read?
//!
//! First each is read alone, since not every device fails by the physical block. Then what is missing is retried, so often as the
//! administrator wants: as much at once as lies together, as a device that does fail by the physical block would otherwise be asked
//! for the same one time and again; the last time alone once more.

use super::part::Part;
use super::source::Source;
use super::Reread;
use crate::engine::jobs::protocol::Next;
use crate::engine::set::Engine;
use crate::engine::tell::notice::Notice;
use crate::error::ErrorKind;
use crate::pending::low_bits;
use crate::units::Sector;

impl Reread {
    /// The `sectors` sectors at the cursor, in one physical block, have failed together.
    pub(super) fn begin_part(&mut self, engine: &Engine<'_>, source: Source, sectors: u32) {
        let sectors = sectors.min(64);
        let missing = low_bits(sectors) & !self.stored_from(self.cursor);
        let retries = engine.settings.read_retries;
        // A block that failed alone before it was watched may have been written since: it is read once more at least.
        let alone = u32::from(sectors <= engine.block_sectors());
        if source == Source::Main {
            engine.pending.watch(self.cursor, sectors);
        }
        self.part = Some(Part {
            first: self.cursor,
            sectors,
            source,
            missing,
            failed: 0,
            round: alone,
            at: 0,
            last_round: retries.max(alone),
            error: self.job.error,
        });
    }

    /// Goes on in the part at hand; `None` without one, or when it is done with.
    pub(super) fn go_on_in_part(&mut self, engine: &mut Engine<'_>, now_ms: u64) -> Option<Next> {
        let block = engine.block_sectors();
        let part = self.part.as_mut()?;
        match part.next(block) {
            Some(sectors) => {
                let (source, from) = (part.source, part.reading_at());
                Some(self.read(engine, source, from, sectors, now_ms))
            }
            None => {
                self.end_part(engine, now_ms);
                None
            }
        }
    }

    pub(super) fn part_read_well(&mut self, engine: &Engine<'_>, sectors: u32) {
        let Some(part) = self.part.as_mut() else { return };
        if part.source == Source::Main {
            engine.pending.clear(part.reading_at(), u64::from(sectors));
        }
        let bits = part.bits(sectors);
        part.missing &= !bits;
        part.failed &= !bits;
        part.at += sectors;
    }

    pub(super) fn part_read_failed(&mut self, engine: &Engine<'_>, sectors: u32, error: ErrorKind) {
        let Some(part) = self.part.as_mut() else { return };
        if sectors <= engine.block_sectors() {
            part.failed |= part.bits(sectors);
        }
        part.error = error;
        part.at += sectors;
    }

    /// Ends the part: what failed alone is pending or suspect, and the bio fails if anything is missing.
    pub(super) fn end_part(&mut self, engine: &mut Engine<'_>, now_ms: u64) {
        let Some(part) = self.part.take() else { return };
        if part.missing != 0 {
            self.fail(part.error);
        }
        match part.source {
            Source::Main => {
                let news = engine.pending.confirm(part.first, part.sectors, part.failed, now_ms);
                tell_unreadable(engine, part.first, news);
            }
            Source::Slot { slot } => {
                let mask = (part.failed & 0xff) as u8;
                let mask = mask.checked_shl(part.first.in_group()).unwrap_or(0);
                engine.suspect(slot, mask);
            }
            Source::Lost => {}
        }
        self.cursor = Sector(part.first.0 + u64::from(part.sectors));
        self.step_sectors = part.sectors;
    }

    /// The sectors from `at` on that were stored before the machine made way.
    pub(super) fn stored_from(&self, at: Sector) -> u64 {
        let behind = at.0.checked_sub(self.left_at.0).and_then(|n| u32::try_from(n).ok());
        behind.and_then(|n| self.left_stored.checked_shr(n)).unwrap_or(0)
    }

    /// Makes way in the middle of a part; what has been stored need not be read again.
    pub(super) fn leave_part(&mut self, engine: &Engine<'_>) {
        if let Some(part) = &self.part {
            let stored = low_bits(part.sectors) & !part.missing;
            (self.left_at, self.left_stored) = (part.first, stored);
        }
        self.drop_part(engine);
    }

    /// Forgets the part.
    pub(super) fn drop_part(&mut self, engine: &Engine<'_>) {
        let Some(part) = self.part.take() else { return };
        if part.source == Source::Main {
            let _ = engine.pending.confirm(part.first, part.sectors, 0, 0);
        }
    }
}

fn tell_unreadable(engine: &mut Engine<'_>, first: Sector, news: u64) {
    if engine.pending.dropped() != 0 && !engine.pending_full {
        engine.pending_full = true;
        engine.notices.push(Notice::PendingFull);
    }
    if news != 0 {
        let sector = Sector(first.0 + u64::from(news.trailing_zeros()));
        engine.notices.push(Notice::Unreadable { sector, sectors: news.count_ones() });
    }
}
