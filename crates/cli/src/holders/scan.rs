//! Finding the users of a device in sysfs, in the lists of mounts and swaps, and in the tables of device-mapper.

use super::{System, User, What};
use crate::dm::Line;
use crate::number::Number;
use crate::table::TARGET;
use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Most devices that are followed one on top of the other; the kernel's own stacks are far lower.
const DEPTH_MAX: u32 = 32;

/// A block device in sysfs.
pub(super) struct Node {
    pub(super) number: Number,
    name: String,
    dir: PathBuf,
}

impl Node {
    /// The device of that directory.
    fn at(dir: &Path) -> Option<Node> {
        let dir = dir.canonicalize().ok()?;
        let number = Number::parse(&text(&dir.join("dev"))?)?;
        Some(Node { number, name: dir.file_name()?.to_string_lossy().into_owned(), dir })
    }

    fn is_partition(&self) -> bool {
        self.dir.join("partition").exists()
    }

    /// The disk that it is a part of.
    pub(super) fn disk(&self) -> Option<Node> {
        self.is_partition().then(|| self.dir.parent().and_then(Node::at)).flatten()
    }

    fn partitions(&self) -> Vec<Node> {
        nodes_in(&self.dir).into_iter().filter(Node::is_partition).collect()
    }

    pub(super) fn dm_name(&self) -> Option<String> {
        text(&self.dir.join("dm/name"))
    }

    /// Where a partition begins on its disk, in sectors.
    pub(super) fn start(&self) -> Option<u64> {
        text(&self.dir.join("start"))?.parse().ok()
    }

    /// The devices directly below.
    pub(super) fn slaves(&self) -> Vec<Node> {
        nodes_in(&self.dir.join("slaves"))
    }

    /// Length in sectors.
    fn sectors(&self) -> Option<u64> {
        text(&self.dir.join("size"))?.parse().ok()
    }
}

/// The block devices that the entries of a directory are or lead to, by name.
fn nodes_in(dir: &Path) -> Vec<Node> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut nodes: Vec<Node> = entries.filter_map(|entry| Node::at(&entry.path())).collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes
}

fn text(path: &Path) -> Option<String> {
    let text = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&text).trim_end_matches('\n').to_string()).filter(|text| !text.is_empty())
}

