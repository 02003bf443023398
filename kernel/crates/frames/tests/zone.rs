//! The buddy allocator, one behaviour at a time.

use std::sync::atomic::Ordering;

use frames::{Census, FreeError, InitKind, PageDesc, PageState, Pfn, Zone, order_pages};

fn descs(len: usize) -> Vec<PageDesc> {
    (0..len).map(|_| PageDesc::new()).collect()
}

/// Returns a zone whose pages are all free.
fn free_zone(descs: &[PageDesc], base: u64) -> Zone<'_> {
    let mut zone = Zone::new(descs, Pfn(base), 1).unwrap();
    let pages = zone.span().pages();
    zone.init_range(pages.clone(), InitKind::Usable).unwrap();
    zone.free_initial(pages).unwrap();
    zone
}

fn block_counts(zone: &Zone<'_>) -> Vec<(u8, u64)> {
    (0..=u8::MAX).map(|order| (order, zone.free_blocks(order))).filter(|&(_, blocks)| blocks > 0).collect()
}

#[test]
fn a_new_zone_has_nothing() {
    let descs = descs(64);
    let mut zone = Zone::new(&descs, Pfn(0), 0).unwrap();
    assert_eq!(zone.alloc(0), None);
    assert_eq!(zone.largest_free_order(), None);
    let holes = Census { hole_pages: 64, ..Census::default() };
    assert_eq!(zone.verify(), Ok(holes));

    let mut empty = Zone::new(&[], Pfn(5), 0).unwrap();
    assert_eq!(empty.alloc(0), None);
    assert_eq!(empty.free_initial(Pfn(5)..Pfn(5)), Ok(0));
    assert_eq!(empty.verify(), Ok(Census::default()));
}

#[test]
fn initial_memory_becomes_the_largest_aligned_blocks() {
    let descs = descs(0x60000 + 5);
    let mut zone = Zone::new(&descs, Pfn(0x3_fffd), 0).unwrap();
    let pages = zone.span().pages();
    zone.init_range(pages.clone(), InitKind::Usable).unwrap();
    // 1 + 2 pages up to 0x4_0000, 1 GiB, 512 MiB, 2 pages.
    assert_eq!(zone.free_initial(pages), Ok(5));
    assert_eq!(block_counts(&zone), [(0, 1), (1, 2), (17, 1), (18, 1)]);
    assert_eq!(zone.free_pages(), 0x60005);
    assert_eq!(zone.largest_free_order(), Some(18));
    assert_eq!(zone.verify().unwrap().free_pages, 0x60005);
}

#[test]
fn blocks_of_the_largest_order_are_not_merged_further() {
    let descs = descs(2 << 18);
    let mut zone = free_zone(&descs, 0);
    assert_eq!(block_counts(&zone), [(18, 2)]);
    let blocks = [zone.alloc(18).unwrap(), zone.alloc(18).unwrap()];
    assert_eq!(zone.alloc(0), None);
    for block in blocks {
        zone.free(block, 18).unwrap();
    }
    assert_eq!(block_counts(&zone), [(18, 2)]);
    assert_eq!(zone.verify().unwrap().free_blocks[18], 2);
}

#[test]
fn halves_of_the_largest_block_merge_again() {
    let descs = descs(1 << 18);
    let mut zone = free_zone(&descs, 1 << 18);
    let halves = [zone.alloc(17).unwrap(), zone.alloc(17).unwrap()];
    assert_eq!(halves, [Pfn(1 << 18), Pfn((1 << 18) + (1 << 17))]);
    for half in halves {
        zone.free(half, 17).unwrap();
    }
    assert_eq!(block_counts(&zone), [(18, 1)]);
}

#[test]
fn an_allocation_splits_the_smallest_block_that_is_large_enough() {
    let descs = descs(64);
    let mut zone = free_zone(&descs, 0);
    assert_eq!(zone.alloc(0), Some(Pfn(0)));
    assert_eq!(block_counts(&zone), [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]);
    assert_eq!(zone.alloc(2), Some(Pfn(4)));
    assert_eq!(zone.alloc(1), Some(Pfn(2)));
    assert_eq!(block_counts(&zone), [(0, 1), (3, 1), (4, 1), (5, 1)]);
    assert_eq!(zone.free_pages(), 57);
    for (pfn, order) in [(4, 2), (0, 0), (2, 1)] {
        zone.free(Pfn(pfn), order).unwrap();
    }
    assert_eq!(block_counts(&zone), [(6, 1)]);
}

