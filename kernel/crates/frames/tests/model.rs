//! Any sequence of calls, against a model of single pages.
//!
//! Full coalescing has a simple result: the free blocks are exactly the largest
//! aligned blocks whose pages are all free. The model therefore knows the number of
//! free blocks of each order after every step, and when an allocation must fail.

use frames::{Census, FreeError, InitKind, MAX_ORDER, ORDERS, PageDesc, Pfn, Zone, order_pages};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Hole,
    Reserved,
    Unclaimed,
    Free,
    /// First page of an allocated block of this order.
    Head(u8),
    Tail,
}

struct Model {
    base: u64,
    pages: Vec<Page>,
}

impl Model {
    fn page(&self, pfn: u64) -> Option<Page> {
        let index = pfn.checked_sub(self.base)?;
        self.pages.get(index as usize).copied()
    }

    fn is_free_block(&self, pfn: u64, order: u8) -> bool {
        (pfn..pfn + order_pages(order)).all(|pfn| self.page(pfn) == Some(Page::Free))
    }

    fn block(&mut self, pfn: u64, order: u8) -> &mut [Page] {
        let start = (pfn - self.base) as usize;
        &mut self.pages[start..start + order_pages(order) as usize]
    }

    /// Returns the first run of pages that are all `wanted`, at or after `start`.
    fn run(&self, wanted: Page, start: usize, len: usize) -> Option<(usize, usize)> {
        let first = (start..self.pages.len()).find(|&index| self.pages[index] == wanted)?;
        let len = self.pages[first..].iter().take(len).take_while(|&&page| page == wanted).count();
        Some((first, len))
    }

    fn live(&self) -> Vec<(u64, u8)> {
        self.pages
            .iter()
            .zip(self.base..)
            .filter_map(|(page, pfn)| match page {
                Page::Head(order) => Some((pfn, *order)),
                _ => None,
            })
            .collect()
    }

    fn census(&self) -> Census {
        let count = |wanted: fn(&Page) -> bool| self.pages.iter().filter(|page| wanted(page)).count() as u64;
        let mut census = Census {
            hole_pages: count(|page| *page == Page::Hole),
            reserved_pages: count(|page| *page == Page::Reserved),
            unclaimed_pages: count(|page| *page == Page::Unclaimed),
            free_pages: count(|page| *page == Page::Free),
            allocated_pages: count(|page| matches!(page, Page::Head(_) | Page::Tail)),
            cached_pages: 0,
            foreign_pages: 0,
            free_blocks: [0; ORDERS],
            allocated_blocks: [0; ORDERS],
        };
        for (_, order) in self.live() {
            census.allocated_blocks[usize::from(order)] += 1;
        }
        let end = self.base + self.pages.len() as u64;
        let mut pfn = self.base;
        while pfn < end {
            let largest = (0..=MAX_ORDER)
                .rev()
                .find(|&order| Pfn(pfn).is_aligned(order) && self.is_free_block(pfn, order));
            if let Some(order) = largest {
                census.free_blocks[usize::from(order)] += 1;
            }
            pfn += largest.map_or(1, order_pages);
        }
        census
    }
}

#[derive(Clone, Debug)]
enum Step {
    Init {
        start: usize,
        len: usize,
        usable: bool,
    },
    FreeInitial {
        start: usize,
        len: usize,
    },
    Alloc {
        order: u8,
    },
    AllocBulk {
        order: u8,
        blocks: usize,
        reserve_pages: u64,
    },
    Free {
        which: prop::sample::Index,
    },
    /// A free of any page, mostly an error.
    WildFree {
        offset: u64,
        order: u8,
    },
}

const MAX_PAGES: usize = 700;

fn any_step() -> impl Strategy<Value = Step> {
    let start = 0..MAX_PAGES;
    prop_oneof![
        2 => (start.clone(), 1..300_usize, prop::bool::weighted(0.85))
            .prop_map(|(start, len, usable)| Step::Init { start, len, usable }),
        2 => (start, 1..300_usize).prop_map(|(start, len)| Step::FreeInitial { start, len }),
        4 => (0..8_u8).prop_map(|order| Step::Alloc { order }),
        1 => (0..4_u8, 0..40_usize, prop_oneof![Just(0), 0..MAX_PAGES as u64])
            .prop_map(|(order, blocks, reserve_pages)| Step::AllocBulk { order, blocks, reserve_pages }),
        4 => any::<prop::sample::Index>().prop_map(|which| Step::Free { which }),
        2 => (0..MAX_PAGES as u64 + 20, 0..11_u8)
            .prop_map(|(offset, order)| Step::WildFree { offset, order }),
    ]
}

fn take(zone: &mut Zone<'_>, model: &mut Model, order: u8) -> Result<(), TestCaseError> {
    let end = model.base + model.pages.len() as u64;
    let possible = (model.base..end)
        .filter(|&pfn| Pfn(pfn).is_aligned(order))
        .any(|pfn| model.is_free_block(pfn, order));
    let block = zone.alloc(order);
    prop_assert_eq!(block.is_some(), possible, "order {}", order);
    if let Some(block) = block {
        hand_out(model, block, order)?;
    }
    Ok(())
}

