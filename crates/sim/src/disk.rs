//! A disk in memory: a volatile write cache, sectors that fail, and power that goes away.
//!
//! What was written and not flushed is kept as a list of versions per sector. A read sees the latest; a crash leaves each
//! atomic unit with any of them, or with what was durable (`docs/format.md`, Assumptions about the media).

use std::collections::BTreeMap;

use remap_core::error::ErrorKind;

use crate::rng::Rng;

const SECTOR: usize = 512;
type Bytes = Box<[u8; SECTOR]>;

/// Reads or writes that fail for ever.
pub const ALWAYS: u32 = u32::MAX;

/// One disk.
pub struct Disk {
    durable: Vec<u8>,
    /// Unflushed versions of a sector, oldest first, with the number of the write that brought them.
    cache: BTreeMap<u64, Vec<(u64, Bytes)>>,
    writes: u64,
    /// Unit that never tears, in sectors.
    atomic: u64,
    /// Unit that fails as a whole, in sectors.
    physical: u64,
    /// Sectors of the first such unit that lie before sector 0.
    pub lead: u64,
    /// Physical blocks that fail writes, and how often they still do.
    write_faults: BTreeMap<u64, u32>,
    /// Sectors that fail reads, until they are written, and how often they still do.
    read_faults: BTreeMap<u64, u32>,
    /// A sector that fails reads takes its physical block with it.
    pub reads_fail_whole: bool,
    /// A write that fails may leave all of the physical block unreadable, also what it did not carry.
    pub writes_spoil_whole: bool,
    /// Sectors that could be read before a write failed that did not carry them, and not after it.
    pub cost: Vec<u64>,
    /// Every write fails.
    pub writes_fail: bool,
    /// So many flushes still fail.
    pub flushes_fail: u32,
    /// A write with FUA is done as a write and a flush of the whole cache.
    pub fua_flushes: bool,
    /// Writes with FUA that failed for their flush.
    pub fua_flushes_failed: u64,
    /// One in so many thousand requests fails for a reason that has nothing to do with the medium.
    pub odd_errors_permille: u64,
}

impl Disk {
    /// A disk of zeros.
    pub fn new(sectors: u64, atomic: u64, physical: u64) -> Disk {
        Disk {
            durable: vec![0; sectors as usize * SECTOR],
            cache: BTreeMap::new(),
            writes: 0,
            atomic,
            physical,
            lead: 0,
            write_faults: BTreeMap::new(),
            read_faults: BTreeMap::new(),
            reads_fail_whole: false,
            writes_spoil_whole: false,
            cost: Vec::new(),
            writes_fail: false,
            flushes_fail: 0,
            fua_flushes: false,
            fua_flushes_failed: 0,
            odd_errors_permille: 0,
        }
    }

    /// The sectors of a physical block.
    fn block(&self, nth: u64) -> std::ops::Range<u64> {
        let border = |nth: u64| (nth * self.physical).saturating_sub(self.lead);
        border(nth)..border(nth + 1)
    }

    /// Whether it fails by more than the sector.
    pub fn fails_by_the_block(&self) -> bool {
        self.physical > 1
    }

    /// Sectors of the disk.
    pub fn sectors(&self) -> u64 {
        (self.durable.len() / SECTOR) as u64
    }

    /// The durable bytes, for what is there from the start and for tests that look behind the scenes.
    pub fn durable_mut(&mut self) -> &mut [u8] {
        &mut self.durable
    }

    /// Makes the physical block of `sector` fail its next `times` writes.
    pub fn fail_writes(&mut self, sector: u64, times: u32) {
        self.write_faults.insert((sector + self.lead) / self.physical, times);
    }

    /// Lets writes to the physical block of `sector` succeed again.
    pub fn heal_writes(&mut self, sector: u64) {
        self.write_faults.remove(&((sector + self.lead) / self.physical));
    }

    /// Makes the next `times` reads of `sector` fail, unless it is written before.
    pub fn fail_reads(&mut self, sector: u64, times: u32) {
        self.read_faults.insert(sector, times);
    }

