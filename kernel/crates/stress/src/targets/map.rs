//! From any memory map to allocated frames.

use std::cell::RefCell;

use firmware::PAGE_BYTES;
use firmware::early::EarlyFrames;
use firmware::memmap::{Kind, MAX_REGIONS, MemoryMap, Region};

use crate::input::Rng;

const KINDS: [Kind; 7] = [
    Kind::Usable,
    Kind::Usable,
    Kind::Usable,
    Kind::AcpiReclaimable,
    Kind::AcpiNvs,
    Kind::Reserved,
    Kind::Bad,
];

/// Buffers that are too large to allocate for every input.
struct Scratch {
    input: Vec<Region>,
    map: MemoryMap,
    frames: EarlyFrames,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const {
        RefCell::new(Scratch { input: Vec::new(), map: MemoryMap::EMPTY, frames: EarlyFrames::EMPTY })
    };
}

/// Repairs any map: the result is sorted, disjoint, of whole pages, and usable only where an entry says so and none
/// contradicts it.
pub fn run(rng: &mut Rng) -> bool {
    SCRATCH.with_borrow_mut(|scratch| run_in(scratch, rng))
}

fn run_in(scratch: &mut Scratch, rng: &mut Rng) -> bool {
    let Scratch { input, map, frames } = scratch;
    input.clear();
    // Sometimes more entries than a map holds.
    let is_long = rng.one_in(20_000);
    let (count, pages) = if is_long { (MAX_REGIONS * 2, 8192) } else { (rng.below(12), 64) };
    for _ in 0..count {
        input.push(any_region(rng, pages));
    }
    let bits = rng.pick(&[18, 36, 46, 0, 255]);
    let report = map.fill(input.iter().copied(), bits);
    assert_eq!((report.input, report.output), (input.len(), map.regions().len()));
    assert!(map.regions().len() <= MAX_REGIONS);
    for region in map.regions() {
        assert!(region.start < region.end && (region.start | region.end).is_multiple_of(PAGE_BYTES));
    }
    for pair in map.regions().windows(2) {
        assert!(pair[0].end <= pair[1].start, "sorted and disjoint");
    }
    let is_whole = report.dropped + report.fused == 0;
    for region in input.iter().filter(|region| region.kind != Kind::Usable && region.start < region.end) {
        let found = map.kind_at(region.start);
        assert!(found.is_none_or(|found| found >= region.kind), "{region:?} is {found:?}");
        let overlaps = |usable: &std::ops::Range<u64>| usable.start < region.end && region.start < usable.end;
        assert!(!map.usable().any(|usable| overlaps(&usable)), "{region:?} became usable");
    }
    // A full check only where it is cheap.
    if !is_long {
        for usable in map.usable() {
            assert!(is_covered(usable.start, usable.end, input), "{usable:x?} is no entry's");
        }
        assert!(is_whole, "a map of {} regions has room", input.len());
    }
    check_frames(rng, map, frames);
    map.total_usable_bytes() > 0
}

fn any_region(rng: &mut Rng, pages: usize) -> Region {
    let address = |rng: &mut Rng| match rng.below(16) {
        0 => rng.bits(),
        1 => rng.pick(&[0, u64::MAX, 1 << 32, 1 << 46, 1 << 52]),
        2..5 => rng.below(pages << 12) as u64,
        _ => (rng.below(pages) as u64) << 12,
    };
    let (a, b, kind) = (address(rng), address(rng), rng.pick(&KINDS));
    // Inverted regions are rare.
    if rng.one_in(16) {
        Region { start: a, end: b, kind }
    } else {
        Region { start: a.min(b), end: a.max(b), kind }
    }
}

/// Returns whether usable entries cover the range from `start` to `end`.
fn is_covered(start: u64, end: u64, input: &[Region]) -> bool {
    let mut at = start;
    while at < end {
        let holds = |region: &&Region| region.kind == Kind::Usable && region.start <= at && at < region.end;
        let Some(reach) = input.iter().filter(holds).map(|region| region.end).max() else { return false };
        at = reach;
    }
    true
}

/// Checks that frames are usable memory, each allocated once, and none reserved.
fn check_frames(rng: &mut Rng, map: &MemoryMap, frames: &mut EarlyFrames) {
    frames.fill(map, PAGE_BYTES);
    let reserved = (rng.below(64) as u64) << 12;
    let reserved = reserved..reserved + ((1 + rng.below(4)) as u64 * PAGE_BYTES);
    frames.reserve(reserved.clone());
    let mut last_end = 0;
    for _ in 0..rng.below(4) {
        let len = (1 + rng.below(3)) as u64 * PAGE_BYTES;
        let Some(start) = frames.alloc_within(len, PAGE_BYTES, last_end..u64::MAX) else { break };
        assert!(start >= last_end && start >= PAGE_BYTES && map.contains(start..start + len));
        assert!(reserved.end <= start || start + len <= reserved.start, "{start:#x} is reserved");
        last_end = start + len;
    }
}
