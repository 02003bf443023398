//! Poisoned pages: a write is found, with its offset and value.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use frames::Pfn;
use frames::poison::{Damage, POISON, PoisonMap, check_page};
use proptest::prelude::*;

fn page() -> Vec<AtomicU64> {
    (0..512).map(|_| AtomicU64::new(POISON)).collect()
}

fn map_words(end: u64) -> Vec<AtomicU64> {
    (0..PoisonMap::words_for(Pfn(end))).map(|_| AtomicU64::new(0)).collect()
}

#[test]
fn an_untouched_page_passes() {
    assert_eq!(check_page(&page()), Ok(()));
}

#[test]
fn a_page_that_is_cleared_as_a_whole_fails() {
    let page = page();
    page.iter().for_each(|word| word.store(0, Relaxed));
    assert_eq!(check_page(&page), Err(Damage { offset: 0, found: 0, words: 512 }));
}

#[test]
fn the_words_for_a_map_are_just_enough() {
    assert_eq!([0, 1, 64, 65].map(|end| PoisonMap::words_for(Pfn(end))), [0, 1, 1, 2]);
}

#[test]
fn pages_beyond_the_map_are_not_poisoned() {
    let words = map_words(64);
    let map = PoisonMap::new(&words);
    map.mark(Pfn(63), 3);
    assert!(map.take(Pfn(63)));
    assert!(!map.take(Pfn(64)));
    map.mark(Pfn(u64::MAX), 1);
    assert!(!map.take(Pfn(u64::MAX)));
}

#[test]
fn damage_is_reported_by_offset_and_value() {
    let page = page();
    page[3].store(POISON ^ 0xff << 16, Relaxed);
    page[9].store(1, Relaxed);
    let damage = check_page(&page).unwrap_err();
    assert_eq!((damage.offset, damage.words), (3 * 8 + 2, 2));
    let text = damage.to_string();
    assert!(text.contains("offset 0x1a") && text.contains("0xa5a55a5ade52beef"), "{text}");
}

proptest! {
    /// One byte at any offset, with any other value.
    #[test]
    fn a_single_byte_is_found(offset in 0usize..4096, change in 1u8..=255) {
        let page = page();
        let word = &page[offset / 8];
        word.fetch_xor(u64::from(change) << (offset % 8 * 8), Relaxed);
        let damage = check_page(&page).unwrap_err();
        prop_assert_eq!(damage.offset, offset as u64);
        prop_assert_eq!(damage.words, 1);
        prop_assert_eq!(damage.found, word.load(Relaxed));
    }

    /// Compares the map with a set.
    #[test]
    fn pages_are_marked_until_they_are_taken(
        steps in prop::collection::vec((any::<bool>(), 0u64..300, 1u64..80), 1..60),
    ) {
        let words = map_words(256);
        let map = PoisonMap::new(&words);
        let mut model = std::collections::BTreeSet::new();
        for (is_free, first, len) in steps {
            if is_free {
                map.mark(Pfn(first), len);
                model.extend((first..first + len).filter(|page| *page < 256));
            } else {
                for page in first..first + len {
                    prop_assert_eq!(map.take(Pfn(page)), model.remove(&page), "page {}", page);
                }
            }
        }
    }
}
