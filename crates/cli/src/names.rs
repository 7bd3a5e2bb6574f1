//! The ways to name an open set: by its mapped device, by the path of that, by the set's UUID or by its label.

use crate::dm::Dm;
use crate::failure::{Failure, Kind, Result};
use crate::label::read_superblock;
use crate::number::Number;
use crate::set::{dm_failure, open_set};
use crate::table::{is_set, Status, TARGET, UUID_PREFIX};
use remap_core::format::SetId;
use std::path::Path;

/// What a label or a path means on this system.
pub struct Names<'a> {
    /// The number of the block device at a path.
    pub number_of: &'a dyn Fn(&Path) -> Option<Number>,
    /// The label of the open set of this name.
    pub label_of: &'a dyn Fn(&dyn Dm, &str) -> Option<String>,
}

/// The name of the mapped device that `given` means. What means none is returned as it is, for the verb to say so.
pub fn resolve(dm: &dyn Dm, given: &str) -> Result<String> {
    Names { number_of: &Number::at_path, label_of: &label_of }.resolve(dm, given)
}

/// Names that can be a file in /dev/mapper, and that device-mapper takes.
pub fn check_name(name: &str) -> Result<()> {
    let good = !name.is_empty() && name.len() < 128 && !matches!(name, "." | ".." | "control");
    if good && name.chars().all(|c| c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c)) {
        return Ok(());
    }
    let next = "use up to 127 letters, digits and any of # + - . : = @ _";
    Err(Failure::new(Kind::Parameters, format!("\"{name}\" cannot be the name of a device"), next))
}

/// A name for a set that has none yet: the label where that can be one, else one after main.
pub fn name_for(label: &str, main: &Path) -> String {
    if check_name(label).is_ok() {
        return label.to_string();
    }
    let base = main.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' };
    format!("remap-{}", base.chars().take(100).map(plain).collect::<String>())
}

impl Names<'_> {
    fn resolve(&self, dm: &dyn Dm, given: &str) -> Result<String> {
        if dm.info(given).is_ok() {
            return Ok(given.to_string());
        }
        if given.starts_with('/') {
            return self.by_path(dm, given);
        }
        let names = dm.names().map_err(|e| dm_failure("list the mapped devices", &e, dm))?;
        let sets: Vec<&String> = names.iter().filter(|name| is_ours(dm, name)).collect();
        let matching = match parse_id(given) {
            Some(id) => sets.iter().filter(|name| has_id(dm, name, &id)).collect::<Vec<_>>(),
            None => Vec::new(),
        };
        let by_label = |name: &&&String| (self.label_of)(dm, name).is_some_and(|label| label == given);
        let matching = if matching.is_empty() { sets.iter().filter(by_label).collect() } else { matching };
        match matching.as_slice() {
            [] => Ok(given.to_string()),
            [only] => Ok(only.to_string()),
            several => {
                let several: Vec<&str> = several.iter().map(|name| name.as_str()).collect();
                let what = format!("\"{given}\" is the label of several open sets: {}", several.join(", "));
                Err(Failure::new(Kind::Parameters, what, "give one of these names"))
            }
        }
    }

    fn by_path(&self, dm: &dyn Dm, given: &str) -> Result<String> {
        let number = (self.number_of)(Path::new(given));
        let names = dm.names().map_err(|e| dm_failure("list the mapped devices", &e, dm))?;
        let has_number = |name: &&String| number.is_some() && dm.info(name).ok().map(|i| i.number) == number;
        // Without a node, as where no udev runs, the name in the path counts.
        let name = || given.strip_prefix("/dev/mapper/").unwrap_or(given).to_string();
        Ok(names.iter().find(has_number).cloned().unwrap_or_else(name))
    }
}

fn is_ours(dm: &dyn Dm, name: &str) -> bool {
    dm.info(name).is_ok_and(|info| info.uuid.starts_with(UUID_PREFIX)) || open_set(dm, name).is_ok()
}

fn has_id(dm: &dyn Dm, name: &str, id: &SetId) -> bool {
    let by_uuid = dm.info(name).is_ok_and(|info| is_set(&info.uuid, id));
    let lines = || dm.status(name).unwrap_or_default();
    // A set that plain dmsetup made has no UUID of ours.
    by_uuid
        || lines().iter().any(|line| {
            let status = Status::parse(&line.text).filter(|_| line.target == TARGET);
            status.and_then(|s| s.set_uuid).is_some_and(|uuid| uuid == id.to_string())
        })
}

/// A UUID, with or without hyphens, in any case.
fn parse_id(text: &str) -> Option<SetId> {
    let digits: String = text.chars().filter(|&c| c != '-').collect();
    if digits.len() != 32 || !digits.is_ascii() {
        return None;
    }
    let mut id = [0; 16];
    for (byte, at) in id.iter_mut().zip((0..32).step_by(2)) {
        *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
    }
    Some(SetId(id))
}

/// The label on the spare of an open set.
fn label_of(dm: &dyn Dm, name: &str) -> Option<String> {
    let mapping = open_set(dm, name).ok()?.mapping;
    let superblock = read_superblock(&mapping).ok()?;
    Some(superblock.label.as_str().to_string()).filter(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dm::fake::FakeDm;

    const NUMBER: Number = Number { major: 254, minor: 3 };
    const ID: &str = "d0010203-0405-4607-8809-0a0b0c0d0e0f";

    fn resolved(dm: &FakeDm, given: &str) -> Result<String> {
        let number_of = |path: &Path| match path.to_str() {
            Some("/dev/dm-3" | "/dev/mapper/archive" | "/dev/disk/by-id/dm-name-archive") => Some(NUMBER),
            Some("/dev/sdb") => Some(Number { major: 8, minor: 16 }),
            _ => None,
        };
        let label_of = |_: &dyn Dm, name: &str| (name != "other").then(|| "attic".to_string());
        Names { number_of: &number_of, label_of: &label_of }.resolve(dm, given)
    }

    #[test]
    fn a_set_is_found_by_name_path_uuid_and_label() {
        for uuid in [&format!("REMAP-{}", ID.replace('-', "")), ""] {
            let mut dm = FakeDm::with_set("archive", uuid, NUMBER, 0);
            dm.devices[0].0.number = Number { major: 254, minor: 0 };
            let upper = ID.to_uppercase();
            for given in [
                "archive",
                "/dev/mapper/archive",
                "/dev/dm-3",
                "/dev/disk/by-id/dm-name-archive",
                ID,
                &upper,
                &ID.replace('-', ""),
                "attic",
            ] {
                assert_eq!(resolved(&dm, given).unwrap(), "archive", "{given}");
            }
            assert_eq!(resolved(&dm, "nobody").unwrap(), "nobody");
            assert_eq!(resolved(&dm, "/dev/sdb").unwrap(), "/dev/sdb");
            assert_eq!(resolved(&dm, "/dev/mapper/gone").unwrap(), "gone");
            // A name outranks a label.
            let mut second = dm.devices[1].clone();
            second.0.name = "attic".into();
            dm.devices.push(second);
            assert_eq!(resolved(&dm, "attic").unwrap(), "attic");
            dm.devices[2].0.name = "cellar".into();
            let said = resolved(&dm, "attic").unwrap_err();
            assert!(said.what.contains("archive, cellar") && said.kind == Kind::Parameters, "{said}");
        }
    }
}
