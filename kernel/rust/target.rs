//! The `remap` target: what device-mapper asks, and who answers.

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering};

use remap_core::engine::commit::Work;
use remap_core::format::Superblock;
use remap_core::host::limits::mapped;
use remap_core::host::refusal::Refusal;
use remap_core::host::service::{self, Closing};
use remap_core::path::WRITE_ZEROES_SECTORS_MAX;
use remap_core::placement::{place, Claim, DeviceFacts};

use crate::beside::PerBio;
use crate::bind::alloc::KBox;
use crate::bind::bio::{Bio, Ended, Mapped, Status};
use crate::bind::dm::{
    Args, CtrError, Device, DeviceVisitor, Handle, Limits, Offers, StatusKind, StatusText, Target, TargetInfo,
};
use crate::bind::io::{BioPool, PageBuf};
use crate::bind::limits::of_part;
use crate::bind::work::WiredBox;
use crate::bind::{Errno, Result};
use crate::devices::Pair;
use crate::open::{self, Found};
use crate::registry::{registry, Entered};
use crate::set::{Functions, Set};
use crate::{answer, bios, commits, params, repairs, report};

/// One table of a mapped device.
pub struct Remap {
    set: WiredBox<Set>,
    /// Its place among all tables.
    entered: Entered,
    /// The set that the first resume writes, if the spare is still blank then.
    to_format: Option<KBox<Superblock>>,
    /// Whether that resume has succeeded.
    activated: AtomicBool,
}

fn refuse(errno: Errno, text: &'static CStr) -> CtrError {
    CtrError { errno, text }
}

fn no_memory(errno: Errno) -> CtrError {
    refuse(errno, c"no memory for the set")
}

/// The words of a table line, understood.
struct Line {
    main_offset: u64,
    spare_offset: u64,
    format: bool,
}

impl Line {
    fn parse(args: &Args<'_>) -> core::result::Result<Line, CtrError> {
        let invalid = |text| refuse(Errno::EINVAL, text);
        if args.len() < 5 {
            return Err(invalid(
                c"needs <main_dev> <main_offset> 1 <spare_dev> <spare_offset> [<#features> <feature>...]",
            ));
        }
        let number = |index, text| args.number(index).ok_or(invalid(text));
        let line = Line {
            main_offset: number(1, c"the offset of main is not a number of sectors")?,
            spare_offset: number(4, c"the offset of the spare is not a number of sectors")?,
            format: false,
        };
        if number(2, c"the number of spares is not a number")? != 1 {
            return Err(invalid(c"the number of spares must be 1"));
        }
        line.features(args)
    }

    fn features(mut self, args: &Args<'_>) -> core::result::Result<Line, CtrError> {
        if args.len() == 5 {
            return Ok(self);
        }
        let count = args.number(5).and_then(|n| usize::try_from(n).ok());
        if count.and_then(|n| n.checked_add(6)) != Some(args.len()) {
            return Err(refuse(
                Errno::EINVAL,
                c"the number of features is not the number of words that follow",
            ));
        }
        for index in 6..args.len() {
            match args.bytes(index) {
                Some(b"format") if !self.format => self.format = true,
                Some(b"format") => return Err(refuse(Errno::EINVAL, c"feature format given twice")),
                _ => return Err(refuse(Errno::EINVAL, c"unknown feature; the only one is: format")),
            }
        }
        Ok(self)
    }
}

fn facts(device: &Device, offset: u64) -> DeviceFacts {
    DeviceFacts {
        number: device.number(),
        sectors: device.sectors(),
        logical_block_bytes: device.logical_block_bytes(),
        zoned: device.is_zoned(),
        offset,
    }
}

/// What the works of a set do.
const FUNCTIONS: Functions = Functions {
    repair: [repairs::work::<0>, repairs::work::<1>, repairs::work::<2>, repairs::work::<3>],
    commit: commits::work,
    forward: bios::forward,
    tend: commits::tend,
};

/// Sets up what the callbacks share. Out of line, so that the frame in which it is made is gone when a device is read.
#[inline(never)]
fn share(
    pair: Pair,
    superblock: &Superblock,
    handle: Handle,
    writable: bool,
) -> core::result::Result<WiredBox<Set>, CtrError> {
    let set = Set::new(pair, superblock, handle, writable, &FUNCTIONS).map_err(no_memory)?;
    set.ok_or(Refusal::Map.into())
}