#[test]
fn an_order_that_does_not_exist_is_never_allocated() {
    let descs = descs(64);
    let mut zone = free_zone(&descs, 0);
    for order in [7, 18, 19, 31, 32, 64, 255] {
        assert_eq!(zone.alloc(order), None, "order {order}");
    }
    assert_eq!(zone.free_pages(), 64);
}

#[test]
fn tails_are_not_written_by_alloc_and_free() {
    let descs = descs(512);
    let mut zone = free_zone(&descs, 0);
    let block = zone.alloc(9).unwrap();
    let tails_untouched = || descs[1..].iter().all(|desc| desc.matches_init(InitKind::Usable, 1));
    assert!(tails_untouched());
    zone.free(block, 9).unwrap();
    assert!(tails_untouched());
}

#[test]
fn the_owner_has_a_word_in_the_head() {
    let descs = descs(4);
    let mut zone = free_zone(&descs, 0);
    let block = zone.alloc(1).unwrap();
    let head = zone.span().desc(block).unwrap();
    head.owner_word().unwrap().store(u64::MAX, Ordering::Relaxed);
    assert!(zone.span().desc(block + 1).unwrap().owner_word().is_none());
    zone.free(block, 1).unwrap();
    assert!(head.owner_word().is_none());
    zone.verify().unwrap();
    let again = zone.alloc(1).unwrap();
    assert_eq!(again, block);
    assert_eq!(head.owner_word().unwrap().load(Ordering::Relaxed), 0);
}

#[test]
fn the_owners_word_holds_no_links_of_the_free_list() {
    let descs = descs(16);
    let mut zone = free_zone(&descs, 0);
    while zone.alloc(0).is_some() {}
    for page in (0..16).step_by(2) {
        zone.free(Pfn(page), 0).unwrap();
    }
    while let Some(page) = zone.alloc(0) {
        let word = zone.span().desc(page).unwrap().owner_word().unwrap();
        assert_eq!(word.load(Ordering::Relaxed), 0, "page {page}");
    }
}

#[test]
fn merging_stops_at_holes_and_reserved_pages() {
    let descs = descs(32);
    let mut zone = Zone::new(&descs, Pfn(0), 1).unwrap();
    zone.init_range(Pfn(0)..Pfn(8), InitKind::Usable).unwrap();
    zone.init_range(Pfn(8)..Pfn(9), InitKind::Reserved).unwrap();
    zone.init_range(Pfn(9)..Pfn(16), InitKind::Usable).unwrap();
    // 16..32 stays a hole.
    zone.free_initial(Pfn(0)..Pfn(8)).unwrap();
    zone.free_initial(Pfn(9)..Pfn(16)).unwrap();
    assert_eq!(block_counts(&zone), [(0, 1), (1, 1), (2, 1), (3, 1)]);
    let census = zone.verify().unwrap();
    assert_eq!((census.free_pages, census.reserved_pages, census.hole_pages), (15, 1, 16));

    // The reserved page is freed: all of 0..16 becomes one block.
    zone.init_range(Pfn(8)..Pfn(9), InitKind::Usable).unwrap();
    assert_eq!(zone.verify().unwrap().unclaimed_pages, 1);
    zone.free_initial(Pfn(8)..Pfn(9)).unwrap();
    assert_eq!(block_counts(&zone), [(4, 1)]);
}

#[test]
fn pages_initialised_but_not_freed_are_not_merged() {
    let descs = descs(16);
    let mut zone = Zone::new(&descs, Pfn(0), 1).unwrap();
    zone.init_range(Pfn(0)..Pfn(16), InitKind::Usable).unwrap();
    zone.free_initial(Pfn(0)..Pfn(4)).unwrap();
    assert_eq!(block_counts(&zone), [(2, 1)]);
    assert_eq!(zone.verify().unwrap().unclaimed_pages, 12);
    zone.free_initial(Pfn(8)..Pfn(16)).unwrap();
    zone.free_initial(Pfn(4)..Pfn(8)).unwrap();
    assert_eq!(block_counts(&zone), [(4, 1)]);
}

