//! The scan of main as it is saved: its settings and how far it has come.

/// Longest period of a pass over main, in days.
pub const PERIOD_DAYS_MAX: u16 = 365;
/// Highest rate that can be set, in KiB/s: 16 GiB/s.
pub const RATE_MAX_KIB_PER_S: u32 = 1 << 24;
/// Longest time without I/O that can be asked for before main counts as idle, in milliseconds: an hour.
pub const QUIET_MAX_MS: u32 = 3_600_000;

/// Settings of a set; `None`: the default of the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanSettings {
    /// Days in which a pass over main is to end, 0 to [`PERIOD_DAYS_MAX`]; 0: only by order.
    pub period_days: Option<u16>,
    /// Highest rate in KiB/s, 1 to [`RATE_MAX_KIB_PER_S`].
    pub rate_max_kib_per_s: Option<u32>,
    /// Milliseconds without I/O of users after which main counts as idle, 0 to [`QUIET_MAX_MS`].
    pub quiet_ms: Option<u32>,
}

impl ScanSettings {
    /// Whether each is in its range.
    pub fn is_sound(&self) -> bool {
        self.period_days.is_none_or(|days| days <= PERIOD_DAYS_MAX)
            && self.rate_max_kib_per_s.is_none_or(|rate| (1..=RATE_MAX_KIB_PER_S).contains(&rate))
            && self.quiet_ms.is_none_or(|ms| ms <= QUIET_MAX_MS)
    }
}

/// How far the scan has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Number of the pass, from 1; 0: none was begun.
    pub pass: u32,
    /// The pass is not complete.
    pub under_way: bool,
    /// A pass over all of main was completed.
    pub pass_ended: bool,
    /// Segment within each region that is being read.
    pub segment: u32,
    /// The region whose segment is next.
    pub region: u32,
    /// When the latest complete pass ended, in seconds since 1970; 0: never, or not known.
    pub last_pass_end_s: u64,
    /// Blocks that it could not read.
    pub last_pass_unreadable: u32,
}

impl Cursor {
    /// Whether the fields agree.
    pub const fn is_sound(&self) -> bool {
        let begun = self.pass > 0 || !(self.under_way || self.pass_ended);
        let place = self.under_way || (self.segment == 0 && self.region == 0);
        let ended = self.pass_ended || (self.last_pass_end_s == 0 && self.last_pass_unreadable == 0);
        begun && place && ended
    }
}
