//! What core asks of a host: reads, writes and flushes with addresses relative to main and to the spare's region.

/// One of the two devices of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The failing device; sector 0 is the first sector of the mapped device.
    Main,
    /// The spare; sector 0 is the first sector of the region.
    Spare,
}

/// What to do with the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Read into the buffer.
    Read,
    /// Write from the buffer.
    Write,
    /// Write from the buffer; complete only when the content is durable (FUA).
    WriteFua,
    /// Make everything that was completed before durable. Moves no data; sector, length and buffer are zero.
    Flush,
}

/// One request to a device. The buffer is the one that the host set aside for the machine that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoRequest {
    /// Where.
    pub device: Device,
    /// What.
    pub op: Op,
    /// First sector, from the start of main or of the spare's region.
    pub sector: u64,
    /// Length in sectors.
    pub sectors: u32,
    /// Where in the buffer the data is or goes, in sectors.
    pub buffer_sector: u32,
}

impl IoRequest {
    /// A flush of `device`.
    pub const fn flush(device: Device) -> IoRequest {
        IoRequest { device, op: Op::Flush, sector: 0, sectors: 0, buffer_sector: 0 }
    }
}