    /// Lets reads of `sector` succeed again.
    pub fn heal_reads(&mut self, sector: u64) {
        self.read_faults.remove(&sector);
    }

    /// The sectors of a range that cannot be read now.
    pub fn unreadable(&self, sector: u64, count: u64) -> Vec<u64> {
        let bad = |s: u64| {
            let block =
                if self.reads_fail_whole { self.block((s + self.lead) / self.physical) } else { s..s + 1 };
            self.read_faults.range(block).any(|(_, times)| *times > 0)
        };
        (sector..sector + count).filter(|s| bad(*s)).collect()
    }

    /// Reads whole sectors, as a request of a live set does: a fault that passes has happened once more, and there may be errors that
    /// have nothing to do with the medium.
    pub fn serve_read(&mut self, sector: u64, out: &mut [u8], rng: &mut Rng) -> Result<(), ErrorKind> {
        if rng.permille(self.odd_errors_permille) {
            return Err(ErrorKind::Transport);
        }
        let count = (out.len() / SECTOR) as u64;
        let result = self.read(sector, out);
        let (first, last) = (sector + self.lead, sector + count - 1 + self.lead);
        let whole = self.block(first / self.physical).start..self.block(last / self.physical).end;
        let range = if self.reads_fail_whole { whole } else { sector..sector + count };
        for (_, times) in self.read_faults.range_mut(range) {
            if *times != ALWAYS {
                *times = times.saturating_sub(1);
            }
        }
        result
    }

    /// Reads whole sectors.
    pub fn read(&self, sector: u64, out: &mut [u8]) -> Result<(), ErrorKind> {
        let count = (out.len() / SECTOR) as u64;
        if sector + count > self.sectors() {
            return Err(ErrorKind::Io);
        }
        if !self.unreadable(sector, count).is_empty() {
            return Err(ErrorKind::Medium);
        }
        for (i, out) in out.chunks_exact_mut(SECTOR).enumerate() {
            let at = sector + i as u64;
            out.copy_from_slice(self.latest(at));
        }
        Ok(())
    }

    fn latest(&self, sector: u64) -> &[u8] {
        match self.cache.get(&sector).and_then(|v| v.last()) {
            Some((_, bytes)) => &bytes[..],
            None => &self.durable[sector as usize * SECTOR..][..SECTOR],
        }
    }

    /// Writes whole sectors; with `fua`, durably. A write that fails leaves in each sector the old content, the new, or
    /// nothing that can be read.
    pub fn write(&mut self, sector: u64, data: &[u8], fua: bool, rng: &mut Rng) -> Result<(), ErrorKind> {
        let count = (data.len() / SECTOR) as u64;
        if sector + count > self.sectors() {
            return Err(ErrorKind::Io);
        }
        if rng.permille(self.odd_errors_permille) {
            return Err(ErrorKind::Transport);
        }
        let bad = self.take_faults(sector, count);
        if bad.is_empty() && !self.writes_fail {
            self.writes += 1;
            for (i, bytes) in data.chunks_exact(SECTOR).enumerate() {
                self.put(sector + i as u64, bytes, fua && !self.fua_flushes);
            }
            if fua && self.fua_flushes {
                let flushed = self.flush(self.flush_mark());
                self.fua_flushes_failed += u64::from(flushed.is_err());
                return flushed;
            }
            return Ok(());
        }
        self.land_partly(sector, data, rng);
        for block in bad {
            if self.writes_spoil_whole {
                self.spoil_whole(block, sector..sector + count, rng);
                continue;
            }
            for s in self.block(block) {
                if rng.percent(30) && s >= sector && s < sector + count {
                    self.read_faults.insert(s, ALWAYS);
                }
            }
        }
        Err(rng.pick(&[ErrorKind::Medium, ErrorKind::Io, ErrorKind::Target]))
    }

