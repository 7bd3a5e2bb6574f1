//! The status line of the target, as `docs/interface.md` lays it down.

/// The status line after the name of the target. Numbers that the target does not give are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// `rw`, `degraded`, `no-remap` or `fail`; the tool says `linear` of an assembly without the target.
    pub mode: String,
    /// Slots in use.
    pub used_slots: Option<u64>,
    /// Slots that may be used.
    pub total_slots: Option<u64>,
    /// Sectors whose content is lost.
    pub lost_sectors: Option<u64>,
    /// Blocks of main that failed a read and were not written since.
    pub pending_blocks: Option<u64>,
    /// Copies of the metadata in sync.
    pub copies_in_sync: Option<u64>,
    /// Copies of the metadata that the set has.
    pub copies: Option<u64>,
    /// Slots that are never used again.
    pub retired_slots: Option<u64>,
    /// Failed writes that were handed to repair, since activation.
    pub repairs: Option<u64>,
    /// Of these, stored.
    pub repairs_stored: Option<u64>,
    /// Of these, not stored.
    pub repairs_failed: Option<u64>,
    /// Sectors that went to slots, since activation.
    pub remapped_sectors: Option<u64>,
    /// Changes of the metadata, since activation.
    pub commits: Option<u64>,
    /// Why the mode is `fail` or `no-remap`.
    pub reason: Option<String>,
    /// UUID of the set.
    pub set_uuid: Option<String>,
    /// Sectors that went back to main, since activation.
    pub released_sectors: Option<u64>,
    /// Failed reads that were narrowed, since activation.
    pub reads: Option<u64>,
    /// Of these, delivered whole.
    pub reads_delivered: Option<u64>,
    /// Of these, failed.
    pub reads_failed: Option<u64>,
    /// Of the repairs, those without evidence that main takes writes, since activation.
    pub unproven: Option<u64>,
    /// Copies of the metadata that were evicted, since activation.
    pub evictions: Option<u64>,
    /// Copies that came back into sync, since activation.
    pub readmissions: Option<u64>,
    /// Changes of the metadata that did not become durable, since activation.
    pub commits_failed: Option<u64>,
    /// Flushes that failed, since activation.
    pub flushes_failed: Option<u64>,
    /// How often the breaker opened, since activation.
    pub breaker_openings: Option<u64>,
    /// Sectors that became suspect by a failed read of their slot, since activation.
    pub suspected_sectors: Option<u64>,
    /// Lines that are missing from the kernel log, since activation.
    pub log_lines_dropped: Option<u64>,
    /// Fields that a newer target appended.
    pub further: Vec<String>,
}

impl Status {
    /// Slots that the next bad groups can take. `slots` are all of the set, where that is known: the total can be an
    /// administrator's limit, below which retired slots do not count.
    pub fn free_slots(&self, slots: Option<u64>) -> Option<u64> {
        let (total, used) = (self.total_slots?, self.used_slots?);
        let unretired = slots.unwrap_or(total).saturating_sub(self.retired_slots.unwrap_or(0));
        Some(total.min(unretired).saturating_sub(used))
    }

