//! Health blocks as they stand on the spare, and back.

use super::head;
use super::header::{HealthHeader, AT_BODY};
use super::layout::{Content, Store, ZONES_PER_BLOCK};
use super::why::Why;
use crate::crc32c::crc32c;
use crate::format::header::{self, get, get_u64, is_zero, put, KIND_HEALTH};
use crate::format::Block;
use crate::health::points::{Point, POINTS};
use crate::health::spot::Spot;
use crate::health::spots::SPOTS_PER_BLOCK;
use crate::health::state::Health;
use crate::health::zone::{Direction, Latency};

const AT_POINTS: usize = AT_BODY + 4;
const _: () = assert!(AT_POINTS + POINTS * Point::BYTES <= crate::units::BLOCK_BYTES);

const SPOT_BYTES: usize = 32;
const ZONE_BYTES: usize = 16;

const fn entry(i: usize, bytes: usize) -> usize {
    AT_BODY.saturating_add(i.saturating_mul(bytes))
}

/// Writes block `index` of copy `copy`.
pub(super) fn encode(h: &Health<'_>, index: usize, seq: u64, copy: u8, block: &mut Block) {
    let store = &h.store;
    header::begin(block, KIND_HEALTH, &store.id, index as u64, seq, copy);
    let second = HealthHeader {
        main_tag: store.main_tag,
        age_s: h.clock.age_s(),
        anchor: h.clock.anchor(),
        strict: true,
    };
    second.put(&store.layout, block);
    match store.layout.content(index) {
        Content::Head => head::put_head(h, block),
        Content::Points => {
            put(block, AT_BODY, (h.points.len() as u32).to_le_bytes());
            for (i, point) in h.points.iter().enumerate() {
                put(block, AT_POINTS.saturating_add(i.saturating_mul(Point::BYTES)), point.to_bytes());
            }
        }
        Content::Zones(n) => {
            for i in 0..ZONES_PER_BLOCK {
                let zone = n.saturating_mul(ZONES_PER_BLOCK).saturating_add(i);
                let at = entry(i, ZONE_BYTES);
                put(block, at, h.zones.get(zone, Direction::Read).0.to_le_bytes());
                let write = h.zones.get(zone, Direction::Write);
                put(block, at.saturating_add(8), write.0.to_le_bytes());
            }
        }
        Content::Spots(n) => {
            for (i, spot) in h.spots.block(n).enumerate() {
                put(block, entry(i, SPOT_BYTES), spot.to_bytes());
            }
        }
    }
    header::seal(block);
}

/// CRC32C of a body, to see whether it changed.
pub(super) fn body_crc(block: &Block) -> u32 {
    crc32c(&[block.get(AT_BODY..).unwrap_or(&[])])
}

/// Checks both headers of an instance, but for the main that it is about.
pub(super) fn check(
    store: &Store<'_>,
    index: usize,
    copy: u8,
    block: &Block,
) -> Result<(u64, HealthHeader), Why> {
    let first = header::check(block, KIND_HEALTH, index as u64, copy).map_err(|e| Why::of(&e))?;
    if first.id != store.id {
        return Err(Why::OtherSet);
    }
    let second = HealthHeader::get(&store.layout, block)?;
    Ok((first.seq, second))
}

/// Takes the content of a checked instance, in all or not at all.
pub(super) fn decode(
    h: &mut Health<'_>,
    index: usize,
    header: &HealthHeader,
    block: &Block,
) -> Result<(), Why> {
    match h.store.layout.content(index) {
        Content::Head => head::get_head(h, block, header.main_tag, header.age_s, header.strict),
        Content::Points => get_points(h, block, header.strict),
        Content::Zones(n) => get_zones(h, n, block, header.strict),
        Content::Spots(n) => get_spots(h, n, block, header),
    }
}

/// Takes back the content of a block.
pub(super) fn clear(h: &mut Health<'_>, index: usize) {
    match h.store.layout.content(index) {
        Content::Head => head::clear(h),
        Content::Points => h.points.clear(),
        Content::Zones(n) => {
            for i in 0..ZONES_PER_BLOCK {
                let zone = n.saturating_mul(ZONES_PER_BLOCK).saturating_add(i);
                h.zones.set(zone, Direction::Read, Latency::default());
                h.zones.set(zone, Direction::Write, Latency::default());
            }
        }
        Content::Spots(n) => h.spots.block_mut(n).for_each(|spot| *spot = Spot::default()),
    }
}

fn get_points(h: &mut Health<'_>, block: &Block, strict: bool) -> Result<(), Why> {
    let count = u32::from_le_bytes(get(block, AT_BODY)) as usize;
    if count > POINTS {
        return Err(Why::Value("number of points"));
    }
    let point =
        |i: usize| Point::from_bytes(&get(block, AT_POINTS.saturating_add(i.saturating_mul(Point::BYTES))));
    if (0..count).any(|i| point(i).is_none()) {
        return Err(Why::Value("point"));
    }
    let end = AT_POINTS.saturating_add(count.saturating_mul(Point::BYTES));
    if strict && !is_zero(block, end..block.len()) {
        return Err(Why::Value("reserved"));
    }
    h.points.clear();
    (0..count).filter_map(point).for_each(|p| h.points.push(p));
    Ok(())
}

fn get_zones(h: &mut Health<'_>, n: usize, block: &Block, strict: bool) -> Result<(), Why> {
    let first = n.saturating_mul(ZONES_PER_BLOCK);
    let latency =
        |i: usize, second: usize| Latency(get_u64(block, entry(i, ZONE_BYTES).saturating_add(second)));
    for i in 0..ZONES_PER_BLOCK {
        let exists = first.saturating_add(i) < h.zones.count();
        for second in [0, 8] {
            let latency = latency(i, second);
            if latency.0 != 0 && latency.samples() == 0 {
                return Err(Why::Value("latency without a sample"));
            }
            if strict && !exists && latency.0 != 0 {
                return Err(Why::Value("zone past the last one"));
            }
        }
    }
    for i in 0..ZONES_PER_BLOCK {
        let zone = first.saturating_add(i);
        h.zones.set(zone, Direction::Read, latency(i, 0));
        h.zones.set(zone, Direction::Write, latency(i, 8));
    }
    Ok(())
}

fn get_spots(h: &mut Health<'_>, n: usize, block: &Block, header: &HealthHeader) -> Result<(), Why> {
    let shape = h.store.shape;
    let spot = |i: usize| Spot::from_bytes(&get(block, entry(i, SPOT_BYTES)));
    let places = h.spots.block(n).count();
    for i in 0..SPOTS_PER_BLOCK {
        let spot = spot(i).ok_or(Why::Value("place with evidence"))?;
        let sound = match spot.is_used() {
            false => get::<SPOT_BYTES>(block, entry(i, SPOT_BYTES)) == [0; SPOT_BYTES],
            true => {
                i < places
                    && spot.group().0 < shape.groups()
                    && shape.mask_fits(spot.group(), spot.unreadable())
                    && spot.seen_s() <= header.age_s
                    && !spot.counts.is_empty()
            }
        };
        if !sound {
            return Err(Why::Value("place with evidence"));
        }
    }
    for (i, place) in h.spots.block_mut(n).enumerate() {
        let mut spot = spot(i).unwrap_or_default();
        spot.set_unverified(spot.unreadable() != 0);
        *place = spot;
    }
    Ok(())
}