#[test]
fn a_zone_does_not_merge_with_descriptors_of_another() {
    let descs = descs(16);
    let mut lower = Zone::new(&descs[..8], Pfn(0), 1).unwrap();
    let mut upper = Zone::new(&descs[8..], Pfn(8), 2).unwrap();
    for zone in [&mut lower, &mut upper] {
        let pages = zone.span().pages();
        zone.init_range(pages.clone(), InitKind::Usable).unwrap();
        zone.free_initial(pages).unwrap();
    }
    assert_eq!(block_counts(&lower), [(3, 1)]);
    assert_eq!(upper.free(Pfn(0), 3), Err(FreeError::OutOfRange { pfn: Pfn(0), len_pages: 8 }));
    assert_eq!(lower.verify().unwrap().free_pages, 8);
    assert_eq!(upper.verify().unwrap().free_pages, 8);
}

#[test]
fn a_page_that_is_not_allocated_is_not_freed() {
    let descs = descs(64);
    let mut zone = free_zone(&descs[..32], 0x100);
    let base = Pfn(0x100);
    let block = zone.alloc(3).unwrap();
    assert_eq!(block, base);
    let mut refuse = |pfn, order, error| {
        assert_eq!(zone.free(pfn, order), Err(error));
        assert_eq!(zone.free_pages(), 24);
    };
    refuse(block, 2, FreeError::WrongOrder { pfn: block, order: 2, allocated: 3 });
    refuse(block, 19, FreeError::OrderTooLarge { order: 19 });
    refuse(block, 255, FreeError::OrderTooLarge { order: 255 });
    refuse(block + 1, 1, FreeError::Misaligned { pfn: block + 1, order: 1 });
    refuse(block + 1, 0, FreeError::NotAllocated { pfn: block + 1, state: PageState::Tail });
    refuse(base + 8, 3, FreeError::DoubleFree { pfn: base + 8 });
    refuse(base + 20, 0, FreeError::DoubleFree { pfn: base + 20 });
    for outside in [Pfn(0), Pfn(0xff), base + 32, Pfn(u64::MAX)] {
        refuse(outside, 0, FreeError::OutOfRange { pfn: outside, len_pages: 1 });
    }
}

#[test]
fn a_second_free_is_refused_after_merging_and_splitting() {
    let descs = descs(16);
    let mut zone = free_zone(&descs, 0);
    let pages: Vec<Pfn> = std::iter::from_fn(|| zone.alloc(0)).collect();
    assert_eq!(pages.len(), 16);
    for &pfn in &pages {
        zone.free(pfn, 0).unwrap();
    }
    for &pfn in &pages {
        assert_eq!(zone.free(pfn, 0), Err(FreeError::DoubleFree { pfn }));
    }
    let block = zone.alloc(3).unwrap();
    for page in 1..8 {
        assert!(matches!(zone.free(block + page, 0), Err(FreeError::NotAllocated { .. })));
    }
    zone.free(block, 3).unwrap();
    assert_eq!(zone.verify().unwrap().free_blocks[4], 1);
}

#[test]
fn only_initialised_pages_are_freed_for_the_first_time() {
    let descs = descs(32);
    let mut zone = Zone::new(&descs, Pfn(0), 1).unwrap();
    assert_eq!(
        zone.free_initial(Pfn(0)..Pfn(4)),
        Err(FreeError::NotInitial { pfn: Pfn(0), state: PageState::Hole })
    );
    zone.init_range(Pfn(0)..Pfn(16), InitKind::Usable).unwrap();
    zone.init_range(Pfn(3)..Pfn(4), InitKind::Reserved).unwrap();
    zone.free_initial(Pfn(8)..Pfn(16)).unwrap();
    for (range, pfn) in [(Pfn(8)..Pfn(16), 8), (Pfn(12)..Pfn(14), 12), (Pfn(11)..Pfn(12), 11)] {
        let error = zone.free_initial(range).unwrap_err();
        assert!(
            matches!(
                error,
                FreeError::DoubleFree { pfn: found } | FreeError::NotInitial { pfn: found, .. }
                    if found == Pfn(pfn)
            ),
            "{error}"
        );
    }
    assert_eq!(
        zone.free_initial(Pfn(2)..Pfn(4)),
        Err(FreeError::NotInitial { pfn: Pfn(3), state: PageState::Reserved }),
        "in debug builds every page is looked at"
    );
    for range in [Pfn(31)..Pfn(33), Pfn(33)..Pfn(32), Pfn(4)..Pfn(3)] {
        assert!(matches!(zone.free_initial(range), Err(FreeError::OutOfRange { .. })));
    }
    assert_eq!(zone.verify().unwrap().free_pages, 8);
}

