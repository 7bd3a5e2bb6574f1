//! The head: everything but points, zones and spots. Offsets are those of docs/format.md.

use super::header::AT_BODY;
use super::tag::main_tag;
use super::why::Why;
use crate::format::header::{get, get_u32, get_u64, is_zero, put};
use crate::format::{Block, Text64};
use crate::health::counters::{Counters, COUNTERS};
use crate::health::decay::{Decayed, HalfLife};
use crate::health::evidence::{Evidence, SMART_MAX};
use crate::health::points::POINT_EVERY_S;
use crate::health::risk::{Acks, Risk, RiskState};
use crate::health::scan::{Cursor, ScanSettings};
use crate::health::score::PARTS;
use crate::health::state::{Health, FAILURE_HALF, SLOW_HALF};
use crate::health::tables::SCORE_MAX;

const AT_SETTINGS: usize = AT_BODY;
const AT_PERIOD: usize = 100;
const AT_RATE: usize = 104;
const AT_QUIET: usize = 108;
const AT_PASS: usize = 112;
const AT_SEGMENT: usize = 116;
const AT_REGION: usize = 120;
const AT_PASS_FLAGS: usize = 124;
const AT_PASS_END: usize = 128;
const AT_PASS_UNREADABLE: usize = 136;
const AT_RESERVED_140: usize = 140;
const AT_EVIDENCE: usize = 144;
const AT_SMART: usize = 148;
const AT_SMART_MODEL: usize = 152;
const AT_SMART_AGE: usize = 156;
const AT_SMART_RECEIVED: usize = 160;
const AT_RISK: usize = 164;
const AT_CAUTION_SINCE: usize = 168;
const AT_SAFE_SINCE: usize = 172;
const AT_POINT_DUE: usize = 176;
const AT_ACKS: usize = 180;
const AT_SUMS: usize = 192;
const AT_COUNTERS: usize = 224;
const AT_IDENTITY: usize = 304;
const AT_END: usize = 368;

const SUMS: usize = 4;
const _: () = assert!(AT_SETTINGS + 4 == AT_PERIOD && AT_PASS + 12 == AT_PASS_FLAGS);
const _: () = assert!(AT_PASS_END + 12 == AT_RESERVED_140 && AT_RESERVED_140 + 4 == AT_EVIDENCE);
const _: () =
    assert!(AT_EVIDENCE + 20 == AT_RISK && AT_RISK + 16 == AT_ACKS && AT_ACKS + 2 * PARTS == AT_SUMS);
const _: () = assert!(AT_SUMS + 8 * SUMS == AT_COUNTERS && AT_COUNTERS + 8 * COUNTERS == AT_IDENTITY);
const _: () = assert!(AT_IDENTITY + 64 == AT_END);

const NEVER: u32 = u32::MAX;
const ACK_NONE: u16 = u16::MAX;

const fn flag(set: bool, bit: u32) -> u32 {
    if set {
        bit
    } else {
        0
    }
}

fn put_u32s<const N: usize>(block: &mut Block, at: usize, values: [u32; N]) {
    for (i, value) in values.into_iter().enumerate() {
        put(block, at.saturating_add(i.saturating_mul(4)), value.to_le_bytes());
    }
}

