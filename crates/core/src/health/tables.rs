//! The tables of the score: from how much to what. `docs/health.md` has where each comes from.

use super::decay::UNIT;

/// The best score.
pub const SCORE_MAX: u16 = 1000;

/// Rows of a table: from so much on, this score. Amounts rise, scores fall, and below the first row it is [`SCORE_MAX`].
pub type Table = [(u32, u16)];

/// Groups that cannot be read now.
pub const UNREADABLE: &Table = &[(1, 870), (2, 850), (5, 700), (9, 660), (17, 600), (33, 490), (129, 420)];

/// The sum of bursts of failures, in parts of [`UNIT`].
pub const BURSTS: &Table = &[
    (1, 900),
    (UNIT / 4, 850),
    (UNIT / 2, 790),
    (UNIT, 740),
    (2 * UNIT, 700),
    (3 * UNIT, 650),
    (4 * UNIT, 600),
    (6 * UNIT, 500),
    (8 * UNIT, 450),
    (10 * UNIT, 390),
    (12 * UNIT, 350),
    (16 * UNIT, 300),
    (24 * UNIT, 200),
    (32 * UNIT, 100),
    (64 * UNIT, 50),
];

/// The sum of bursts of failed writes, in parts of [`UNIT`].
pub const FAILED_WRITES: &Table = &[
    (1, 900),
    (UNIT / 4, 850),
    (UNIT / 2, 780),
    (UNIT, 700),
    (4 * UNIT, 550),
    (6 * UNIT, 450),
    (8 * UNIT, 390),
    (12 * UNIT, 300),
    (24 * UNIT, 150),
    (64 * UNIT, 50),
];

/// The sum of bursts of reads that succeeded only when repeated, in parts of [`UNIT`].
pub const RETRIED: &Table =
    &[(UNIT, 950), (4 * UNIT, 860), (8 * UNIT, 790), (16 * UNIT, 650), (32 * UNIT, 500), (64 * UNIT, 410)];

/// The sum of bursts of slow reads, in parts of [`UNIT`].
pub const SLOW: &Table = &[
    (2 * UNIT, 950),
    (4 * UNIT, 900),
    (8 * UNIT, 860),
    (16 * UNIT, 790),
    (32 * UNIT, 650),
    (64 * UNIT, 500),
    (128 * UNIT, 410),
];

/// Slots in use, in thousandths of those that may be used. From the emergency threshold on it is [`SPACE_EMERGENCY`] at most.
pub const SPACE: &Table = &[(250, 950), (500, 860), (750, 700), (900, 450), (1000, 100)];
/// The score of space from the emergency threshold on.
pub const SPACE_EMERGENCY: u16 = 390;

/// Slots that failed, in thousandths of all.
pub const RETIRED: &Table = &[(1, 900), (5, 860), (10, 790), (50, 600), (100, 390), (500, 100)];
/// Slots with sectors that could not be read from them.
pub const SUSPECT: &Table = &[(1, 790), (4, 600), (16, 390), (64, 200)];
/// Copies of the metadata that are not in sync.
pub const COPIES_OUT: &Table = &[(1, 790), (2, 700), (3, 600)];
/// The score with fewer than two copies in sync.
pub const COPIES_FEW: u16 = 200;

/// The score in mode `degraded`.
pub const MODE_DEGRADED: u16 = 790;
/// The score in mode `no-remap`.
pub const MODE_NO_REMAP: u16 = 390;
/// The score in mode `no-remap` while the breaker is open, which closes by itself.
pub const MODE_BREAKER: u16 = 600;
/// The score in mode `fail`.
pub const MODE_FAIL: u16 = 0;

/// The score when the disk says of itself that it fails.
pub const SMART_FAILED: u16 = 100;

/// Looks an amount up.
pub fn look_up(table: &Table, amount: u32) -> u16 {
    let rows = table.iter().take_while(|(from, _)| *from <= amount);
    rows.last().map_or(SCORE_MAX, |(_, score)| *score)
}

/// `part` of `whole` in thousandths, at most 1000; of nothing, all is 1000.
pub fn permille(part: u32, whole: u32) -> u32 {
    let thousandths = (u64::from(part) * 1000).checked_div(u64::from(whole));
    let none = if part == 0 { 0 } else { 1000 };
    thousandths.map_or(none, |n| n.min(1000) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(&str, &Table); 9] = [
        ("unreadable", UNREADABLE),
        ("bursts", BURSTS),
        ("failed writes", FAILED_WRITES),
        ("retried", RETRIED),
        ("slow", SLOW),
        ("space", SPACE),
        ("retired", RETIRED),
        ("suspect", SUSPECT),
        ("copies", COPIES_OUT),
    ];

    #[test]
    fn tables_are_monotone_and_begin_at_the_best() {
        for (name, table) in ALL {
            assert!(table.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 > w[1].1), "{name}");
            assert_eq!(look_up(table, 0), SCORE_MAX, "{name}");
            assert!(table.iter().all(|(_, score)| *score < SCORE_MAX), "{name}");
            let last = table[table.len() - 1].1;
            assert_eq!(look_up(table, u32::MAX), last, "{name}");
        }
    }

    #[test]
    fn a_row_holds_from_its_amount_on() {
        for (name, table) in ALL {
            for (i, (from, score)) in table.iter().enumerate() {
                assert_eq!(look_up(table, *from), *score, "{name}");
                let above = if i == 0 { SCORE_MAX } else { table[i - 1].1 };
                assert_eq!(look_up(table, from - 1), above, "{name}");
            }
        }
    }

    #[test]
    fn parts_of_a_whole_stay_in_range() {
        for (part, whole, permille_of) in [
            (0, 0, 0),
            (1, 0, 1000),
            (0, 7, 0),
            (1, 3, 333),
            (7, 7, 1000),
            (9, 7, 1000),
            (u32::MAX, u32::MAX, 1000),
            (u32::MAX, 1, 1000),
        ] {
            assert_eq!(permille(part, whole), permille_of, "{part} of {whole}");
        }
    }
}