#[test]
fn bulk_calls_take_all_that_is_available() {
    let descs = descs(100);
    let mut zone = free_zone(&descs, 0);
    let mut blocks = [Pfn(0); 64];
    assert_eq!(zone.alloc_bulk(1, &mut blocks, 0), 50);
    assert_eq!(zone.alloc_bulk(0, &mut blocks[50..], 0), 0);
    let mut distinct: Vec<_> = blocks[..50].to_vec();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 50);

    let with_a_stranger = [blocks[0], blocks[1], blocks[0], blocks[2]];
    assert_eq!(zone.free_bulk(1, &with_a_stranger), Err((2, FreeError::DoubleFree { pfn: blocks[0] })));
    assert_eq!(zone.free_pages(), 4);
    zone.free_bulk(1, &blocks[2..50]).unwrap();
    assert_eq!(zone.verify().unwrap().free_pages, 100);
    assert_eq!(block_counts(&zone), [(2, 1), (5, 1), (6, 1)]);
}

#[test]
fn pages_at_the_end_of_46_bit_addresses_work() {
    let descs = descs(1024);
    let base = (1 << 34) - 1024;
    let mut zone = free_zone(&descs, base);
    let block = zone.alloc(9).unwrap();
    assert!(block.0 >= base && block.is_aligned(9));
    assert!(block.address() < 1 << 46);
    assert_eq!(zone.free(block, 9), Ok(()));
    assert_eq!(block_counts(&zone), [(10, 1)]);
    assert_eq!(zone.free_pages(), order_pages(10));
}

#[test]
fn errors_say_what_is_expected() {
    let descs = descs(8);
    let mut zone = free_zone(&descs, 0x10);
    let block = zone.alloc(2).unwrap();
    let mut message = |pfn, order| zone.free(pfn, order).unwrap_err().to_string();
    assert_eq!(message(block, 1), "page 0x10 freed with order 1, should be 2 as it was allocated");
    assert_eq!(message(Pfn(0x15), 0), "page 0x15 is free, should be allocated");
    assert_eq!(message(Pfn(0x11), 3), "block of order 3 at page 0x11, should begin at a multiple of 0x8");
}

/// Old contents of the descriptors' memory: from an earlier kernel, or of pages that merged.
#[test]
fn initialisation_needs_no_zeroed_memory() {
    let descs = descs(256);
    let mut earlier = free_zone(&descs, 0);
    for order in [0, 3, 0, 5] {
        let block = earlier.alloc(order).unwrap();
        let head = earlier.span().desc(block).unwrap();
        head.owner_word().unwrap().store(u64::MAX, Ordering::Relaxed);
    }
    let mut zone = free_zone(&descs, 0);
    assert_eq!(zone.verify().unwrap().free_blocks[8], 1);
    let blocks: Vec<Pfn> = (0..256).map(|_| zone.alloc(0).unwrap()).collect();
    let word = |block: &Pfn| zone.span().desc(*block).unwrap().owner_word().unwrap().load(Ordering::Relaxed);
    assert!(blocks.iter().all(|block| word(block) == 0));
    for block in blocks {
        zone.free(block, 0).unwrap();
    }
    assert_eq!(zone.verify().unwrap().free_blocks[8], 1);
}

#[test]
fn bulk_calls_take_the_blocks_of_single_calls() {
    let all_descs = [descs(1000), descs(1000)];
    let mut zones = all_descs.each_ref().map(|descs| free_zone(descs, 24));
    // Holes at irregular places, so that blocks of all sizes are free.
    for (order, skip) in [(0, 3), (2, 1), (5, 0), (0, 0)] {
        for zone in &mut zones {
            let blocks: Vec<Pfn> = (0..skip + 3).map(|_| zone.alloc(order).unwrap()).collect();
            zone.free(blocks[skip], order).unwrap();
        }
    }
    let [single, bulk] = &mut zones;
    for (order, count, reserve_pages) in [(0, 7, 0), (1, 40, 0), (0, 33, 600), (3, 9, 0), (0, 1000, 100)] {
        let one_by_one: Vec<Pfn> =
            (0..count).map_while(|_| single.alloc_above(order, reserve_pages)).collect();
        let mut at_once = vec![Pfn(0); count];
        let taken = bulk.alloc_bulk(order, &mut at_once, reserve_pages);
        assert_eq!(at_once[..taken], one_by_one, "{count} of order {order}");
        assert_eq!(bulk.verify(), single.verify());
        assert_eq!(bulk.stats().taken, single.stats().taken);
    }
}