/// Writes the body of the head.
pub(super) fn put_head(h: &Health<'_>, block: &mut Block) {
    let s = &h.settings;
    let set = flag(s.period_days.is_some(), 1)
        | flag(s.rate_max_kib_per_s.is_some(), 2)
        | flag(s.quiet_ms.is_some(), 4);
    let period = u32::from(s.period_days.unwrap_or(0));
    let settings = [set, period, s.rate_max_kib_per_s.unwrap_or(0), s.quiet_ms.unwrap_or(0)];
    put_u32s(block, AT_SETTINGS, settings);
    let c = &h.cursor;
    let flags = flag(c.under_way, 1) | flag(c.pass_ended, 2);
    put_u32s(block, AT_PASS, [c.pass, c.segment, c.region, flags]);
    put(block, AT_PASS_END, c.last_pass_end_s.to_le_bytes());
    put(block, AT_PASS_UNREADABLE, c.last_pass_unreadable.to_le_bytes());
    let e = &h.evidence;
    let known = flag(e.smart.is_some(), 1)
        | flag(e.smart_failed.is_some(), 2)
        | flag(e.smart_failed == Some(true), 4)
        | flag(e.smart_model.is_some(), 8);
    let smart = u32::from(e.smart.unwrap_or(0));
    put_u32s(block, AT_EVIDENCE, [known, smart, e.smart_model.unwrap_or(0), e.age_s, e.received_s]);
    let r = &h.risk;
    let since = [r.caution_since_s, r.safe_since_s].map(|s| s.unwrap_or(NEVER));
    put(block, AT_RISK, [r.risk as u8, 0, 0, 0]);
    put_u32s(block, AT_CAUTION_SINCE, [since[0], since[1], h.point_due_s]);
    for (i, ack) in h.acks.0.iter().enumerate() {
        put(block, AT_ACKS.saturating_add(i.saturating_mul(2)), ack.unwrap_or(ACK_NONE).to_le_bytes());
    }
    let (failures, writes) = h.failures.sums();
    let sums = [failures, writes, h.retried.sums().0, h.slow.sums().0];
    for (i, sum) in sums.into_iter().enumerate() {
        put_u32s(block, AT_SUMS.saturating_add(i.saturating_mul(8)), [sum.value, sum.step]);
    }
    for (i, count) in h.counters.0.iter().enumerate() {
        put(block, AT_COUNTERS.saturating_add(i.saturating_mul(8)), count.to_le_bytes());
    }
    put(block, AT_IDENTITY, h.main_identity.to_bytes());
}

/// A value, if its bit is set; without it the field has to be zero.
fn optional(set: u32, bit: u32, value: u32, max: u32, name: &'static str) -> Result<Option<u32>, Why> {
    match (set & bit != 0, value) {
        (true, value) if value <= max => Ok(Some(value)),
        (false, 0) => Ok(None),
        _ => Err(Why::Value(name)),
    }
}

fn known_bits(bits: u32, known: u32, strict: bool, name: &'static str) -> Result<(), Why> {
    match strict && bits & !known != 0 {
        true => Err(Why::Value(name)),
        false => Ok(()),
    }
}

fn get_settings(block: &Block, strict: bool) -> Result<ScanSettings, Why> {
    let set = get_u32(block, AT_SETTINGS);
    known_bits(set, 7, strict, "settings")?;
    let field = |bit, at| optional(set, bit, get_u32(block, at), u32::MAX, "settings");
    let period = field(1, AT_PERIOD)?.map(u16::try_from).transpose();
    let settings = ScanSettings {
        period_days: period.map_err(|_| Why::Value("settings"))?,
        rate_max_kib_per_s: field(2, AT_RATE)?,
        quiet_ms: field(4, AT_QUIET)?,
    };
    settings.is_sound().then_some(settings).ok_or(Why::Value("settings"))
}

fn get_cursor(block: &Block, strict: bool) -> Result<Cursor, Why> {
    let flags = get_u32(block, AT_PASS_FLAGS);
    known_bits(flags, 3, strict, "place of the scan")?;
    let cursor = Cursor {
        pass: get_u32(block, AT_PASS),
        under_way: flags & 1 != 0,
        pass_ended: flags & 2 != 0,
        segment: get_u32(block, AT_SEGMENT),
        region: get_u32(block, AT_REGION),
        last_pass_end_s: get_u64(block, AT_PASS_END),
        last_pass_unreadable: get_u32(block, AT_PASS_UNREADABLE),
    };
    cursor.is_sound().then_some(cursor).ok_or(Why::Value("place of the scan"))
}

fn get_evidence(block: &Block, age_s: u32, strict: bool) -> Result<Evidence, Why> {
    let wrong = Why::Value("evidence");
    let known = get_u32(block, AT_EVIDENCE);
    known_bits(known, 15, strict, "evidence")?;
    let smart = optional(known, 1, get_u32(block, AT_SMART), u32::from(SMART_MAX), "evidence")?;
    let failed = known & 4 != 0;
    let evidence = Evidence {
        smart: smart.map(|smart| smart as u16),
        smart_failed: (known & 2 != 0).then_some(failed),
        smart_model: optional(known, 8, get_u32(block, AT_SMART_MODEL), u32::MAX, "evidence")?,
        age_s: get_u32(block, AT_SMART_AGE),
        received_s: get_u32(block, AT_SMART_RECEIVED),
    };
    let sound = (!failed || known & 2 != 0) && evidence.received_s <= age_s;
    sound.then_some(evidence).ok_or(wrong)
}

