//! The devices of a table, and requests of core to them.

use remap_core::io::{Device as Which, IoRequest, Op};
use remap_core::placement::Placement;

use crate::bind::bio::Status;
use crate::bind::dm::Device;
use crate::bind::io::{BioPool, PageBuf, Request};

/// The two devices of a table and where our parts of them begin, in sectors.
pub struct Pair {
    /// Main.
    pub main: Device,
    /// Where main begins on its device.
    pub main_offset: u64,
    /// The spare.
    pub spare: Device,
    /// Where the region begins on its device.
    pub spare_offset: u64,
    /// Both extents.
    pub placement: Placement,
}

impl Pair {
    /// One of the two.
    pub fn device(&self, which: Which) -> &Device {
        self.locate(which, 0).0
    }

    /// Device and absolute sector of a request. What core asks for lies within the device, so that the sum cannot wrap.
    #[inline]
    pub fn locate(&self, which: Which, sector: u64) -> (&Device, u64) {
        match which {
            Which::Main => (&self.main, self.main_offset.wrapping_add(sector)),
            Which::Spare => (&self.spare, self.spare_offset.wrapping_add(sector)),
        }
    }

    /// Carries out one request of core with a buffer.
    pub fn run(&self, pool: &BioPool, request: IoRequest, buffer: &mut PageBuf) -> Status {
        let (device, sector) = self.locate(request.device, request.sector);
        let offset = (request.buffer_sector as usize).saturating_mul(512);
        let len = (request.sectors as usize).saturating_mul(512);
        let status = match request.op {
            Op::Flush => Some(pool.run_one(Request::flush(device))),
            Op::Read => {
                buffer.part_mut(offset, len).map(|part| pool.run_one(Request::read(device, sector, part)))
            }
            Op::Write | Op::WriteFua => {
                let fua = request.op == Op::WriteFua;
                buffer.part(offset, len).map(|part| pool.run_one(Request::write(device, sector, part, fua)))
            }
        };
        // A request that goes past its buffer is a fault of ours, never the device's.
        status.unwrap_or(Status::INVAL)
    }
}