impl System<'_> {
    pub(super) fn node(&self, number: Number) -> Option<Node> {
        Node::at(&self.sys.join(format!("dev/block/{number}")))
    }

    /// The name of a device in the kernel.
    pub fn name(&self, number: Number) -> Option<String> {
        self.node(number).map(|node| node.name)
    }

    /// All that uses these sectors of a device, any of its partitions, or the disk that it is a partition of.
    pub fn users(&self, number: Number, sectors: &Range<u64>) -> Vec<User> {
        let users = self.users_named(number, sectors, None);
        let Some(node) = self.node(number).filter(|_| users.is_empty()) else { return users };
        // Of a claim on a partition the disk knows, and the other way round.
        let claimed = |node: &Node| (self.is_claimed)(&node.name);
        let holds_elsewhere = !self.holders(&node, &(0..u64::MAX), None, 0).is_empty();
        if holds_elsewhere || !claimed(&node) {
            return users;
        }
        let culprit = node.partitions().into_iter().find(claimed).unwrap_or(node);
        vec![User { of: culprit.name, what: What::Unnamed, above: Vec::new() }]
    }

    /// As [`System::users`], without a claim of which nothing is known. The mapped device `own` does not count.
    pub fn users_named(&self, number: Number, sectors: &Range<u64>, own: Option<&str>) -> Vec<User> {
        let Some(node) = self.node(number) else { return Vec::new() };
        let mut users = self.users_of(&node, sectors, own, 0);
        for other in node.partitions().iter().chain(&node.disk()) {
            users.extend(self.users_of(other, &(0..u64::MAX), own, 0));
        }
        users.extend(self.beside(&node, sectors, own));
        users
    }

    /// All that uses these sectors of this very device.
    fn users_of(&self, node: &Node, sectors: &Range<u64>, own: Option<&str>, depth: u32) -> Vec<User> {
        let user = |what: What| User { of: node.name.clone(), what, above: Vec::new() };
        let mut users: Vec<User> =
            self.mounts_of(node.number).into_iter().map(What::Mount).map(user).collect();
        if users.is_empty() {
            users.extend(self.btrfs_of(&node.name).map(What::Btrfs).map(user));
        }
        users.extend(self.swaps_of(node.number).into_iter().map(What::Swap).map(user));
        users.extend(self.holders(node, sectors, own, depth));
        users.extend(self.loops_on(node, depth));
        users
    }

    /// The devices on top of one.
    fn holders(&self, node: &Node, sectors: &Range<u64>, own: Option<&str>, depth: u32) -> Vec<User> {
        let mut users = Vec::new();
        for holder in nodes_in(&node.dir.join("holders")) {
            let name = holder.dm_name();
            let is_own = name.is_some() && name.as_deref() == own;
            let elsewhere = || {
                let ranges = name.as_deref().and_then(|name| self.ranges(name, node.number));
                ranges.is_some_and(|ranges| ranges.iter().all(|range| !meet(range, sectors)))
            };
            if !is_own && !elsewhere() {
                users.push(User {
                    of: node.name.clone(),
                    what: self.mapped(&holder).unwrap_or_else(|| What::Device(holder.name.clone())),
                    above: self.above(&holder, depth),
                });
            }
        }
        users
    }

    fn mapped(&self, node: &Node) -> Option<What> {
        let name = node.dm_name()?;
        let uuid = text(&node.dir.join("dm/uuid")).unwrap_or_default();
        let open_count = self.dm.and_then(|dm| dm.info(&name).ok()).map(|info| info.open_count);
        // A set that `dmsetup` made has no UUID of ours.
        let has_target = || self.lines(&name).iter().any(|line| line.target == TARGET);
        let is_set = uuid.starts_with("REMAP-") || (uuid.is_empty() && has_target());
        Some(What::Mapped { name, uuid, open_count, is_set })
    }

    fn above(&self, node: &Node, depth: u32) -> Vec<User> {
        if depth >= DEPTH_MAX {
            return Vec::new();
        }
        let all = 0..u64::MAX;
        let parts = node.partitions();
        let nodes = std::iter::once(node).chain(&parts);
        nodes.flat_map(|node| self.users_of(node, &all, None, depth + 1)).collect()
    }

    pub(super) fn lines(&self, name: &str) -> Vec<Line> {
        self.dm.and_then(|dm| dm.table(name).ok()).unwrap_or_default()
    }

    /// The sectors of a device that a mapped device uses; `None` where its table does not tell.
    fn ranges(&self, name: &str, of: Number) -> Option<Vec<Range<u64>>> {
        let lines = self.lines(name);
        let mut ranges = Vec::new();
        for line in &lines {
            match line.target.as_str() {
                "linear" => {
                    let (device, start) = line.text.split_once(' ')?;
                    let start: u64 = start.parse().ok()?;
                    if Number::parse(device)? == of {
                        ranges.push(start..start.checked_add(line.sectors)?);
                    }
                }
                "error" | "zero" => {}
                _ => return None,
            }
        }
        (!lines.is_empty()).then_some(ranges)
    }

    /// What is beside a mapped device on what lies below it, as far as linear tables tell. Nothing but mapped devices can be there:
    /// of all others device-mapper keeps a device for itself.
    fn beside(&self, node: &Node, sectors: &Range<u64>, own: Option<&str>) -> Vec<User> {
        let Some(name) = node.dm_name() else { return self.same_file(node) };
        let mut users = Vec::new();
        for below in node.slaves() {
            let Some(ranges) = self.ranges(&name, below.number) else { continue };
            let whole = ranges.iter().map(|range| range.end - range.start).sum::<u64>()
                >= below.sectors().unwrap_or(u64::MAX);
            // One segment: sector n of the device is sector start + n below.
            let segment = <&[_; 1]>::try_from(&ranges[..]).ok().map(|[range]| range.clone());
            let used = segment.clone().map_or(0..u64::MAX, |range| {
                let below = |sector: u64| range.start.saturating_add(sector).min(range.end);
                below(sectors.start)..below(sectors.end)
            });
            for holder in self.holders(&below, &used, own, 0) {
                let What::Mapped { name: other, .. } = &holder.what else { continue };
                let known = self.ranges(other, below.number).is_some();
                if *other != name && (whole || (known && segment.is_some())) {
                    users.push(holder);
                }
            }
        }
        users
    }

    /// Loop devices that show sectors of the same file as this one.
    fn same_file(&self, node: &Node) -> Vec<User> {
        let Some((file, range)) = backing(node).or_else(|| backing_of_part(node)) else { return Vec::new() };
        let disk = node.disk().map(|disk| disk.number);
        let mut users = Vec::new();
        for other in nodes_in(&self.sys.join("block"))
            .iter()
            .filter(|other| other.number != node.number && Some(other.number) != disk)
        {
            if backing(other).is_some_and(|(path, bytes)| path == file && meet(&bytes, &range)) {
                users.push(self.loop_user(node, other, 0));
            }
        }
        users
    }

    /// Loop devices whose file is this device.
    fn loops_on(&self, node: &Node, depth: u32) -> Vec<User> {
        let loops = nodes_in(&self.sys.join("block"));
        let on_node = |other: &&Node| {
            backing(other).is_some_and(|(file, _)| {
                file.starts_with("/dev") && (self.number_of)(&file) == Some(node.number)
            })
        };
        loops.iter().filter(on_node).map(|other| self.loop_user(node, other, depth)).collect()
    }

    fn loop_user(&self, of: &Node, device: &Node, depth: u32) -> User {
        User { of: of.name.clone(), what: What::Loop(device.name.clone()), above: self.above(device, depth) }
    }

    /// Where a device is mounted. A filesystem with a number of its own, as btrfs, tells its device by path.
    fn mounts_of(&self, number: Number) -> Vec<PathBuf> {
        // Paths are bytes: one that is no UTF-8 may not hide the others.
        let mounts = fs::read(&self.mounts).unwrap_or_default();
        let mut found: Vec<PathBuf> = Vec::new();
        for line in mounts.split(|&byte| byte == b'\n') {
            let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
            let listed = fields.get(2).and_then(|n| Number::parse(std::str::from_utf8(n).ok()?));
            let (Some(device), Some(at)) = (listed, fields.get(4)) else { continue };
            // Behind a lone hyphen, which ends the optional fields, are the type and the source.
            let hyphen = fields.iter().skip(6).position(|field| *field == b"-").map(|at| at + 6);
            let source = hyphen.and_then(|at| fields.get(at + 2)).map(|source| unescape(source));
            let source = source.filter(|path| path.starts_with("/dev"));
            let by_path =
                || device.major == 0 && source.is_some_and(|path| (self.number_of)(&path) == Some(number));
            if (device == number || by_path()) && !found.contains(&unescape(at)) {
                found.push(unescape(at));
            }
        }
        found
    }

    fn swaps_of(&self, number: Number) -> Vec<PathBuf> {
        let swaps = fs::read(&self.swaps).unwrap_or_default();
        let lines = swaps.split(|&byte| byte == b'\n').skip(1);
        let first = |line: &'_ [u8]| line.split(u8::is_ascii_whitespace).next().map(unescape);
        let paths = lines.filter_map(first);
        paths.filter(|path| (self.number_of)(path) == Some(number)).collect()
    }

    /// The mounted btrfs filesystem that a device is part of.
    fn btrfs_of(&self, name: &str) -> Option<String> {
        let sets = fs::read_dir(self.sys.join("fs/btrfs")).into_iter().flatten().flatten();
        let mut sets = sets.filter(|set| set.path().join("devices").join(name).exists());
        sets.next().map(|set| set.file_name().to_string_lossy().into_owned())
    }
}