fn get_risk(block: &Block, age_s: u32) -> Result<RiskState, Why> {
    let wrong = Why::Value("risk");
    let [risk, ..] = get::<4>(block, AT_RISK);
    let since = |at| match get_u32(block, at) {
        NEVER => Ok(None),
        since if since <= age_s => Ok(Some(since)),
        _ => Err(Why::Value("risk")),
    };
    Ok(RiskState {
        risk: Risk::from_byte(risk).ok_or(wrong)?,
        caution_since_s: since(AT_CAUTION_SINCE)?,
        safe_since_s: since(AT_SAFE_SINCE)?,
    })
}

fn get_acks(block: &Block) -> Result<Acks, Why> {
    let mut acks = Acks::default();
    for (i, ack) in acks.0.iter_mut().enumerate() {
        let at = AT_ACKS.saturating_add(i.saturating_mul(2));
        *ack = match u16::from_le_bytes(get(block, at)) {
            ACK_NONE => None,
            score if score <= SCORE_MAX => Some(score),
            _ => return Err(Why::Value("acknowledgements")),
        };
    }
    Ok(acks)
}

fn get_sums(block: &Block, age_s: u32) -> Result<[Decayed; SUMS], Why> {
    let halves: [HalfLife; SUMS] = [FAILURE_HALF, FAILURE_HALF, FAILURE_HALF, SLOW_HALF];
    let mut sums = [Decayed::default(); SUMS];
    for (i, (sum, half)) in sums.iter_mut().zip(halves).enumerate() {
        let at = AT_SUMS.saturating_add(i.saturating_mul(8));
        *sum = Decayed { value: get_u32(block, at), step: get_u32(block, at.saturating_add(4)) };
        if sum.step > half.step(age_s) {
            return Err(Why::Value("sums"));
        }
    }
    let [failures, writes, ..] = sums;
    match writes.value <= failures.value || writes.step < failures.step {
        true => Ok(sums),
        false => Err(Why::Value("sums")),
    }
}

/// Reads the body of the head; nothing of it counts if one value cannot be.
pub(super) fn get_head(
    h: &mut Health<'_>,
    block: &Block,
    tag: u32,
    age_s: u32,
    strict: bool,
) -> Result<(), Why> {
    let identity = Text64::from_bytes(&get(block, AT_IDENTITY)).ok_or(Why::Value("identity of main"))?;
    if main_tag(&identity) != tag {
        return Err(Why::Value("identity of main"));
    }
    let (settings, cursor) = (get_settings(block, strict)?, get_cursor(block, strict)?);
    let (evidence, risk) = (get_evidence(block, age_s, strict)?, get_risk(block, age_s)?);
    let (acks, sums) = (get_acks(block)?, get_sums(block, age_s)?);
    let point_due_s = get_u32(block, AT_POINT_DUE);
    if point_due_s > age_s.saturating_add(POINT_EVERY_S) {
        return Err(Why::Value("time of the next point"));
    }
    let reserved = [AT_RISK + 1..AT_CAUTION_SINCE, AT_RESERVED_140..AT_EVIDENCE, AT_END..block.len()];
    if strict && !reserved.into_iter().all(|range| is_zero(block, range)) {
        return Err(Why::Value("reserved"));
    }
    let mut counters = Counters::default();
    for (i, count) in counters.0.iter_mut().enumerate() {
        *count = get_u64(block, AT_COUNTERS.saturating_add(i.saturating_mul(8)));
    }
    if h.main_identity.is_empty() {
        (h.main_identity, h.store.main_tag) = (identity, tag);
    }
    (h.settings, h.cursor, h.evidence, h.risk, h.acks) = (settings, cursor, evidence, risk, acks);
    (h.counters, h.point_due_s) = (counters, point_due_s);
    let [failures, writes, retried, slow] = sums;
    h.failures.restore(failures, writes);
    h.retried.restore(retried, Decayed::default());
    h.slow.restore(slow, Decayed::default());
    Ok(())
}

/// Takes back the content of the head.
pub(super) fn clear(h: &mut Health<'_>) {
    h.settings = ScanSettings::default();
    (h.cursor, h.evidence, h.risk) = (Cursor::default(), Evidence::default(), RiskState::default());
    (h.acks, h.counters, h.point_due_s) = (Acks::default(), Counters::default(), POINT_EVERY_S);
    let none = Decayed::default();
    for bursts in [&mut h.failures, &mut h.retried, &mut h.slow] {
        bursts.restore(none, none);
    }
}
