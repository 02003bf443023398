//! The early allocator against a model with one flag for each half KiB.

use std::ops::Range;

use firmware::PAGE_BYTES;
use firmware::early::{EarlyFrames, MAX_FREE_RANGES};
use firmware::memmap::{Kind, MemoryMap, Region};
use proptest::prelude::*;

fn map_of(usable: &[Range<u64>]) -> MemoryMap {
    let regions =
        usable.iter().map(|range| Region { start: range.start, end: range.end, kind: Kind::Usable });
    MemoryMap::sanitise(regions, 46).0
}

fn map_of_one(usable: Range<u64>) -> MemoryMap {
    map_of(&[usable])
}

const MIB: u64 = 1 << 20;

#[test]
fn allocations_come_from_the_floor_up() {
    let mut frames = EarlyFrames::new(&map_of(&[0..0x9_f000, MIB..64 * MIB]), 16 * MIB);
    assert_eq!(frames.alloc(3 * PAGE_BYTES, PAGE_BYTES, None), Some(16 * MIB));
    assert_eq!(frames.alloc(1, 1, None), Some(16 * MIB + 3 * PAGE_BYTES));
    assert_eq!(frames.alloc(2 * MIB, 2 * MIB, None), Some(18 * MIB));
    assert_eq!(frames.allocated_bytes(), 3 * PAGE_BYTES + 1 + 2 * MIB);
    assert_eq!(frames.lost_bytes(), 0);
}

#[test]
fn a_low_page_is_found_below_the_floor_but_never_page_0() {
    let mut frames = EarlyFrames::new(&map_of(&[0..0x9_f000, MIB..64 * MIB]), 16 * MIB);
    let low = |frames: &mut EarlyFrames| frames.alloc(PAGE_BYTES, PAGE_BYTES, Some(MIB));
    assert_eq!(low(&mut frames), Some(PAGE_BYTES));
    frames.reserve(0..0x9_e000);
    assert_eq!(low(&mut frames), Some(0x9_e000));
    assert_eq!(low(&mut frames), None, "all below 1 MiB is taken");
}

#[test]
fn a_ceiling_above_the_floor_keeps_the_floor() {
    let mut frames = EarlyFrames::new(&map_of_one(MIB..64 * MIB), 16 * MIB);
    assert_eq!(frames.alloc(MIB, MIB, Some(17 * MIB)), Some(16 * MIB));
    assert_eq!(frames.alloc(MIB, MIB, Some(17 * MIB)), None);
}

#[test]
fn invalid_requests_are_refused() {
    let mut frames = EarlyFrames::new(&map_of_one(MIB..64 * MIB), 0);
    let before = frames.remaining_bytes();
    assert_eq!(frames.alloc(0, PAGE_BYTES, None), None, "no length");
    assert_eq!(frames.alloc(1, 0, None), None, "no alignment");
    assert_eq!(frames.alloc(1, 3, None), None, "alignment of 3");
    assert_eq!(frames.alloc(u64::MAX, 1, None), None, "too long");
    assert_eq!(frames.alloc(1, 1 << 63, None), None, "alignment too large");
    assert_eq!(frames.alloc(1, 1, Some(0)), None, "below nothing");
    frames.reserve(Range { start: 5 * MIB, end: 4 * MIB });
    frames.reserve(u64::MAX - 1..u64::MAX);
    assert_eq!(frames.remaining_bytes(), before);
}

#[test]
fn remaining_memory_is_whole_pages() {
    let mut frames = EarlyFrames::new(&map_of_one(MIB..2 * MIB), 0);
    frames.reserve(MIB + 100..MIB + 200);
    frames.reserve(MIB + 0x3800..MIB + 0x5001);
    let remaining: Vec<_> = frames.remaining().collect();
    assert_eq!(remaining, [MIB + 0x1000..MIB + 0x3000, MIB + 0x6000..2 * MIB]);
}

