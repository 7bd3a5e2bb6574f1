//! Places that filesystems, LVM and md write to, on main or in a partition. Offsets are those of the published on-disk formats.

use super::places::Places;
use super::view::View;

const GROUP_BYTES: u64 = 4096;

/// An XFS filesystem, by its superblock (XFS Algorithms & Data Structures, 3rd edition: big-endian numbers).
struct Xfs {
    block_bytes: u64,
    sector_bytes: u64,
    /// Length of an allocation group in blocks.
    group_blocks: u64,
    groups: u64,
    /// Where the log begins, in bytes, and its length in basic blocks of 512 bytes; no length if it is on another device.
    log: (u64, u64),
}

impl Xfs {
    fn of(volume: &View) -> Option<Xfs> {
        if !volume.holds(0, b"XFSB") {
            return None;
        }
        let block_bytes = volume.be32(4)?;
        let (log_start, log_blocks) = (volume.be64(48)?, volume.be32(96)?);
        let (group_blocks, groups) = (volume.be32(84)?, volume.be32(88)?);
        let [group_bits] = volume.read(124)?;
        let [sector_bits] = volume.read(121)?;
        let sector_bytes = 1_u64.checked_shl(sector_bits.into())?;
        // The number of a block has its allocation group in the bits above `group_bits`.
        let group = log_start.checked_shr(group_bits.into())?;
        let in_group = log_start & 1_u64.checked_shl(group_bits.into())?.wrapping_sub(1);
        let block = group.checked_mul(group_blocks)?.checked_add(in_group)?;
        let log_sectors = if log_start == 0 { 0 } else { log_blocks.checked_mul(block_bytes)? / 512 };
        let log = (block.checked_mul(block_bytes)?, log_sectors);
        Some(Xfs { block_bytes, sector_bytes, group_blocks, groups, log })
    }
}

/// Where XFS will write its log next: every transaction goes there, and so does the end of every mount for writing.
pub fn xfs_log(volume: &View, places: &mut Places) {
    let Some((start, blocks)) = Xfs::of(volume).map(|xfs| xfs.log).filter(|&(_, blocks)| blocks > 1) else {
        return;
    };
    let Some(log) = volume.part(start, blocks.saturating_mul(512)) else { return };
    if let Some(head) = xfs_log_head(&log, blocks) {
        // With the last block that was written, which is in the group before if the next one begins a group.
        places.add(&log, (head * 512).saturating_sub(512), 4 * GROUP_BYTES);
    }
}

/// The basic block that is written next. Each has the number of the round that wrote it, and those of the present round come
/// first; if all have the same it is the first.
fn xfs_log_head(log: &View, blocks: u64) -> Option<u64> {
    // The first word of a block; in the header of a record that is a magic number, and the round comes second.
    let round = |block: u64| match log.be32(block * 512)? {
        0xfeed_babe => log.be32(block * 512 + 4),
        round => Some(round),
    };
    let present = round(0)?;
    let (mut low, mut high) = (0, blocks - 1);
    if round(high)? == present {
        return Some(0);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match round(middle)? == present {
            true => low = middle,
            false => high = middle,
        }
    }
    Some(high)
}

/// The headers of XFS's allocation groups but the first: superblock, free space, inodes, free list, a sector each.
pub fn xfs_groups(volume: &View, places: &mut Places) {
    let Some(xfs) = Xfs::of(volume) else { return };
    // There is no room for more.
    for group in 1..xfs.groups.min(16) {
        let block = group.saturating_mul(xfs.group_blocks);
        places.add(volume, block.saturating_mul(xfs.block_bytes), xfs.sector_bytes.saturating_mul(4));
    }
}

/// A superblock of md 0.90 or 1.0, which is at the end; the others are at the start.
pub fn md_at_the_end(volume: &View, places: &mut Places) {
    let sectors = volume.bytes() / 512;
    let v0_90 = (sectors & !127).checked_sub(128);
    let v1_0 = sectors.checked_sub(16).map(|at| at & !7);
    for at in [v0_90, v1_0].into_iter().flatten() {
        // In the byte order of the machine in 0.90, little-endian in 1.0.
        if volume.le32(at * 512) == Some(0xa92b_4efc) || volume.be32(at * 512) == Some(0xa92b_4efc) {
            places.add(volume, at * 512, GROUP_BYTES);
        }
    }
}

/// The first blocks of the journal of ext3 or ext4. The superblock has a copy of the journal's inode: an extent tree, or the
/// numbers of blocks.
pub fn ext_journal(volume: &View, places: &mut Places) {
    if let Some(at) = ext_journal_start(volume) {
        places.add(volume, at, 4 * GROUP_BYTES);
    }
}

fn ext_journal_start(volume: &View) -> Option<u64> {
    const SUPERBLOCK: u64 = 1024;
    const HAS_JOURNAL: u64 = 4;
    const IS_BACKUP_OF_BLOCKS: u8 = 1;
    let has_journal =
        volume.le16(SUPERBLOCK + 56)? == 0xef53 && volume.le32(SUPERBLOCK + 92)? & HAS_JOURNAL != 0;
    let [backup] = volume.read(SUPERBLOCK + 253)?;
    if !has_journal || backup != IS_BACKUP_OF_BLOCKS {
        return None;
    }
    let block_bytes = 1024_u64.checked_shl(u32::try_from(volume.le32(SUPERBLOCK + 24)?).ok()?)?;
    let mut node = SUPERBLOCK + 268;
    // The tree has at most five levels of indices.
    for _ in 0..=5 {
        if volume.le16(node)? != 0xf30a {
            // A block number, which is 0 if this is a damaged tree.
            return volume.le32(node)?.checked_mul(block_bytes);
        }
        let depth = volume.le16(node + 6)?;
        let first = node + 12;
        let (low, high) = match depth {
            0 => (volume.le32(first + 8)?, volume.le16(first + 6)?),
            _ => (volume.le32(first + 4)?, volume.le16(first + 8)?),
        };
        let at = (high << 32 | low).checked_mul(block_bytes)?;
        if depth == 0 {
            return Some(at);
        }
        node = at;
    }
    None
}

/// The superblocks of btrfs but the first. Every commit writes all of them.
pub fn btrfs_superblocks(volume: &View, places: &mut Places) {
    if volume.holds((64 << 10) + 64, b"_BHRfS_M") {
        for at in [64 << 20, 256 << 30] {
            places.add(volume, at, GROUP_BYTES);
        }
    }
}

/// The headers of LVM's metadata areas, which name the text that counts. The label says where they are.
pub fn lvm_metadata(volume: &View, places: &mut Places) {
    let label = (0..4)
        .map(|sector| sector * 512)
        .find(|&at| volume.holds(at, b"LABELONE") && volume.holds(at + 24, b"LVM2 001"));
    let header = label.and_then(|at| Some(at + volume.le32(at + 20)?));
    let Some(header) = header else { return };
    // Behind UUID and size two lists of offset and size, each with zeros at its end: data, then metadata.
    let mut lists_left = 2;
    for index in 0..16 {
        let at = header + 40 + index * 16;
        let (Some(offset), Some(_)) = (volume.le64(at), volume.le64(at + 8)) else { return };
        match (offset, lists_left) {
            (0, 1) => return,
            (0, _) => lists_left -= 1,
            (_, 1) => places.add(volume, offset, GROUP_BYTES),
            _ => {}
        }
    }
}