    /// Reads a status line; `None` when not even the first four fields are there.
    pub fn parse(text: &str) -> Option<Status> {
        let mut words = text.split_whitespace();
        let number = |word: Option<&str>| word.and_then(|w| w.parse().ok());
        let pair = |word: Option<&str>| {
            let (a, b) = word.and_then(|w| w.split_once('/')).unzip();
            (number(a), number(b))
        };
        let word = |word: Option<&str>| word.filter(|w| *w != "-").map(str::to_string);
        let mode = words.next()?.to_string();
        let (used_slots, total_slots) = pair(words.next());
        total_slots?;
        let (lost_sectors, pending) = (number(words.next()), words.next()?);
        let (copies_in_sync, copies) = pair(words.next());
        Some(Status {
            mode,
            used_slots,
            total_slots,
            lost_sectors,
            pending_blocks: pending.parse().ok(),
            copies_in_sync,
            copies,
            retired_slots: number(words.next()),
            repairs: number(words.next()),
            repairs_stored: number(words.next()),
            repairs_failed: number(words.next()),
            remapped_sectors: number(words.next()),
            commits: number(words.next()),
            reason: word(words.next()),
            set_uuid: word(words.next()),
            released_sectors: number(words.next()),
            reads: number(words.next()),
            reads_delivered: number(words.next()),
            reads_failed: number(words.next()),
            unproven: number(words.next()),
            evictions: number(words.next()),
            readmissions: number(words.next()),
            commits_failed: number(words.next()),
            flushes_failed: number(words.next()),
            breaker_openings: number(words.next()),
            suspected_sectors: number(words.next()),
            log_lines_dropped: number(words.next()),
            further: words.map(str::to_string).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read() {
        let status = Status::parse(
            "degraded 3/1950 8 7 4/5 1 12 11 1 40 9 - d0010203-0405-4607-8809-0a0b0c0d0e0f 24 6 4 2 3 31 32 33 34 35 36 37 new",
        )
        .unwrap();
        assert_eq!(
            (status.used_slots, status.total_slots, status.lost_sectors),
            (Some(3), Some(1950), Some(8))
        );
        assert_eq!(
            (status.pending_blocks, status.copies_in_sync, status.copies),
            (Some(7), Some(4), Some(5))
        );
        assert_eq!(
            (status.released_sectors, status.reads, status.reads_delivered, status.reads_failed),
            (Some(24), Some(6), Some(4), Some(2))
        );
        assert_eq!(
            (status.repairs, status.repairs_stored, status.repairs_failed),
            (Some(12), Some(11), Some(1))
        );
        assert_eq!((status.remapped_sectors, status.commits, status.reason), (Some(40), Some(9), None));
        assert_eq!(status.set_uuid.as_deref(), Some("d0010203-0405-4607-8809-0a0b0c0d0e0f"));
        assert_eq!(
            (status.released_sectors, status.unproven, status.further),
            (Some(24), Some(3), vec!["new".to_string()])
        );
        assert_eq!(
            (status.evictions, status.readmissions, status.commits_failed, status.flushes_failed),
            (Some(31), Some(32), Some(33), Some(34))
        );
        assert_eq!(
            (status.breaker_openings, status.suspected_sectors, status.log_lines_dropped),
            (Some(35), Some(36), Some(37))
        );
    }

    #[test]
    fn an_older_or_stranger_status_line_is_read_as_far_as_it_goes() {
        let status = Status::parse("rw 0/10 0 2").unwrap();
        assert_eq!((status.pending_blocks, status.copies, status.set_uuid), (Some(2), None, None));
        let uuid = "d0010203-0405-4607-8809-0a0b0c0d0e0f";
        let older = Status::parse(&format!("rw 3/1950 8 - 5/5 1 12 11 1 40 9 - {uuid}")).unwrap();
        assert_eq!(older.set_uuid.as_deref(), Some(uuid));
        assert_eq!((older.pending_blocks, older.reads, older.further.len()), (None, None, 0));
        let older = Status::parse(&format!("rw 3/1950 8 2 5/5 1 12 11 1 40 9 - {uuid} 24 6 4 2 3")).unwrap();
        assert_eq!((older.unproven, older.evictions, older.log_lines_dropped), (Some(3), None, None));
        let inactive = format!("inactive 0/1950 - - - - - - - - - - {uuid} - - - - - - - - - - - -");
        let inactive = Status::parse(&inactive).unwrap();
        assert_eq!(
            (inactive.total_slots, inactive.copies_in_sync, inactive.copies),
            (Some(1950), None, None)
        );
        assert_eq!((inactive.set_uuid.as_deref(), inactive.further.len()), (Some(uuid), 0));
        assert_eq!(Status::parse("rw"), None);
        assert_eq!(Status::parse(""), None);
    }
}