#[test]
fn blocks_freed_together_merge_as_by_single_calls() {
    for (first, count) in [(0, 64), (1, 63), (5, 30), (62, 2), (0, 1)] {
        for order in [0, 2] {
            let all_descs = [descs(256), descs(256)];
            let mut zones = all_descs.each_ref().map(|descs| free_zone(descs, 1 << 20));
            let mut blocks = vec![Pfn(0); 64];
            for zone in &mut zones {
                assert_eq!(zone.alloc_bulk(order, &mut blocks, 0), 64);
            }
            let freed = &blocks[first..first + count];
            let [single, bulk] = &mut zones;
            freed.iter().for_each(|block| single.free(*block, order).unwrap());
            bulk.free_bulk(order, freed).unwrap();
            assert_eq!(bulk.verify(), single.verify());
            assert_eq!(bulk.stats().freed, single.stats().freed);
            // All of them are free now, also those in the middle of a run.
            let mut again = blocks.clone();
            again.truncate(first + 1);
            assert_eq!(bulk.free_bulk(order, &again), Err((first, FreeError::DoubleFree { pfn: freed[0] })));
            assert_eq!(
                bulk.verify().unwrap().allocated_pages,
                (64 - first - count) as u64 * order_pages(order)
            );
        }
    }
}

#[test]
fn a_page_that_is_no_block_is_refused_in_bulk_too() {
    let descs = descs(64);
    let mut zone = free_zone(&descs, 0);
    let block = zone.alloc(4).unwrap();
    let pieces: Vec<Pfn> = (0..4).map(|piece| block + piece * 4).collect();
    assert!(matches!(zone.free_bulk(2, &pieces), Err((0, FreeError::WrongOrder { allocated: 4, .. }))));
    assert!(matches!(zone.free_bulk(2, &[Pfn(1), Pfn(5)]), Err((0, FreeError::Misaligned { .. }))));
    assert!(matches!(
        zone.free_bulk(2, &[Pfn(u64::MAX - 3), Pfn(0)]),
        Err((0, FreeError::OutOfRange { .. }))
    ));
    assert!(matches!(zone.free_bulk(40, &[block]), Err((0, FreeError::OrderTooLarge { order: 40 }))));
    zone.free(block, 4).unwrap();
    assert_eq!(zone.verify().unwrap().free_blocks[6], 1);
}

/// Two callers take single pages alternately, among scattered free pages.
#[test]
fn runs_share_no_line_of_descriptors() {
    let descs = descs(1024);
    let mut zone = free_zone(&descs, 0);
    let odd: Vec<Pfn> = (0..64).map(|_| zone.alloc(0).unwrap()).collect();
    odd.iter().step_by(3).for_each(|page| zone.free(*page, 0).unwrap());
    let mut takers = [Vec::new(), Vec::new()];
    for round in 0..8 {
        let mut batch = [Pfn(0); 16];
        assert_eq!(zone.alloc_in_runs(9, &mut batch, 0), 16);
        takers[round % 2].extend(batch);
    }
    let lines =
        |pages: &[Pfn]| pages.iter().map(|page| page.0 / 8).collect::<std::collections::BTreeSet<_>>();
    assert!(lines(&takers[0]).is_disjoint(&lines(&takers[1])));
    assert_eq!(zone.stats().taken[0], 64 + 128);
    assert_eq!(zone.verify().unwrap().allocated_blocks[0], 64 - 22 + 128);
    for page in takers.concat() {
        zone.free(page, 0).unwrap();
    }
    zone.verify().unwrap();
}

#[test]
fn runs_spare_large_blocks_and_the_reserve() {
    let descs = descs(1024);
    let mut zone = free_zone(&descs, 0);
    // Half is one block of order 9; of the other half 100 single pages are free.
    let half: Vec<Pfn> = (0..512).map(|_| zone.alloc(0).unwrap()).collect();
    half.iter().step_by(5).take(100).for_each(|page| zone.free(*page, 0).unwrap());
    assert_eq!(zone.free_blocks(9), 1);
    let mut pages = [Pfn(0); 16];
    for _ in 0..6 {
        assert_eq!(zone.alloc_in_runs(9, &mut pages, 0), 16);
        assert_eq!(zone.free_blocks(9), 1, "a large block was broken while there were single pages");
    }
    assert_eq!(zone.alloc_in_runs(9, &mut pages, 512 - 4), 8);
    assert_eq!(zone.free_pages(), 512 - 4);
    zone.verify().unwrap();
}