/// Checks that the block is free in the model, and marks it as allocated.
fn hand_out(model: &mut Model, block: Pfn, order: u8) -> Result<(), TestCaseError> {
    prop_assert!(block.is_aligned(order));
    prop_assert!(
        model.is_free_block(block.0, order),
        "{:?} of order {} was handed out and is not all free",
        block,
        order
    );
    let pages = model.block(block.0, order);
    pages.fill(Page::Tail);
    pages[0] = Page::Head(order);
    Ok(())
}

fn apply(zone: &mut Zone<'_>, model: &mut Model, step: Step) -> Result<(), TestCaseError> {
    let pages =
        |start: usize, len: usize, base: u64| Pfn(base + start as u64)..Pfn(base + (start + len) as u64);
    match step {
        Step::Init { start, len, usable } => {
            if let Some((start, len)) = model.run(Page::Hole, start, len) {
                let (kind, page) = if usable {
                    (InitKind::Usable, Page::Unclaimed)
                } else {
                    (InitKind::Reserved, Page::Reserved)
                };
                let range = pages(start, len, model.base);
                prop_assert_eq!(zone.init_range(range, kind), Ok(()));
                model.pages[start..start + len].fill(page);
            }
        }
        Step::FreeInitial { start, len } => {
            if let Some((start, len)) = model.run(Page::Unclaimed, start, len) {
                let blocks = zone.free_initial(pages(start, len, model.base));
                prop_assert!(blocks.is_ok_and(|blocks| blocks > 0 && blocks <= len as u64));
                model.pages[start..start + len].fill(Page::Free);
            }
        }
        Step::Alloc { order } => take(zone, model, order)?,
        Step::AllocBulk { order, blocks, reserve_pages } => {
            let announced = zone.blocks_above(order, reserve_pages);
            let mut taken = vec![Pfn(0); blocks];
            let count = zone.alloc_bulk(order, &mut taken, reserve_pages);
            prop_assert_eq!(count as u64, announced.min(blocks as u64));
            for &block in &taken[..count] {
                hand_out(model, block, order)?;
            }
            if count < blocks {
                // Another block would go below the reserve, or there is none.
                if zone.free_pages() >= reserve_pages + order_pages(order) {
                    take(zone, model, order)?;
                    prop_assert_eq!(zone.free_blocks(order), 0);
                }
                prop_assert_eq!(zone.blocks_above(order, reserve_pages), 0);
            }
        }
        Step::Free { which } => {
            let live = model.live();
            if !live.is_empty() {
                let (pfn, order) = live[which.index(live.len())];
                prop_assert_eq!(zone.free(Pfn(pfn), order), Ok(()));
                model.block(pfn, order).fill(Page::Free);
            }
        }
        Step::WildFree { offset, order } => {
            let pfn = (model.base + offset).saturating_sub(10);
            let result = zone.free(Pfn(pfn), order);
            let aligned = Pfn(pfn).is_aligned(order);
            match (model.page(pfn), result) {
                (Some(Page::Head(live)), Ok(())) if live == order => {
                    model.block(pfn, order).fill(Page::Free);
                }
                (None, Err(FreeError::OutOfRange { .. })) => {}
                (Some(_), Err(FreeError::Misaligned { .. })) if !aligned => {}
                (Some(Page::Head(live)), Err(FreeError::WrongOrder { allocated, .. }))
                    if aligned && live == allocated && live != order => {}
                (Some(Page::Free), Err(FreeError::DoubleFree { .. })) if aligned => {}
                (
                    Some(Page::Hole | Page::Reserved | Page::Unclaimed | Page::Tail),
                    Err(FreeError::NotAllocated { .. }),
                ) if aligned => {}
                (page, result) => prop_assert!(false, "{:?} gave {:?}", page, result),
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_zone_matches_the_model(
        base in prop_oneof![Just(0), 0_u64..1024, Just((1 << 34) - 333)],
        len in 1..MAX_PAGES,
        all_free in any::<bool>(),
        steps in prop::collection::vec(any_step(), 0..80),
    ) {
        let descs: Vec<PageDesc> = (0..len).map(|_| PageDesc::new()).collect();
        let mut zone = Zone::new(&descs, Pfn(base), 9).unwrap();
        let mut model = Model { base, pages: vec![Page::Hole; len] };
        if all_free {
            apply(&mut zone, &mut model, Step::Init { start: 0, len, usable: true })?;
            apply(&mut zone, &mut model, Step::FreeInitial { start: 0, len })?;
        }
        for step in steps {
            apply(&mut zone, &mut model, step)?;
            prop_assert_eq!(zone.verify(), Ok(model.census()));
        }
        for (pfn, order) in model.live() {
            prop_assert_eq!(zone.free(Pfn(pfn), order), Ok(()));
            model.block(pfn, order).fill(Page::Free);
        }
        prop_assert_eq!(zone.verify(), Ok(model.census()));
    }
}
