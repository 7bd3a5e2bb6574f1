//! Main and spare as they were given, and the set that the spare holds.

use crate::args::Offsets;
use crate::device::{read_only, Access, Device};
use crate::failure::{Failure, Kind, Result};
use crate::holders::{self, BesideIdle, System};
use crate::identity;
use crate::shell;
use crate::spare::Spare;
use crate::table::Mapping;
use remap_core::format::{ChooseError, Samples, Superblock};
use remap_core::placement::place;
use std::path::Path;

/// What the caller wants of a set.
pub struct Wish {
    /// It looks like another disk, and is meant all the same.
    pub force: bool,
    /// It is only read, through segments of what every device-mapper has: another length or logical block of main is no obstacle.
    pub reads_linear: bool,
    /// The command that does so.
    pub linear: String,
}

/// Two devices or files, open for reading. While they are open nothing is claimed.
pub struct Pair {
    /// The failing device.
    pub main: Device,
    /// The device of the spare.
    pub spare: Device,
    /// Where the two begin.
    pub offsets: Offsets,
    /// What counts of the superblocks.
    pub superblock: Superblock,
    /// The samples of main that it holds.
    pub samples: Samples,
}

impl Pair {
    /// Opens both and reads the superblocks. `force` lets a minority of them count; `by_few` is the command that does.
    pub fn read(main: &Path, spare: &Path, offsets: Offsets, force: bool, by_few: &str) -> Result<Pair> {
        let main = Device::open(main, Access::Read)?;
        let spare = Device::open(spare, Access::Read)?;
        let same = main.is_same(&spare);
        let region = Spare::new(&spare, offsets.spare_offset, same.then_some(offsets.main_offset))?;
        region.check_size("check the device and --spare-offset")?;
        let (superblock, samples) = region.choose_with_samples(force).map_err(|why| {
            let mut failure = region.explain(&why);
            if let ChooseError::Minority { .. } = why {
                failure.next = format!("make half of them readable, or read what these know of: `{by_few}`");
            }
            let swapped =
                || Spare::new(&main, offsets.main_offset, None).is_ok_and(|spare| spare.choose(true).is_ok());
            if !same && swapped() {
                let (main, spare) = (main.path().display(), spare.path().display());
                failure.next = format!("{main} is one: MAIN comes first, as in `{spare} {main}`");
            }
            failure
        })?;
        Ok(Pair { main, spare, offsets, superblock, samples })
    }

    fn is_one_device(&self) -> bool {
        self.main.is_same(&self.spare)
    }

