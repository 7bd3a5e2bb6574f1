//! The `remap` target: what device-mapper asks, answered from main and the spare.

use core::ffi::CStr;
use core::fmt::Write;

use crate::bind::bio::{Bio, Ended, Mapped, Status};
use crate::bind::dm::{
    Args, CtrError, Device, DeviceVisitor, Offers, StatusKind, StatusText, Target, TargetInfo,
};
use crate::bind::Errno;

/// A live `remap` mapping.
pub struct Remap {
    main: Device,
    main_offset: u64,
    spare: Device,
    spare_offset: u64,
    len: u64,
}

fn invalid(text: &'static CStr) -> CtrError {
    CtrError { errno: Errno::EINVAL, text }
}

fn sector(args: &Args<'_>, index: usize, text: &'static CStr) -> Result<u64, CtrError> {
    args.number(index).ok_or_else(|| invalid(text))
}

impl Target for Remap {
    type PerBio = ();
    const NAME: &'static CStr = c"remap";
    const VERSION: [u32; 3] = [1, 0, 0];

    fn ctr(ti: &mut TargetInfo<'_>, args: &Args<'_>) -> Result<Self, CtrError> {
        if args.len() < 5 {
            return Err(invalid(c"remap needs <main_dev> <main_offset> 1 <spare_dev> <spare_offset>"));
        }
        let main_offset = sector(args, 1, c"bad main offset")?;
        if args.number(2) != Some(1) {
            return Err(invalid(c"the number of spares must be 1"));
        }
        let spare_offset = sector(args, 4, c"bad spare offset")?;
        let main = ti.open(args, 0).map_err(|errno| CtrError { errno, text: c"cannot open the main device" })?;
        let spare = ti.open(args, 3).map_err(|errno| CtrError { errno, text: c"cannot open the spare device" })?;
        ti.offer(&Offers { flush_bios: 1, discard_bios: 1, ..Offers::NONE });
        Ok(Remap { main, main_offset, spare, spare_offset, len: ti.len() })
    }

    fn map(&self, mut bio: Bio<'_, ()>) -> Mapped {
        let sector = match bio.has_sectors() {
            true => self.main_offset.wrapping_add(bio.target_sector()),
            false => bio.sector(),
        };
        bio.redirect(&self.main, sector);
        bio.remapped()
    }

    fn end_io(&self, bio: Bio<'_, ()>, status: Status) -> Ended {
        bio.done(status)
    }

    fn status(&self, kind: StatusKind, out: &mut StatusText<'_>) {
        // A full buffer is device-mapper's to notice: it asks again with a larger one.
        let _ = match kind {
            StatusKind::Info => write!(out, "rw 0/0 0 0"),
            StatusKind::Table => write!(
                out,
                "{} {} 1 {} {}",
                self.main.name(),
                self.main_offset,
                self.spare.name(),
                self.spare_offset
            ),
            StatusKind::Ima => write!(
                out,
                "target_name=remap,target_version=1.0.0,main={},main_offset={},spare={},spare_offset={};",
                self.main.name(),
                self.main_offset,
                self.spare.name(),
                self.spare_offset
            ),
        };
    }

    fn iterate_devices(&self, visitor: &DeviceVisitor<'_>) -> i32 {
        match visitor.visit(&self.main, self.main_offset, self.len) {
            0 => visitor.visit(&self.spare, self.spare_offset, self.spare.sectors().saturating_sub(self.spare_offset)),
            refused => refused,
        }
    }

    fn ioctl_device(&self) -> (&Device, bool) {
        (&self.main, self.main_offset == 0 && self.len == self.main.sectors())
    }
}
