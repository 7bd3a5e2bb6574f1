//! Reading main, or a part of it such as a partition, by byte.

use crate::device::Device;
use crate::progress::Progress;
use remap_core::format::MainShape;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Most reads that may fail: a disk can take many seconds for each.
pub const FAILED_READS_MAX: usize = 16;
/// How long after its making a view begins further reads, once one has failed.
const TIME_MAX: Duration = Duration::from_secs(120);

/// What failed so far, of a view and all its parts.
#[derive(Debug)]
struct Failures {
    /// Groups of which a read failed. None is read again.
    groups: Vec<u64>,
    /// Reads that failed.
    reads: usize,
    begun: Instant,
    progress: Progress,
    /// Sectors that were read, or tried.
    done: u64,
}

/// Main, or a part of it.
#[derive(Clone, Debug)]
pub struct View<'a> {
    device: &'a Device,
    shape: MainShape,
    /// Where main begins on the device, in sectors.
    main_offset: u64,
    /// Where the part begins on main, in bytes.
    start: u64,
    /// Length of the part in bytes.
    bytes: u64,
    failures: Rc<RefCell<Failures>>,
}

impl<'a> View<'a> {
    /// A main of this shape, from sector `main_offset` of the device on.
    pub fn new(device: &'a Device, shape: MainShape, main_offset: u64) -> View<'a> {
        let progress = Progress::new(format!("reading what marks {}", device.path().display()), None);
        let failures = Failures { groups: Vec::new(), reads: 0, begun: Instant::now(), progress, done: 0 };
        let failures = Rc::new(RefCell::new(failures));
        View { device, shape, main_offset, start: 0, bytes: shape.sectors.saturating_mul(512), failures }
    }

    /// The part of this one from byte `start` on, as far as it lies in it; `None` when that is nothing.
    pub fn part(&self, start: u64, bytes: u64) -> Option<View<'a>> {
        let bytes = bytes.min(self.bytes.checked_sub(start)?);
        (bytes > 0).then(|| View { start: self.start + start, bytes, ..self.clone() })
    }

    /// Where it begins on main, in bytes.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Length of main in sectors.
    pub fn sectors(&self) -> u64 {
        self.shape.sectors
    }

    /// Length and logical block of main.
    pub fn shape(&self) -> &MainShape {
        &self.shape
    }

    /// Number of groups of main.
    pub fn groups(&self) -> u64 {
        self.shape.groups()
    }

    /// The 4096 bytes of a group of main, zeros past its end; `None` when it cannot be read.
    pub fn group(&self, group: u64) -> Option<Vec<u8>> {
        let first = group.checked_mul(8)?;
        let sectors = self.shape.sectors.checked_sub(first)?.min(8);
        let mut content = vec![0; 4096];
        let read = content.get_mut(..usize::try_from(sectors).ok()? * 512)?;
        self.read_sectors(first, read)?;
        Some(content)
    }

    /// Number of groups of main that could not be read.
    pub fn failed_groups(&self) -> usize {
        self.failures.borrow().groups.len()
    }

    /// Number of reads of main that failed.
    #[cfg(test)]
    pub fn failed_reads(&self) -> usize {
        self.failures.borrow().reads
    }

    /// Whether so much failed that nothing is read any more.
    pub fn is_spent(&self) -> bool {
        let failures = self.failures.borrow();
        failures.reads >= FAILED_READS_MAX || (failures.reads > 0 && failures.begun.elapsed() > TIME_MAX)
    }

    /// Notes that these groups cannot be read.
    pub fn note_failure(&self, groups: std::ops::RangeInclusive<u64>) {
        let mut failures = self.failures.borrow_mut();
        failures.reads += 1;
        for group in groups {
            if !failures.groups.contains(&group) {
                failures.groups.push(group);
            }
        }
    }

    /// Reads whole sectors of main, unless their group failed before or too much did.
    fn read_sectors(&self, first: u64, content: &mut [u8]) -> Option<()> {
        let sectors = (content.len() / 512) as u64;
        let groups = first / 8..=(first + sectors.saturating_sub(1)) / 8;
        let failed = self.failures.borrow().groups.iter().any(|group| groups.contains(group));
        if failed || self.is_spent() {
            return None;
        }
        let read = self.device.read_at(self.main_offset.checked_add(first)?, content);
        if read.is_err() {
            self.note_failure(groups);
        }
        let mut failures = self.failures.borrow_mut();
        failures.done += sectors;
        let done = failures.done;
        failures.progress.at(done);
        read.ok()
    }

    /// `N` bytes from byte `at` of the part on; `None` when they do not lie in it or cannot be read.
    pub fn read<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let mut found = [0; N];
        let end = at.checked_add(N as u64)?;
        if end > self.bytes {
            return None;
        }
        let (at, end) = (self.start.checked_add(at)?, self.start.checked_add(end)?);
        let first = at / 512;
        let mut sectors = vec![0; usize::try_from(end.div_ceil(512) - first).ok()? * 512];
        self.read_sectors(first, &mut sectors)?;
        let skip = usize::try_from(at % 512).ok()?;
        found.copy_from_slice(sectors.get(skip..skip + N)?);
        Some(found)
    }

    /// Whether these bytes stand at byte `at`.
    pub fn holds<const N: usize>(&self, at: u64, bytes: &[u8; N]) -> bool {
        self.read::<N>(at).is_some_and(|found| found == *bytes)
    }

    /// A little-endian number at byte `at`.
    pub fn le16(&self, at: u64) -> Option<u64> {
        self.read(at).map(|bytes| u16::from_le_bytes(bytes).into())
    }

    /// A little-endian number at byte `at`.
    pub fn le32(&self, at: u64) -> Option<u64> {
        self.read(at).map(|bytes| u32::from_le_bytes(bytes).into())
    }

    /// A little-endian number at byte `at`.
    pub fn le64(&self, at: u64) -> Option<u64> {
        self.read(at).map(u64::from_le_bytes)
    }

    /// A big-endian number at byte `at`.
    pub fn be32(&self, at: u64) -> Option<u64> {
        self.read(at).map(|bytes| u32::from_be_bytes(bytes).into())
    }

    /// A big-endian number at byte `at`.
    pub fn be64(&self, at: u64) -> Option<u64> {
        self.read(at).map(u64::from_be_bytes)
    }
}