    /// The region of the spare.
    pub fn region(&self) -> Result<Spare<'_>> {
        Spare::new(
            &self.spare,
            self.offsets.spare_offset,
            self.is_one_device().then_some(self.offsets.main_offset),
        )
    }

    /// Refuses a spare that is in part the same place as main (S23), and read-only devices to a set that is not.
    pub fn check_devices(&self, system: &System<'_>, readonly: bool) -> Result<()> {
        let Offsets { main_offset, spare_offset } = self.offsets;
        let main = main_offset..main_offset.saturating_add(self.superblock.main.sectors);
        let spare = spare_offset..spare_offset.saturating_add(self.region()?.region_blocks.saturating_mul(8));
        holders::check_apart(system, &self.main.part(main), &self.spare.part(spare))?;
        let writes_to =
            [&self.main, &self.spare].into_iter().find(|device| !readonly && device.is_read_only());
        writes_to.map_or(Ok(()), |device| {
            let mut failure = read_only(device.path());
            failure.next += "; --readonly opens the set without writing";
            Err(failure)
        })
    }

    /// Refuses a main or a spare that anything else uses (S21); returns what `beside_idle` lets pass.
    pub fn check_holders(&self, system: &System<'_>, beside_idle: bool) -> Result<Vec<String>> {
        let Offsets { main_offset, spare_offset } = self.offsets;
        let main = main_offset..main_offset.saturating_add(self.superblock.main.sectors);
        let spare = spare_offset..spare_offset.saturating_add(self.region()?.region_blocks.saturating_mul(8));
        let beside_idle = BesideIdle::given(beside_idle);
        let passed = [
            holders::check(system, self.main.path(), self.main.number, main, beside_idle)?,
            holders::check(system, self.spare.path(), self.spare.number, spare, beside_idle)?,
        ];
        Ok(passed.into_iter().flatten().collect())
    }

    /// Compares main with what the superblock says; returns what is worth knowing.
    pub fn check_main(&self, wish: &Wish) -> Result<Vec<String>> {
        let main_offset = self.offsets.main_offset;
        let sectors = self.sectors_of_main();
        let found = identity::compare(&self.superblock, &self.samples, &self.main, main_offset, sectors);
        let path = self.main.path().display();
        let mut warnings = found.warnings;
        if !found.shape.is_empty() {
            let what = format!("{path} is not as the set knows its main: {}", found.shape.join("; "));
            if !wish.reads_linear && !wish.force {
                return Err(Failure::new(Kind::Device, what, self.shape_advice(wish)));
            }
            warnings.push(if wish.reads_linear { what } else { format!("{what}; forced") });
        }
        if !found.mismatches.is_empty() {
            let why: Vec<String> = found.shape.into_iter().chain(found.mismatches).collect();
            let what = format!("{path} is not as the set knows its main: {}", why.join("; "));
            if !wish.force {
                let next = "check both devices and offsets. If main was written without the map since, sectors that live \
                            on the spare may not fit the rest; --force opens it all the same";
                return Err(Failure::new(Kind::Device, what, next));
            }
            warnings.push(format!("{what}; forced"));
        }
        warnings.extend(self.region()?.growth(&self.superblock));
        Ok(warnings)
    }

    /// Sectors that main has now.
    pub fn sectors_of_main(&self) -> u64 {
        let spare_start = self.is_one_device().then_some(self.offsets.spare_offset);
        self.main.sectors_of_main(self.offsets.main_offset, spare_start)
    }

    /// What works with a main of another length or logical block.
    fn shape_advice(&self, wish: &Wish) -> String {
        let set = &self.superblock.main;
        let main = shell::quoted(&self.main.path().to_string_lossy());
        let mut next = String::from("check the device and --main-offset. ");
        if self.main.number.is_some() && self.main.block_bytes != set.block_bytes {
            next += &format!(
                "`losetup --find --show --sector-size {} {main}` makes a device with the logical block of the set; ",
                set.block_bytes
            );
        }
        if self.sectors_of_main() > set.sectors {
            next += "--force leaves the rest of main unused; ";
        }
        next + &format!("what is there can be read by `{}`", wish.linear)
    }

    /// What the kernel's target insists on, whatever is forced (S20, S23), and what a linear assembly that is only read needs. A
    /// file has the logical block that the set knows.
    pub fn check_placement(&self, wish: &Wish) -> Result<()> {
        let set = &self.superblock.main;
        let mut main = self.main.facts(0, self.offsets.main_offset);
        let mut spare = self.spare.facts(u32::from(!self.is_one_device()), self.offsets.spare_offset);
        if self.main.number.is_none() {
            main.logical_block_bytes = set.block_bytes;
        }
        if wish.reads_linear {
            // Where main ends its segments do, and what they must be aligned to is looked at one by one.
            main.sectors = main.sectors.max(main.offset.saturating_add(set.sectors));
            main.logical_block_bytes = set.block_bytes;
            spare.logical_block_bytes = spare.logical_block_bytes.min(set.block_bytes);
        }
        let what = match place(&main, &spare, set.sectors) {
            Err(e) => e.text().to_string_lossy().into_owned(),
            Ok(_) if main.logical_block_bytes != set.block_bytes => {
                let (is, was) = (main.logical_block_bytes, set.block_bytes);
                format!("the logical block of main has {is} bytes, that of the set's main {was}")
            }
            Ok(_) => return Ok(()),
        };
        let (main, spare) = (self.main.path().display(), self.spare.path().display());
        let what = format!("{main} and {spare}: {what}");
        Err(Failure::new(Kind::Device, what, self.shape_advice(wish)))
    }

    /// The mapping, with the devices named as the function says.
    fn mapping(&self, name: impl Fn(&Device) -> Result<String>) -> Result<Mapping> {
        Ok(Mapping {
            main: name(&self.main)?,
            main_offset: self.offsets.main_offset,
            spare: name(&self.spare)?,
            spare_offset: self.offsets.spare_offset,
            features: Vec::new(),
        })
    }

    /// The mapping, by the numbers of the devices.
    pub fn mapping_by_number(&self) -> Result<Mapping> {
        self.mapping(|device| {
            device.number.map(|number| number.to_string()).ok_or_else(|| {
                let what = format!("{} is a file, not a block device", device.path().display());
                let path = shell::quoted(&device.path().to_string_lossy());
                let next =
                    format!("`losetup --find --show {path}` makes it a device: give that in its place");
                Failure::new(Kind::Device, what, next)
            })
        })
    }

    /// The mapping, by the paths that were given, for another system than this. One with white space in it cannot be in a
    /// table: there, the number.
    pub fn mapping_by_path(&self) -> Result<Mapping> {
        self.mapping(|device| {
            let path = std::path::absolute(device.path()).unwrap_or_else(|_| device.path().to_path_buf());
            let path = path.to_string_lossy().into_owned();
            let plain = !path.chars().any(|c| c.is_whitespace() || c == '\\');
            match device.number {
                Some(number) if !plain => Ok(number.to_string()),
                None if !plain => {
                    let what = format!(
                        "the path {path} cannot be in a table: it has white space or a backslash in it"
                    );
                    Err(Failure::new(Kind::Parameters, what, "give it another name"))
                }
                _ => Ok(path),
            }
        })
    }
}
