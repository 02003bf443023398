//! Every request gets a block that is large enough, aligned, and not much larger.

use std::alloc::Layout;

use proptest::prelude::*;
use sizeclass::{CLASSES, LARGEST_ALIGN, LARGEST_BYTES, SizeClass};

fn layouts() -> impl Iterator<Item = Layout> {
    let aligns = (0..=LARGEST_ALIGN.ilog2()).map(|shift| 1 << shift);
    aligns.flat_map(|align| {
        (0..=LARGEST_BYTES).filter_map(move |bytes| Layout::from_size_align(bytes, align).ok())
    })
}

#[test]
fn blocks_are_large_enough_and_aligned() {
    for layout in layouts() {
        let block = SizeClass::of(layout).expect("it is not too large").layout();
        assert!(block.size() >= layout.size(), "{layout:?} in {block:?}");
        assert!(block.align() >= layout.align(), "{layout:?} in {block:?}");
        assert_eq!(block.size() % block.align(), 0, "{block:?}");
    }
}

#[test]
fn no_smaller_class_would_do() {
    for layout in layouts() {
        let class = SizeClass::of(layout).expect("it is not too large");
        let suits = |class: &SizeClass| {
            class.len_bytes() >= layout.size() && class.len_bytes().is_multiple_of(layout.align())
        };
        assert_eq!(SizeClass::all().find(suits), Some(class), "{layout:?}");
    }
}

#[test]
fn at_most_a_fifth_is_wasted_above_64_bytes() {
    for bytes in 65..=LARGEST_BYTES {
        let len_bytes = SizeClass::of(Layout::from_size_align(bytes, 1).unwrap()).unwrap().len_bytes();
        assert!((len_bytes - bytes) * 5 < len_bytes, "{bytes} in {len_bytes}");
    }
}

#[test]
fn classes_grow_and_map_to_themselves() {
    let all: Vec<SizeClass> = SizeClass::all().collect();
    assert_eq!(all.len(), CLASSES);
    assert!(all.windows(2).all(|pair| pair[0].len_bytes() < pair[1].len_bytes()));
    for (index, class) in all.iter().enumerate() {
        assert_eq!(class.index(), index);
        assert_eq!(SizeClass::of(class.layout()), Some(*class));
    }
    assert_eq!(all.first().map(|class| class.len_bytes()), Some(16));
    assert_eq!(all.last().map(|class| class.len_bytes()), Some(LARGEST_BYTES));
}

proptest! {
    /// A request beyond the limits has no class, and no request panics.
    #[test]
    fn a_request_that_is_too_large_has_no_class(bytes in 0..=isize::MAX as usize / 2, align in 0u32..40) {
        let layout = Layout::from_size_align(bytes, 1 << align).unwrap();
        let fits = bytes <= LARGEST_BYTES && layout.align() <= LARGEST_ALIGN;
        prop_assert_eq!(SizeClass::of(layout).is_some(), fits);
    }
}
