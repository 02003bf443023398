//! `verify` finds the results of misuse by safe code: a write to the owner's word
//! after the block is freed, two zones over one span, descriptors initialised while
//! in use.

use std::sync::atomic::{AtomicU64, Ordering};

use frames::{Inconsistency, InitKind, PageDesc, PageState, Pfn, Zone};

fn free_zone(descs: &[PageDesc]) -> Zone<'_> {
    let mut zone = Zone::new(descs, Pfn(0), 1).unwrap();
    let pages = zone.span().pages();
    zone.init_range(pages.clone(), InitKind::Usable).unwrap();
    zone.free_initial(pages).unwrap();
    zone
}

fn descs() -> Vec<PageDesc> {
    (0..64).map(|_| PageDesc::new()).collect()
}

/// Returns a zone whose even pages are free and in one list, page 62 first and page
/// 0 last. With it comes the owner's word of page 8, kept beyond its free.
fn every_other_page(descs: &[PageDesc]) -> (Zone<'_>, &AtomicU64) {
    let mut zone = free_zone(descs);
    while zone.alloc(0).is_some() {}
    let word = descs[8].owner_word().unwrap();
    for page in (0..64).step_by(2) {
        zone.free(Pfn(page), 0).unwrap();
    }
    zone.verify().unwrap();
    (zone, word)
}

#[test]
fn a_list_that_leads_out_of_the_span() {
    let descs = descs();
    let (zone, word) = every_other_page(&descs);
    word.store(word.load(Ordering::Relaxed) & !0xffff_ffff | 65, Ordering::Relaxed);
    assert_eq!(zone.verify(), Err(Inconsistency::LinkOutOfRange { order: 0, index: 64 }));
}

#[test]
fn a_list_that_leads_to_a_page_in_use() {
    let descs = descs();
    let (zone, word) = every_other_page(&descs);
    word.store(word.load(Ordering::Relaxed) & !0xffff_ffff | 4, Ordering::Relaxed);
    assert_eq!(
        zone.verify(),
        Err(Inconsistency::ForeignListMember {
            order: 0,
            pfn: Pfn(3),
            state: PageState::AllocatedHead { order: 0 }
        })
    );
}

#[test]
fn a_list_with_a_cycle() {
    let descs = descs();
    let (zone, word) = every_other_page(&descs);
    // From page 8 back to page 62, which is first.
    word.store(word.load(Ordering::Relaxed) & !0xffff_ffff | 63, Ordering::Relaxed);
    assert_eq!(zone.verify(), Err(Inconsistency::BrokenBackLink { order: 0, pfn: Pfn(62) }));
}

#[test]
fn a_list_that_ends_early() {
    let descs = descs();
    let (zone, word) = every_other_page(&descs);
    word.store(word.load(Ordering::Relaxed) & !0xffff_ffff, Ordering::Relaxed);
    assert_eq!(zone.verify(), Err(Inconsistency::ListLength { order: 0, counted: 32, found: 28 }));
}

#[test]
fn a_broken_back_link() {
    let descs = descs();
    let (zone, word) = every_other_page(&descs);
    word.store(word.load(Ordering::Relaxed) ^ 1 << 32, Ordering::Relaxed);
    assert_eq!(zone.verify(), Err(Inconsistency::BrokenBackLink { order: 0, pfn: Pfn(8) }));
}

#[test]
fn a_free_block_in_no_list() {
    let descs = descs();
    let mut zone = free_zone(&descs);
    let blocks = [zone.alloc(4).unwrap(), zone.alloc(4).unwrap()];
    // Its buddy is in use, so the other zone merges nothing.
    Zone::new(&descs, Pfn(0), 1).unwrap().free(blocks[0], 4).unwrap();
    assert_eq!(zone.verify(), Err(Inconsistency::UnlistedBlocks { order: 4, listed: 0, found: 1 }));
}

#[test]
fn descriptors_written_over_while_in_use() {
    let descs = descs();
    let mut zone = free_zone(&descs);
    let block = zone.alloc(2).unwrap();
    assert_eq!(block, Pfn(0));
    zone.init_range(Pfn(2)..Pfn(3), InitKind::Reserved).unwrap();
    assert_eq!(
        zone.verify(),
        Err(Inconsistency::ForeignPageInBlock { head: Pfn(0), pfn: Pfn(2), state: PageState::Reserved })
    );
    zone.init_range(Pfn(2)..Pfn(3), InitKind::Usable).unwrap();
    zone.verify().unwrap();
    zone.init_range(Pfn(4)..Pfn(5), InitKind::Usable).unwrap();
    assert_eq!(
        zone.verify(),
        Err(Inconsistency::ForeignListMember { order: 2, pfn: Pfn(4), state: PageState::Tail })
    );
}

#[test]
fn pages_of_another_zone() {
    let descs = descs();
    let zone = free_zone(&descs);
    frames::init_run(&descs[5..6], InitKind::Usable, 2);
    assert_eq!(zone.verify(), Err(Inconsistency::ForeignZone { pfn: Pfn(5), zone_id: 2 }));
}

#[test]
fn buddies_that_were_not_merged() {
    let descs = descs();
    let mut zone = free_zone(&descs);
    let blocks = [zone.alloc(5).unwrap(), zone.alloc(5).unwrap()];
    zone.free(blocks[0], 5).unwrap();
    Zone::new(&descs[32..], Pfn(32), 1).unwrap().free(blocks[1], 5).unwrap();
    assert_eq!(zone.verify(), Err(Inconsistency::UnmergedBuddies { pfn: Pfn(0), order: 5 }));
}

#[test]
fn a_block_that_reaches_beyond_the_span() {
    let descs = descs();
    let mut zone = free_zone(&descs);
    assert_eq!(zone.alloc(6), Some(Pfn(0)));
    let part = Zone::new(&descs[..32], Pfn(0), 1).unwrap();
    assert_eq!(part.verify(), Err(Inconsistency::MisplacedBlock { pfn: Pfn(0), order: 6 }));
    let elsewhere = Zone::new(&descs, Pfn(1), 1).unwrap();
    assert_eq!(elsewhere.verify(), Err(Inconsistency::MisplacedBlock { pfn: Pfn(1), order: 6 }));
}

#[test]
fn messages_say_what_is_expected() {
    let descs = descs();
    let (zone, word) = every_other_page(&descs);
    word.store(0, Ordering::Relaxed);
    assert_eq!(
        zone.verify().unwrap_err().to_string(),
        "page 0x8 in the free list of order 0 links back elsewhere, should link to the block before it"
    );
}
