//! docs/format.md, Commit protocol: no other entry may name a group whose entry goes, on any copy in sync, before the commit of the
//! release begins. A copy that comes back makes others count that hold such entries.

mod world;

use remap_core::engine::commit::COMMIT_BUFFER_BYTES;
use remap_core::engine::commit::{Step, Work};
use remap_core::engine::machine::{same, Event, Machine, Next, CONTEXT_BUFFER_BYTES};
use remap_core::engine::order::Range;
use remap_core::engine::release::Release;
use remap_core::engine::Mode;
use remap_core::format::{encode_table_block, Block, Entry, SlotState};
use remap_core::units::{Group, Sector, Slot};
use world::{choose, format, load, reload, Disks, Set};

const SLOTS: u32 = 1950; // eight table blocks

fn entry(slot: u32) -> Entry {
    let mapped = |group, generation| Entry {
        state: SlotState::Mapped,
        group: Group(group),
        mask: 0xff,
        lost: 0,
        generation,
    };
    match (slot / 252, slot % 252) {
        // The slots that serve groups 1 to 7, and in each further block the slot that one of them left.
        (0, n @ 1..=7) => mapped(u64::from(n), 100 + u64::from(n)),
        (block @ 1..=7, 0) => mapped(u64::from(block), u64::from(block)),
        _ => Entry::default(),
    }
}

/// What remains when seven groups move to new slots in a commit that the other copies fail, and the power goes away (or the set is
/// closed) after it: the retirements were not written any more, as the last copy is left alone.
fn left_with_one_copy() -> Disks {
    let mut disks = Disks::new();
    format(&mut disks, SLOTS, 3);
    let mut sb = choose(&mut disks);
    for index in 0..sb.geometry.table_blocks() {
        let mut block: Block = [0; 4096];
        encode_table_block(&sb.id, index, 10, 0, |i| entry(index * 252 + i as u32), &mut block);
        let at = sb.geometry.table_block(0, index).0 as usize * 4096;
        disks.spare[at..at + 4096].copy_from_slice(&block);
    }
    (sb.in_sync, sb.epoch, sb.seq) = (1, 2, 11);
    for copy in 0..3 {
        let mut block: Block = [0; 4096];
        sb.encode(copy, &mut block);
        let at = sb.geometry.superblock(copy).0 as usize * 4096;
        disks.spare[at..at + 4096].copy_from_slice(&block);
    }
    for slot in 0..SLOTS {
        let at = sb.geometry.slot_block(Slot(slot)).0 as usize * 4096;
        let byte = if slot % 252 == 0 { 0x0d } else { 0x22 }; // old content, and what was written last
        disks.spare[at..at + 4096].fill(byte);
    }
    disks
}

/// A release of group 7 on behalf of context 4, up to its commit.
fn begin_release(set: &mut Set<'_>) {
    let range = Range { first: Sector(56), sectors: 8 };
    let mut machine = Machine::Release(Release::new(4, range, &set.engine));
    let (mut event, mut bytes) = (Event::Go, vec![0; CONTEXT_BUFFER_BYTES]);
    loop {
        event = match machine.next(&mut set.engine, event, 5) {
            Next::Io(r) => Event::Io(set.disks.run(&r, &mut bytes)),
            Next::Compare(c) => Event::Compared(same(&bytes, c)),
            Next::Drain(_) => Event::Drained,
            Next::Commit => return,
            other => panic!("{other:?}"),
        };
    }
}

/// Takes the set into service, has the evicted copies come back by `order`, begins the release as soon as remapping is back and `then` gives the next
/// order, and goes on until the removal is durable.
fn until_removed(set: &mut Set<'_>, order: impl Fn(&mut Set<'_>), then: impl Fn(&mut Set<'_>)) {
    assert!(set.work(Work::Takeover));
    assert_eq!((set.engine.mode(), set.read(56)), (Mode::NoRemap, Ok(0x22)));
    order(set);
    let mut buffer = vec![0; COMMIT_BUFFER_BYTES];
    let mut begun = false;
    for _ in 0..1000 {
        // The administrator orders a release as soon as remapping is back, and it comes to its commit while copies are made equal.
        if set.engine.mode().remaps() && !begun {
            begun = true;
            begin_release(set);
            then(set);
        }
        if begun && set.engine.commit_outcome(4) == Some(true) {
            return;
        }
        match set.committer.next(&mut set.engine, &mut buffer) {
            Step::Io(request, tag) => {
                let ok = set.disks.run(&request, &mut buffer).is_ok();
                set.committer.done(&mut set.engine, tag, ok);
            }
            Step::Ended(_, true) => {}
            Step::Idle if !begun => order(set),
            other => panic!("{other:?}"),
        }
    }
    panic!("the removal never becomes durable");
}

/// The power goes away; users had written to main, where the group lives now; and one instance of one block rots, which copies are there for.
fn nothing_old_comes_back(set: Set<'_>) {
    for copy in (0..3).filter(|copy| set.engine.superblock().in_sync & (1 << copy) != 0) {
        for block in 1..=7 {
            let left = set.on_disk(copy, block * 252);
            assert_eq!(
                left.state,
                SlotState::Retired,
                "on copy {copy} a slot that was given up still names its group"
            );
        }
    }
    set.disks.main[56 * 512..64 * 512].fill(0x44);
    let at = set.table_block(1, 7) as usize * 512 + 80;
    set.disks.spare[at] ^= 1;
    let mut set = reload(set.disks);
    assert_eq!(set.read(56), Ok(0x44), "content of before the last write is back");
}

#[test]
fn a_removal_waits_until_no_other_entry_names_the_group() {
    let mut disks = left_with_one_copy();
    let mut set = load(&mut disks).unwrap();
    until_removed(&mut set, |set| assert!(set.committer.order(Work::Resume)), |_| ());
    nothing_old_comes_back(set);
}

#[test]
fn s24_a_close_makes_copies_equal_before_it_commits_a_removal() {
    let mut disks = left_with_one_copy();
    let mut set = load(&mut disks).unwrap();
    // The copies come back by the clock, and the set is closed right then.
    let tick = |set: &mut Set<'_>| {
        set.now_ms += 100_000;
        let _ = set.committer.tick(&set.engine, set.now_ms);
    };
    until_removed(&mut set, tick, |set| assert!(set.committer.order(Work::Close)));
    nothing_old_comes_back(set);
}