impl Remap {
    fn build(ti: &mut TargetInfo<'_>, args: &Args<'_>) -> core::result::Result<Remap, CtrError> {
        let line = Line::parse(args)?;
        if ti.begin() != 0 {
            return Err(refuse(Errno::EINVAL, c"the target must begin at sector 0"));
        }
        let main = ti.open(args, 0).map_err(|errno| refuse(errno, c"the main device cannot be opened"))?;
        let spare = ti.open(args, 3).map_err(|errno| refuse(errno, c"the spare device cannot be opened"))?;
        let placement = place(&facts(&main, line.main_offset), &facts(&spare, line.spare_offset), ti.len())
            .map_err(|why| refuse(Errno::EINVAL, why.text()))?;
        let pair =
            Pair { main, main_offset: line.main_offset, spare, spare_offset: line.spare_offset, placement };
        let handle = ti.handle();
        let pool = BioPool::new(1).map_err(no_memory)?;
        let mut buffer = PageBuf::new(open::BUFFER_BYTES).map_err(no_memory)?;
        // Claimed before anything is read: what another mapping writes says nothing about what the spare holds.
        let claim = Claim { owner: handle.device_number(), placement, set: None };
        let entered = registry()?.enter(claim)?;
        let found = open::look(&pair, &pool, &mut buffer, handle.device_name(), line.format)?;
        if matches!(found, Found::ToFormat(_)) && !ti.is_writable() {
            return Err(Refusal::ReadOnlyFormat.into());
        }
        let superblock = found.superblock().clone();
        entered.name_set(superblock.id)?;
        Ok(Remap {
            set: share(pair, &superblock, handle, ti.is_writable())?,
            entered,
            to_format: match found {
                Found::Set(_) => None,
                Found::ToFormat(superblock) => Some(KBox::new(superblock).map_err(no_memory)?),
            },
            activated: AtomicBool::new(false),
        })
    }
}

impl Target for Remap {
    type PerBio = PerBio;
    const NAME: &'static CStr = c"remap";
    const VERSION: [u32; 3] = [1, 0, 0];
    const FEATURES: u64 = crate::bind::dm::SINGLETON | crate::bind::dm::NOWAIT;

    fn ctr(ti: &mut TargetInfo<'_>, args: &Args<'_>) -> core::result::Result<Self, CtrError> {
        let remap = Remap::build(ti, args)?;
        ti.offer(&Offers {
            // To main as copy 0 and to the spare as copy 1.
            flush_bios: 2,
            discard_bios: 1,
            // Only main gets discards, so that the spare need not take them. What main does not take is not offered.
            always_discard: remap.set.pair.main.discards(),
            write_zeroes_bios: 1,
            ..Offers::NONE
        });
        Ok(remap)
    }

    #[inline]
    fn map(&self, bio: Bio<'_, PerBio>) -> Mapped {
        bios::map(&self.set, bio)
    }

    #[inline]
    fn end_io(&self, bio: Bio<'_, PerBio>, status: Status) -> Ended {
        bios::end_io(&self.set, bio, status)
    }

    fn status(&self, kind: StatusKind, out: &mut StatusText<'_>) {
        // A full buffer is device-mapper's to notice: it asks again with a larger one.
        let _ = match kind {
            StatusKind::Info => answer::info(&self.set, out),
            StatusKind::Table => answer::table(&self.set, out),
            StatusKind::Ima => answer::ima(&self.set, Self::VERSION, out),
        };
    }

    fn iterate_devices(&self, visitor: &DeviceVisitor<'_>) -> i32 {
        let (pair, placement) = (&self.set.pair, &self.set.pair.placement);
        match visitor.visit(&pair.main, pair.main_offset, placement.main.sectors) {
            0 => visitor.visit(&pair.spare, pair.spare_offset, placement.region.sectors),
            refused => refused,
        }
    }

    fn io_hints(&self, limits: &mut Limits<'_>) {
        // The spare's limits are stacked as well; what says how main is best used must survive that (S23).
        let main = of_part(&self.set.pair.main, self.set.pair.main_offset);
        limits.put(&mapped(&limits.get(), &main, WRITE_ZEROES_SECTORS_MAX));
    }

    fn message(&self, args: &Args<'_>, reply: &mut StatusText<'_>) -> Result<bool> {
        answer::message(&self.set, args, reply).map(|()| true)
    }

    fn presuspend(&self) {
        self.set.orders.pause();
        bios::push_back(&self.set);
    }

    fn presuspend_undo(&self) {
        self.set.orders.resume();
    }

    fn postsuspend(&self) {
        self.set.quiesce();
        // A worker that did not run any more may have had something to tell.
        self.set.stepped();
        self.set.state.store.with(|engine| report::slots(self.set.handle(), engine));
    }

    fn preresume(&self) -> Result<()> {
        self.entered.take_set();
        let (served, state) = (self.activated.load(Ordering::Acquire), &self.set.state);
        let resume = service::resume(served, state.store.is_live(), state.writable);
        if resume.settings {
            let settings = params::settings(&self.set.pair);
            state.store.with(|engine| engine.set_settings(settings));
        }
        if !served {
            open::activate(&self.set, resume, self.to_format.as_deref())?;
            self.activated.store(true, Ordering::Release);
            self.entered.serves();
        }
        self.set.orders.resume();
        self.set.clock.unpark();
        // The committer asks when it is to be told the time.
        self.set.kick_commit();
        Ok(())
    }
}

impl Drop for Remap {
    fn drop(&mut self) {
        self.set.quiesce();
        let closing = Closing {
            writable: self.set.state.writable,
            served: self.activated.load(Ordering::Acquire),
            owns_set: self.entered.owns_set(),
            sound: self.set.state.store.with(|engine| service::is_sound(engine)) == Some(true),
        };
        if closing.marks_clean() {
            commits::drive(&self.set, Some(Work::Close));
        }
        // Behind this nothing of the set runs by itself, and nothing can be started. The fields go next: devices, then the place among all
        // tables.
        self.set.shut_down();
    }
}
