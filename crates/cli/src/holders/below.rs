//! Whether two devices are in part the same place, judged by what lies below them: partitions, dm tables, loop files, md.
//!
//! Both are followed down. Where they come to the same device, their ranges on it decide, and nothing further down: what lies below may not
//! be told as exactly.

use super::scan::{backing, Node};
use super::{FileId, Part, System};
use crate::dm::Line;
use crate::number::Number;
use std::ops::Range;

/// Most devices that are followed one below the other; the kernel's own stacks are far lower.
const DEPTH_MAX: u32 = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Device(Number),
    File(FileId),
}

/// Bytes of a device or file.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) place: Place,
    pub(super) bytes: Range<u64>,
    /// Somewhere in this: it holds the filesystem that a file above is in. Of two files of one filesystem nothing follows.
    pub(super) hosts: bool,
}

impl Piece {
    pub(super) fn device(number: Number, sectors: Range<u64>) -> Piece {
        let bytes = sectors.start.saturating_mul(512)..sectors.end.saturating_mul(512);
        Piece { place: Place::Device(number), bytes, hosts: false }
    }

    pub(super) fn whole(number: Number) -> Piece {
        Piece::device(number, 0..u64::MAX)
    }
}

impl System<'_> {
    /// Whether these sectors of the one device or file, and those of the other, have a place in common.
    pub fn overlap(&self, a: &Part<'_>, b: &Part<'_>) -> bool {
        let (Some(a), Some(b)) = (self.piece(a), self.piece(b)) else { return false };
        self.same_place(&a, b)
    }

    /// Whether two ranges of devices or files have a place in common.
    pub(super) fn same_place(&self, a: &Piece, b: Piece) -> bool {
        let mut all_below_b = Vec::new();
        self.collect(b, &mut all_below_b, 0);
        self.meets(a, &all_below_b, 0)
    }

    fn piece(&self, part: &Part<'_>) -> Option<Piece> {
        match part.number {
            Some(number) => Some(Piece::device(number, part.sectors.clone())),
            None => {
                let place = Place::File((self.file_of)(part.path)?);
                Some(Piece { place, ..Piece::device(Number { major: 0, minor: 0 }, part.sectors.clone()) })
            }
        }
    }

    fn collect(&self, piece: Piece, all: &mut Vec<Piece>, depth: u32) {
        if depth < DEPTH_MAX {
            self.below(&piece).into_iter().for_each(|below| self.collect(below, all, depth + 1));
        }
        all.push(piece);
    }

    fn meets(&self, a: &Piece, others: &[Piece], depth: u32) -> bool {
        let mut same = others.iter().filter(|b| b.place == a.place).peekable();
        if same.peek().is_some() {
            return same.any(|b| !(a.hosts && b.hosts) && has_common(&a.bytes, &b.bytes));
        }
        depth < DEPTH_MAX && self.below(a).iter().any(|below| self.meets(below, others, depth + 1))
    }

    /// What lies directly below.
    fn below(&self, piece: &Piece) -> Vec<Piece> {
        let number = match &piece.place {
            Place::Device(number) => *number,
            Place::File(file) => return vec![Piece { hosts: true, ..Piece::whole(file.device) }],
        };
        let hosts = |mut below: Vec<Piece>| {
            below.iter_mut().for_each(|below| below.hosts |= piece.hosts);
            below
        };
        let Some(node) = self.node(number) else { return Vec::new() };
        if let Some(disk) = node.disk() {
            let start = node.start().unwrap_or(0).saturating_mul(512);
            return hosts(vec![shifted(piece, Place::Device(disk.number), start)]);
        }
        if let Some((file, range)) = backing(&node) {
            let place = match (self.number_of)(&file) {
                Some(number) => Some(Place::Device(number)),
                None => (self.file_of)(&file).map(Place::File),
            };
            return hosts(place.map(|place| shifted(piece, place, range.start)).into_iter().collect());
        }
        let lines = node.dm_name().map(|name| self.lines(&name)).unwrap_or_default();
        hosts(match lines.is_empty() {
            true => self.slaves(&node),
            false => self.below_lines(&node, &lines, &piece.bytes),
        })
    }

    /// What the lines of a table that these bytes lie in lead to.
    fn below_lines(&self, node: &Node, lines: &[Line], bytes: &Range<u64>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for line in lines {
            let end = line.start.saturating_add(line.sectors);
            let (first, last) = (line.start.max(bytes.start / 512), end.min(bytes.end.div_ceil(512)));
            if first >= last {
                continue;
            }
            let words: Vec<&str> = line.text.split_whitespace().collect();
            match line.target.as_str() {
                "linear" => pieces.extend(place_of(&words).map(|(number, start)| {
                    let at = |sector: u64| start.saturating_add(sector - line.start);
                    Piece::device(number, at(first)..at(last))
                })),
                "striped" => pieces.extend(stripes(&words, line.sectors)),
                // Volumes of one pool share its device and no place on it.
                "thin" | "vdo" | "error" | "zero" => {}
                _ => pieces.extend(self.slaves(node)),
            }
        }
        pieces
    }

    /// All of each device below, where no table says more.
    fn slaves(&self, node: &Node) -> Vec<Piece> {
        node.slaves().iter().map(|below| Piece::whole(below.number)).collect()
    }
}

/// Whether the two have a byte in common; an empty one has none.
fn has_common(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start.max(b.start) < a.end.min(b.end)
}

fn shifted(piece: &Piece, place: Place, by: u64) -> Piece {
    let bytes = piece.bytes.start.saturating_add(by)..piece.bytes.end.saturating_add(by);
    Piece { place, bytes, hosts: piece.hosts }
}

/// `MAJOR:MINOR START`.
fn place_of(words: &[&str]) -> Option<(Number, u64)> {
    match words {
        [device, start] => Some((Number::parse(device)?, start.parse().ok()?)),
        _ => None,
    }
}

/// `STRIPES CHUNK` and then a place for each stripe.
fn stripes(words: &[&str], sectors: u64) -> Vec<Piece> {
    let places = words.get(2..).unwrap_or(&[]).chunks(2);
    let count = (places.len() as u64).max(1);
    let of_each = sectors.div_ceil(count);
    let piece = |(number, start): (Number, u64)| Piece::device(number, start..start.saturating_add(of_each));
    places.filter_map(place_of).map(piece).collect()
}