#[test]
fn too_many_ranges_lose_memory_but_never_allocate_it_twice() {
    let mut frames = EarlyFrames::new(&map_of_one(MIB..64 * MIB), 0);
    let holes = MAX_FREE_RANGES as u64 + 100;
    for hole in 0..holes {
        let start = MIB + hole * 2 * PAGE_BYTES;
        frames.reserve(start..start + PAGE_BYTES);
    }
    assert!(frames.lost_bytes() > 0);
    assert_eq!(frames.remaining_bytes() + frames.lost_bytes() + holes * PAGE_BYTES, 63 * MIB);
    let mut last = 0;
    while let Some(page) = frames.alloc(PAGE_BYTES, PAGE_BYTES, None) {
        assert!(page > last, "bottom up, so each page lies above the last");
        let offset = page - MIB;
        let in_hole = offset < holes * 2 * PAGE_BYTES && (offset / PAGE_BYTES).is_multiple_of(2);
        assert!(!in_hole, "page {page:#x} is reserved");
        last = page;
    }
}

const GRAIN: u64 = 512;
const GRAINS: usize = 512;

#[derive(Clone, Debug)]
enum Step {
    Reserve(Range<usize>),
    Alloc { grains: usize, align_shift: u32, below: Option<usize> },
}

fn any_range() -> impl Strategy<Value = Range<usize>> {
    (0..GRAINS, 0..40_usize).prop_map(|(start, len)| start..(start + len).min(GRAINS))
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => any_range().prop_map(Step::Reserve),
        3 => (0..30_usize, 0..6_u32, prop::option::of(0..GRAINS + 9)).prop_map(
            |(grains, align_shift, below)| Step::Alloc { grains, align_shift, below }
        ),
    ]
}

/// Returns the lowest free place, by trying each.
fn model_alloc(free: &[bool], from: usize, to: usize, grains: usize, align: usize) -> Option<usize> {
    (from..)
        .take_while(|start| start + grains <= to.min(free.len()))
        .filter(|start| start.is_multiple_of(align))
        .find(|&start| free[start..start + grains].iter().all(|&free| free))
}

proptest! {
    #[test]
    fn each_allocation_is_the_lowest_that_is_free(
        usable in prop::collection::vec(any_range(), 1..6),
        floor in 0..GRAINS,
        steps in prop::collection::vec(any_step(), 0..60),
    ) {
        let grains_per_page = (PAGE_BYTES / GRAIN) as usize;
        let bytes = |range: &Range<usize>| range.start as u64 * GRAIN..range.end as u64 * GRAIN;
        let map = map_of(&usable.iter().map(bytes).collect::<Vec<_>>());
        let mut free: Vec<bool> = (0..GRAINS)
            .map(|grain| grain >= grains_per_page && map.contains(bytes(&(grain..grain + 1))))
            .collect();
        let mut frames = EarlyFrames::new(&map, floor as u64 * GRAIN);

        for step in steps {
            match step {
                Step::Reserve(range) => {
                    frames.reserve(bytes(&range));
                    free[range].fill(false);
                }
                Step::Alloc { grains, align_shift, below } => {
                    let to = below.unwrap_or(usize::MAX);
                    let from = if to <= floor { 0 } else { floor };
                    let expected = (grains > 0)
                        .then(|| model_alloc(&free, from, to, grains, 1 << align_shift))
                        .flatten();
                    let found = frames.alloc(
                        grains as u64 * GRAIN,
                        GRAIN << align_shift,
                        below.map(|grain| grain as u64 * GRAIN),
                    );
                    prop_assert_eq!(found, expected.map(|grain| grain as u64 * GRAIN));
                    if let Some(start) = expected {
                        free[start..start + grains].fill(false);
                    }
                }
            }
        }

        let remaining: Vec<_> = frames.remaining().collect();
        for (page, grains) in free.chunks(grains_per_page).enumerate() {
            let address = page as u64 * PAGE_BYTES;
            let remains = remaining.iter().any(|range| range.contains(&address));
            prop_assert_eq!(remains, grains.iter().all(|&free| free), "page {}", page);
        }
        prop_assert_eq!(frames.lost_bytes(), 0);
    }
}
