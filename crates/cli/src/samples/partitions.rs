//! Where the partitions of a whole disk lie: GPT (UEFI specification, chapter 5) and MBR with logical partitions.

use super::view::View;

/// Most partitions that are looked at; a superblock has room for fewer ranges.
const PARTITIONS_MAX: usize = 16;

/// The partitions that a GPT or an MBR on main names, in its order.
pub fn of<'a>(main: &View<'a>) -> Vec<View<'a>> {
    // The logical block of an image file is not known.
    let block_bytes = u64::from(main.shape().block_bytes);
    let found = [block_bytes, 512, 4096].into_iter().find_map(|block| gpt(main, block));
    let mut partitions = found.unwrap_or_else(|| mbr(main, block_bytes));
    partitions.truncate(PARTITIONS_MAX);
    partitions
}

fn gpt<'a>(main: &View<'a>, block: u64) -> Option<Vec<View<'a>>> {
    if !main.holds(block, b"EFI PART") {
        return None;
    }
    let table = main.le64(block + 72)?.checked_mul(block)?;
    let (count, entry_bytes) = (main.le32(block + 80)?.min(128), main.le32(block + 84)?);
    let entry = |index: u64| {
        let entry = main.part(table.checked_add(index * entry_bytes)?, entry_bytes)?;
        let entry = entry.read::<48>(0)?;
        let (kind, places) = (entry.first_chunk::<16>()?, entry.last_chunk::<16>()?);
        if *kind == [0; 16] {
            return None;
        }
        let first = u64::from_le_bytes(*places.first_chunk()?);
        let last = u64::from_le_bytes(*places.last_chunk()?);
        main.part(first.checked_mul(block)?, last.checked_sub(first)?.checked_add(1)?.checked_mul(block)?)
    };
    Some((0..count).filter_map(entry).collect())
}

/// The four entries of a partition table of MS-DOS: type, first block from where the table counts, number of blocks.
fn entries(main: &View, at: u64) -> Vec<(u8, u64, u64)> {
    if !main.holds(at.saturating_add(510), &[0x55, 0xaa]) {
        return Vec::new();
    }
    let entry = |index: u64| {
        let at = at + 446 + index * 16;
        let [kind] = main.read(at + 4)?;
        Some((kind, main.le32(at + 8)?, main.le32(at + 12)?))
            .filter(|&(kind, _, blocks)| kind != 0 && blocks > 0)
    };
    (0..4).filter_map(entry).collect()
}

fn is_extended(kind: u8) -> bool {
    matches!(kind, 0x05 | 0x0f | 0x85)
}

fn mbr<'a>(main: &View<'a>, block: u64) -> Vec<View<'a>> {
    let mut found = Vec::new();
    for (kind, first, blocks) in entries(main, 0) {
        if is_extended(kind) {
            found.extend(logical(main, block, first));
        } else {
            found.extend(main.part(first * block, blocks * block));
        }
    }
    found
}

/// The chain of tables in an extended partition: each names a partition, from itself on, and the next table, from the first on.
fn logical<'a>(main: &View<'a>, block: u64, extended: u64) -> Vec<View<'a>> {
    let mut found = Vec::new();
    let mut table = extended;
    // A chain can be a circle.
    for _ in 0..PARTITIONS_MAX {
        let entries = entries(main, table * block);
        let partition = entries.iter().find(|(kind, ..)| !is_extended(*kind));
        found.extend(partition.and_then(|&(_, first, n)| main.part((table + first) * block, n * block)));
        match entries.iter().find(|(kind, ..)| is_extended(*kind)) {
            Some(&(_, next, _)) => table = extended + next,
            None => break,
        }
    }
    found
}
