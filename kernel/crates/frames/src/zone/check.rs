//! Checks of blocks that are to be freed.

use super::Zone;
use crate::desc::{PageDesc, PageState};
use crate::error::FreeError;
use crate::pfn::{MAX_ORDER, Pfn, order_pages};

impl Zone<'_> {
    pub(super) fn check_allocated(&self, pfn: Pfn, order: u8) -> Result<(), FreeError> {
        if order > MAX_ORDER {
            return Err(FreeError::OrderTooLarge { order });
        }
        let len_pages = order_pages(order);
        let Some(desc) = self.span.desc(pfn) else {
            return Err(FreeError::OutOfRange { pfn, len_pages });
        };
        if !pfn.is_aligned(order) {
            return Err(FreeError::Misaligned { pfn, order });
        }
        match desc.state() {
            PageState::AllocatedHead { order: allocated } if allocated == order => Ok(()),
            PageState::AllocatedHead { order: allocated } => {
                Err(FreeError::WrongOrder { pfn, order, allocated })
            }
            PageState::FreeHead { .. } | PageState::CachedHead { .. } => Err(FreeError::DoubleFree { pfn }),
            PageState::Tail if self.is_inside_free_block(pfn, 0) => Err(FreeError::DoubleFree { pfn }),
            state => Err(FreeError::NotAllocated { pfn, state }),
        }
    }

    pub(super) fn check_initial(&self, pfn: Pfn, order: u8) -> Result<(), FreeError> {
        let end = pfn + order_pages(order);
        // Every page in debug builds: see `free_initial`.
        let checked = if cfg!(debug_assertions) { end } else { pfn + 1 };
        for page in pfn.0..checked.0 {
            let pfn = Pfn(page);
            let state = self.span.desc(pfn).map_or(PageState::Hole, PageDesc::state);
            if state != PageState::Tail {
                return Err(FreeError::NotInitial { pfn, state });
            }
        }
        if self.is_inside_free_block(pfn, order) {
            return Err(FreeError::DoubleFree { pfn });
        }
        Ok(())
    }

    /// Returns whether a free block of an order above `order` holds `pfn`. Checks
    /// the page that would be its head, order by order.
    fn is_inside_free_block(&self, pfn: Pfn, order: u8) -> bool {
        (order + 1..=MAX_ORDER).any(|order| {
            let head = Pfn(pfn.0 & !(order_pages(order) - 1));
            self.span.desc(head).is_some_and(|desc| desc.is_free_head(order, self.span.zone_id()))
        })
    }
}
