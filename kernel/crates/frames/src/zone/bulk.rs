//! Many blocks at a time: for less than one by one.

use super::{RUN_ORDER, Zone};
use crate::error::FreeError;
use crate::pfn::{MAX_ORDER, Pfn, order_pages};

impl Zone<'_> {
    /// Takes blocks of `order` until `blocks` is full or no more than
    /// `reserve_pages` would be left, and returns how many were written: the
    /// same blocks as one at a time would be, for less.
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

    /// Takes single pages until `pages` is full or no more than `reserve_pages`
    /// would be left, and returns how many were written. As far as there are
    /// blocks of [`RUN_ORDER`] to take them from, smaller than `spared_order`,
    /// they come in such whole blocks: whoever takes them shares no cache line of
    /// descriptors with others.
    #[must_use = "the pages are taken and have to be freed"]
    pub fn alloc_in_runs(&mut self, spared_order: u8, pages: &mut [Pfn], reserve_pages: u64) -> usize {
        let run_pages = order_pages(RUN_ORDER) as usize;
        let mut taken = 0;
        while taken + run_pages <= pages.len()
            && self.smallest_stocked(RUN_ORDER).is_some_and(|order| order < spared_order)
            && self.can_spare(RUN_ORDER, reserve_pages)
        {
            let Some(first) = self.alloc(RUN_ORDER) else { break };
            // Nobody has seen the block: it becomes as many single pages.
            self.stats.taken[usize::from(RUN_ORDER)] -= 1;
            self.stats.taken[0] += run_pages as u64;
            for (page, place) in (first.0..).map(Pfn).zip(&mut pages[taken..taken + run_pages]) {
                if let Some(desc) = self.span.desc(page) {
                    desc.set_allocated_head(0, self.span.zone_id());
                }
                *place = page;
            }
            taken += run_pages;
        }
        taken + self.alloc_bulk(0, &mut pages[taken..], reserve_pages)
    }

    /// Hands out all blocks of `order` that the next block to be split is made
    /// of, without putting any into a list; 0 if that would be too many.
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

    /// Gives blocks of `order` back. Those beside each other that make up a larger
    /// block are merged without a look at any list.
    ///
    /// # Errors
    /// One of them is no such block; those before it are free then, it and
    /// those after it are as they were. The number of the former is returned
    /// with the error.
    pub fn free_bulk(&mut self, order: u8, blocks: &[Pfn]) -> Result<(), (usize, FreeError)> {
        let mut freed = 0;
        while freed < blocks.len() {
            let rest = &blocks[freed..];
            let joined = &rest[..joined_len(order, rest)];
            let are_all_good = joined.iter().all(|pfn| self.check_allocated(*pfn, order).is_ok());
            if joined.len() > 1 && are_all_good {
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

/// How many blocks of `order`, from the first on, are one larger block; 1 or more.
fn joined_len(order: u8, blocks: &[Pfn]) -> usize {
    if order >= MAX_ORDER {
        return 1;
    }
    let step = order_pages(order);
    let beside =
        1 + blocks.windows(2).take_while(|pair| pair[0].0.checked_add(step) == Some(pair[1].0)).count();
    let joined_order = blocks[0].largest_order(beside as u64 * step);
    // Less where the first is no block of this order: whoever frees it finds out.
    1 << joined_order.saturating_sub(order)
}