fn meet(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// The file of a loop device, and the bytes of it that it shows.
pub(super) fn backing(node: &Node) -> Option<(PathBuf, Range<u64>)> {
    let file = text(&node.dir.join("loop/backing_file"))?;
    let number = |name: &str| text(&node.dir.join(name))?.parse::<u64>().ok();
    let start = number("loop/offset").unwrap_or(0);
    let bytes = number("size").map_or(u64::MAX, |sectors| sectors.saturating_mul(512));
    Some((file.into(), start..start.saturating_add(bytes)))
}

/// The file of the loop device that this is a partition of, and the bytes of it that the partition shows.
fn backing_of_part(part: &Node) -> Option<(PathBuf, Range<u64>)> {
    let (file, of_disk) = backing(&part.disk()?)?;
    let start = part.start()?;
    let start = of_disk.start.saturating_add(start.saturating_mul(512));
    Some((file, start..start.saturating_add(part.sectors()?.saturating_mul(512)).min(of_disk.end)))
}

/// A path as the kernel lists it, where white space and backslashes are octal.
fn unescape(bytes: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let octal = bytes
            .get(at + 1..at + 4)
            .filter(|_| byte == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        out.push(octal.unwrap_or(byte));
        at += if octal.is_some() { 4 } else { 1 };
    }
    std::ffi::OsString::from_vec(out).into()
}
