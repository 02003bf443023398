//! The page cache in front of a zone, against a model, and the pages that it refuses.

use frames::cache::{BATCH_PAGES, CACHE_PAGES};
use frames::{FreeError, InitKind, PageCache, PageDesc, PageState, Pfn, Zone};
use proptest::prelude::*;

const PAGES: usize = 256;
const ZONE: u16 = 3;

fn descs() -> Vec<PageDesc> {
    (0..PAGES).map(|_| PageDesc::new()).collect()
}

fn free_zone(descs: &[PageDesc]) -> Zone<'_> {
    let mut zone = Zone::new(descs, Pfn(0), ZONE).unwrap();
    let all = zone.span().pages();
    zone.init_range(all.clone(), InitKind::Usable).unwrap();
    zone.free_initial(all).unwrap();
    zone
}

#[test]
fn the_page_put_last_comes_first() {
    let descs = descs();
    let mut zone = free_zone(&descs);
    let mut cache = PageCache::new(ZONE);
    assert_eq!(cache.take(), None);
    let (a, b) = (zone.alloc(0).unwrap(), zone.alloc(0).unwrap());
    assert!(cache.put(&descs, a) && cache.put(&descs, b));
    assert_eq!(descs[a.0 as usize].state(), PageState::CachedHead { order: 0 });
    assert_eq!(zone.verify().unwrap().cached_pages, 2);
    assert_eq!((cache.take(), cache.take(), cache.take()), (Some(b), Some(a), None));
    assert_eq!(zone.verify().unwrap().allocated_pages, 2);
}

#[test]
fn a_cache_says_what_it_holds() {
    let descs = descs();
    let mut zone = free_zone(&descs);
    let mut cache = PageCache::new(ZONE);
    assert_eq!(cache.zone_id(), ZONE);
    for len in 0..CACHE_PAGES {
        assert_eq!((cache.len(), cache.is_empty(), cache.is_full()), (len, len == 0, false));
        assert!(cache.put(&descs, zone.alloc(0).unwrap()));
    }
    assert_eq!((cache.len(), cache.is_empty(), cache.is_full()), (CACHE_PAGES, false, true));
}

#[test]
fn the_cache_refuses_all_but_single_pages_of_its_zone() {
    let descs = descs();
    let mut zone = free_zone(&descs);
    let mut cache = PageCache::new(ZONE);
    let pair = zone.alloc(1).unwrap();
    let page = zone.alloc(0).unwrap();
    assert!(!cache.put(&descs, pair), "a pair");
    assert!(!cache.put(&descs, pair + 1), "the inside of a block");
    assert!(!cache.put(&descs, Pfn(200)), "a free page");
    assert!(!cache.put(&descs, Pfn(PAGES as u64)), "no page at all");
    assert!(!PageCache::new(ZONE + 1).put(&descs, page), "a page of another zone");
    assert!(cache.put(&descs, page));
    assert!(!cache.put(&descs, page), "a page that is cached already");
    assert_eq!(zone.free(page, 0), Err(FreeError::DoubleFree { pfn: page }));
    assert_eq!(cache.len(), 1);
}

#[test]
fn a_full_cache_refuses_and_gives_the_oldest_to_the_zone() {
    let descs = descs();
    let mut zone = free_zone(&descs);
    let mut cache = PageCache::new(ZONE);
    let pages: Vec<Pfn> = (0..=CACHE_PAGES).map(|_| zone.alloc(0).unwrap()).collect();
    for &page in &pages[..CACHE_PAGES] {
        assert!(cache.put(&descs, page));
    }
    assert!(cache.is_full() && !cache.put(&descs, pages[CACHE_PAGES]));
    let mut oldest = [Pfn(0); BATCH_PAGES];
    assert_eq!(cache.drain(&mut oldest), BATCH_PAGES);
    assert_eq!(oldest[..], pages[..BATCH_PAGES]);
    zone.free_bulk(0, &oldest).unwrap();
    assert_eq!(cache.take(), Some(pages[CACHE_PAGES - 1]));
    zone.verify().unwrap();
}

#[test]
fn a_reserve_is_kept() {
    let descs = descs();
    let mut zone = free_zone(&descs);
    let mut blocks = [Pfn(0); PAGES];
    assert_eq!(zone.alloc_bulk(0, &mut blocks, 56), 200);
    assert_eq!(zone.alloc_above(0, 56), None);
    assert_eq!(zone.alloc_above(3, 48).map(|block| zone.free(block, 3)), Some(Ok(())));
    assert!(zone.alloc(0).is_some(), "the reserve serves a caller that may use it");
    assert_eq!((zone.stats().taken[0], zone.stats().taken[3], zone.stats().refused), (201, 1, 2));
}

#[test]
fn interleaved_zones_count_each_others_pages() {
    let descs = descs();
    frames::init_run(&descs[64..128], InitKind::Usable, 9);
    let mut zone = Zone::new(&descs, Pfn(0), ZONE).unwrap();
    for part in [Pfn(0)..Pfn(64), Pfn(128)..Pfn(256)] {
        zone.init_range(part.clone(), InitKind::Usable).unwrap();
        zone.free_initial(part).unwrap();
    }
    let census = zone.verify().unwrap();
    assert_eq!((census.foreign_pages, census.free_pages), (64, 192));
    assert_eq!(census.free_blocks[7], 1, "blocks do not merge over another zone's pages");
}

proptest! {
    /// Any sequence of calls hands out no page twice and loses none; a drained cache
    /// leaves the zone as it was.
    #[test]
    fn every_page_is_in_one_place(steps in prop::collection::vec((0..4_u8, any::<prop::sample::Index>()), 0..600)) {
        let descs = descs();
        let mut zone = free_zone(&descs);
        let mut cache = PageCache::new(ZONE);
        let mut held: Vec<Pfn> = Vec::new();
        for (what, which) in steps {
            match what {
                0 => held.extend(cache.take()),
                1 => held.extend(zone.alloc(0)),
                2 if !held.is_empty() => {
                    let page = held.swap_remove(which.index(held.len()));
                    if !cache.put(&descs, page) {
                        prop_assert!(cache.is_full());
                        zone.free(page, 0).unwrap();
                    }
                }
                _ => {
                    let mut batch = [Pfn(0); BATCH_PAGES];
                    let count = cache.drain(&mut batch);
                    zone.free_bulk(0, &batch[..count]).unwrap();
                }
            }
            let census = zone.verify().unwrap();
            prop_assert_eq!(census.allocated_pages, held.len() as u64);
            prop_assert_eq!(census.cached_pages, cache.len() as u64);
            held.sort_unstable();
            prop_assert!(held.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }
}