    /// A write of `carried` has failed in a physical block: none of it can be read any more, or all of it as before.
    fn spoil_whole(&mut self, block: u64, carried: std::ops::Range<u64>, rng: &mut Rng) {
        if !rng.percent(30) {
            return;
        }
        let block = self.block(block);
        let block = block.start..block.end.min(self.sectors());
        let beside = block.clone().filter(|s| !carried.contains(s));
        let cost: Vec<u64> = beside.filter(|s| self.unreadable(*s, 1).is_empty()).collect();
        self.cost.extend(cost);
        self.read_faults.extend(block.map(|s| (s, ALWAYS)));
    }

    /// The physical blocks in the range that fail this write.
    fn take_faults(&mut self, sector: u64, count: u64) -> Vec<u64> {
        let blocks =
            (sector + self.lead) / self.physical..(sector + self.lead + count).div_ceil(self.physical);
        let mut bad = Vec::new();
        for (block, times) in self.write_faults.range_mut(blocks) {
            if *times > 0 {
                bad.push(*block);
                if *times != ALWAYS {
                    *times -= 1;
                }
            }
        }
        bad
    }

    fn put(&mut self, sector: u64, bytes: &[u8], durable: bool) {
        self.read_faults.remove(&sector);
        if durable {
            self.cache.remove(&sector);
            self.durable[sector as usize * SECTOR..][..SECTOR].copy_from_slice(bytes);
        } else {
            let mut copy = Box::new([0; SECTOR]);
            copy.copy_from_slice(bytes);
            self.cache.entry(sector).or_default().push((self.writes, copy));
        }
    }

    /// Lets each atomic unit of a write land or not, as happens when it fails or the power goes away under it.
    pub fn land_partly(&mut self, sector: u64, data: &[u8], rng: &mut Rng) {
        self.writes += 1;
        let mut landed = false;
        for (i, bytes) in data.chunks_exact(SECTOR).enumerate() {
            let at = sector + i as u64;
            if i == 0 || at % self.atomic == 0 {
                landed = rng.percent(50);
            }
            if landed && at < self.sectors() {
                self.put(at, bytes, false);
            }
        }
    }

    /// What a flush that is issued now makes durable: everything up to this number.
    pub fn flush_mark(&self) -> u64 {
        self.writes
    }

    /// Ends a flush that was issued at `mark`.
    pub fn flush(&mut self, mark: u64) -> Result<(), ErrorKind> {
        if self.flushes_fail > 0 {
            self.flushes_fail -= 1;
            return Err(ErrorKind::Io);
        }
        let durable = &mut self.durable;
        self.cache.retain(|sector, versions| {
            if let Some((_, bytes)) = versions.iter().rev().find(|(n, _)| *n <= mark) {
                durable[*sector as usize * SECTOR..][..SECTOR].copy_from_slice(&bytes[..]);
            }
            versions.retain(|(n, _)| *n > mark);
            !versions.is_empty()
        });
        Ok(())
    }

    /// The power goes away: of what was not flushed, any version of each atomic unit may be what stays.
    pub fn crash(&mut self, rng: &mut Rng) {
        let cache = std::mem::take(&mut self.cache);
        let mut chosen: Option<(u64, u64)> = None;
        for (sector, versions) in cache {
            let unit = sector / self.atomic;
            let upto = match chosen {
                Some((u, upto)) if u == unit => upto,
                _ => match rng.index(versions.len() + 1) {
                    0 => 0,
                    n => versions[n - 1].0,
                },
            };
            chosen = Some((unit, upto));
            if let Some((_, bytes)) = versions.iter().rev().find(|(n, _)| *n <= upto) {
                self.durable[sector as usize * SECTOR..][..SECTOR].copy_from_slice(&bytes[..]);
            }
        }
    }

    /// Puts whole sectors there, durable, from behind.
    pub fn replace(&mut self, sector: u64, data: &[u8]) {
        for (i, bytes) in data.chunks_exact(SECTOR).enumerate() {
            self.put(sector + i as u64, bytes, true);
        }
    }

    /// Damages a 4096-byte block where it lies.
    pub fn rot(&mut self, sector: u64, rng: &mut Rng) {
        let at = sector as usize * SECTOR + rng.index(8 * SECTOR);
        self.durable[at] ^= 1 << rng.below(8);
    }
}
