//! Sets as JSON.

use super::finding::{Finding, Verdict};
use super::read::Set;
use serde_json::{json, Value};

/// What is known of a set; docs/dmremap.md has the fields.
pub fn device(set: &Set, findings: &[Finding]) -> Value {
    let s = &set.status;
    let mut device = json!({
        "name": set.info.name,
        "dm_uuid": set.info.uuid,
        "device_number": set.info.number.to_string(),
        "set_uuid": set.uuid(),
        "label": set.superblock.as_ref().map(|s| s.label.as_str()),
        "sectors": set.sectors,
        "main": { "path": set.main(), "offset_sectors": set.mapping.main_offset },
        "spare": { "path": set.spare(), "offset_sectors": set.mapping.spare_offset },
        "mode": s.mode,
        "reason": s.reason,
        "verdict": verdict(findings).name(),
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
        "used_slots": s.used_slots,
        "total_slots": s.total_slots,
        "free_slots": set.free_slots(),
        "retired_slots": s.retired_slots,
        "lost_sectors": s.lost_sectors,
        "pending_blocks": s.pending_blocks,
        "pending_sectors": set.pending_sectors(),
        "copies_in_sync": s.copies_in_sync,
        "copies": s.copies,
    });
    if let (Some(device), Some(more)) = (device.as_object_mut(), counts(set).as_object()) {
        device.extend(more.clone());
    }
    device
}

/// What happened since activation, and how the mapped device is.
fn counts(set: &Set) -> Value {
    let s = &set.status;
    json!({
        "repairs": s.repairs,
        "repairs_stored": s.repairs_stored,
        "repairs_failed": s.repairs_failed,
        "remapped_sectors": s.remapped_sectors,
        "commits": s.commits,
        "released_sectors": s.released_sectors,
        "reads": s.reads,
        "reads_delivered": s.reads_delivered,
        "reads_failed": s.reads_failed,
        "unproven": s.unproven,
        "evictions": s.evictions,
        "readmissions": s.readmissions,
        "commits_failed": s.commits_failed,
        "flushes_failed": s.flushes_failed,
        "breaker_openings": s.breaker_openings,
        "suspected_sectors": s.suspected_sectors,
        "log_lines_dropped": s.log_lines_dropped,
        "suspended": set.info.suspended,
        "readonly": set.info.readonly,
        "open_count": set.info.open_count,
        "further_status_fields": s.further,
        "linear": set.linear_mapped_sectors.is_some(),
        "mapped_sectors": set.linear_mapped_sectors,
    })
}

/// The verdict on what was found, which is the gravest one.
pub fn verdict(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Unknown)
}

fn finding(finding: &Finding) -> Value {
    json!({ "verdict": finding.verdict.name(), "message": finding.what, "next": finding.next })
}
