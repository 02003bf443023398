//! Bulk calls: many blocks for less than the cost of single calls.

use super::{RUN_ORDER, Zone};
use crate::error::FreeError;
use crate::pfn::{MAX_ORDER, Pfn, order_pages};

impl Zone<'_> {
    /// Allocates blocks of `order` until `blocks` is full or no more than
    /// `reserve_pages` would be left. Returns the number of blocks written. They
    /// are the blocks that single calls would return.
    #[must_use = "the blocks are taken and have to be freed"]
    pub fn alloc_bulk(&mut self, order: u8, blocks: &mut [Pfn], reserve_pages: u64) -> usize {
        let mut taken = 0;
        while taken < blocks.len() {
            let rest = &mut blocks[taken..];
            taken += match self.alloc_undivided(order, rest, reserve_pages) {
                0 => {
                    let Some(pfn) = self.alloc_above(order, reserve_pages) else { break };
                    rest[0] = pfn;
                    1
                }
                count => count,
            };
        }
        taken
    }

    /// Allocates single pages until `pages` is full or no more than `reserve_pages`
    /// would be left. Returns the number of pages written. They come in whole blocks
    /// of [`RUN_ORDER`] as long as blocks below `spared_order` are free: the caller
    /// then shares no cache line of descriptors with other owners.
    #[must_use = "the pages are taken and have to be freed"]
    pub fn alloc_in_runs(&mut self, spared_order: u8, pages: &mut [Pfn], reserve_pages: u64) -> usize {
        let run_pages = order_pages(RUN_ORDER) as usize;
        let mut taken = 0;
        while taken + run_pages <= pages.len()
            && self.smallest_stocked(RUN_ORDER).is_some_and(|order| order < spared_order)
            && self.can_spare(RUN_ORDER, reserve_pages)
        {
            let Some(first) = self.alloc(RUN_ORDER) else { break };
            // The block was not handed out yet: it becomes as many single pages.
            self.stats.taken[usize::from(RUN_ORDER)] -= 1;
            self.stats.taken[0] += run_pages as u64;
            for (page, entry) in (first.0..).map(Pfn).zip(&mut pages[taken..taken + run_pages]) {
                if let Some(desc) = self.span.desc(page) {
                    desc.set_allocated_head(0, self.span.zone_id());
                }
                *entry = page;
            }
            taken += run_pages;
        }
        taken + self.alloc_bulk(0, &mut pages[taken..], reserve_pages)
    }

    /// Allocates all blocks of `order` within the next block to be split, without
    /// putting any on a list; returns 0 if that would be too many.
    fn alloc_undivided(&mut self, order: u8, blocks: &mut [Pfn], reserve_pages: u64) -> usize {
        let Some(whole_order) = self.smallest_stocked(order) else { return 0 };
        let count = order_pages(whole_order - order) as usize;
        if count > blocks.len() || !self.can_spare(whole_order, reserve_pages) {
            return 0;
        }
        let Some(first) = self.pop(whole_order) else { return 0 };
        for (number, block) in blocks[..count].iter_mut().enumerate() {
            let index = first + ((number as u32) << order);
            self.span.descs()[index as usize].set_allocated_head(order, self.span.zone_id());
            *block = self.span.pfn(index);
        }
        self.free_pages -= order_pages(whole_order);
        self.stats.taken[usize::from(order)] += count as u64;
        count
    }

    /// Frees blocks of `order`. Neighbours in `blocks` that together are a larger
    /// block merge without access to any list.
    ///
    /// # Errors
    /// One of them is no such block. The blocks before it are free, the others are
    /// unchanged. The error comes with the number of blocks before it.
    pub fn free_bulk(&mut self, order: u8, blocks: &[Pfn]) -> Result<(), (usize, FreeError)> {
        let mut freed = 0;
        while freed < blocks.len() {
            let rest = &blocks[freed..];
            let joined = &rest[..joined_len(order, rest)];
            let all_allocated = joined.iter().all(|pfn| self.check_allocated(*pfn, order).is_ok());
            if joined.len() > 1 && all_allocated {
                joined[1..].iter().for_each(|pfn| self.set_tail(*pfn));
                self.insert_merged(joined[0], order + joined.len().ilog2() as u8);
                self.stats.freed[usize::from(order)] += joined.len() as u64;
                freed += joined.len();
            } else {
                self.free(rest[0], order).map_err(|error| (freed, error))?;
                freed += 1;
            }
        }
        Ok(())
    }
}

/// Returns how many blocks of `order`, from the first on, are one larger block; 1 or more.
fn joined_len(order: u8, blocks: &[Pfn]) -> usize {
    if order >= MAX_ORDER {
        return 1;
    }
    let step = order_pages(order);
    let adjacent =
        1 + blocks.windows(2).take_while(|pair| pair[0].0.checked_add(step) == Some(pair[1].0)).count();
    let joined_order = blocks[0].largest_order(adjacent as u64 * step);
    // The first may be no block of this order: its free reports that.
    1 << joined_order.saturating_sub(order)
}
