//! A doubly linked list of free blocks of one order, linked by index through
//! their descriptors.

use crate::span::Span;

/// Links are indices plus 1, so that descriptors that are all zero link to
/// nothing.
const NO_LINK: u32 = 0;

/// Free blocks of one order. Every call on a list takes the same span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreeList {
    first_link: u32,
    len: u32,
    order: u8,
}

impl FreeList {
    pub(crate) const fn new(order: u8) -> Self {
        Self { first_link: NO_LINK, len: 0, order }
    }

    pub(crate) const fn len(&self) -> u64 {
        self.len as u64
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the link to the first block, as descriptors hold it.
    pub(crate) const fn first_link(&self) -> u32 {
        self.first_link
    }

    /// Makes the page at `index` a free head, first in the list: recently used
    /// memory is most likely in a CPU's cache.
    pub(crate) fn push(&mut self, span: &Span<'_>, index: u32) {
        let link = index + 1;
        if let Some(first) = index_of(self.first_link) {
            span.descs()[first as usize].set_prev_link(link);
        }
        span.descs()[index as usize].set_free_head(self.order, span.zone_id(), self.first_link);
        self.first_link = link;
        self.len += 1;
    }

    /// Removes the first block. The caller rewrites its descriptor.
    pub(crate) fn pop(&mut self, span: &Span<'_>) -> Option<u32> {
        let index = index_of(self.first_link)?;
        self.unlink(span, index);
        Some(index)
    }

    /// Removes the block at `index`, a member. The caller rewrites its descriptor.
    pub(crate) fn unlink(&mut self, span: &Span<'_>, index: u32) {
        let descs = span.descs();
        let desc = &descs[index as usize];
        let (next_link, prev_link) = (desc.next_link(), desc.prev_link());
        match index_of(prev_link) {
            Some(prev) => descs[prev as usize].set_next_link(next_link),
            None => self.first_link = next_link,
        }
        if let Some(next) = index_of(next_link) {
            descs[next as usize].set_prev_link(prev_link);
        }
        self.len -= 1;
    }
}

/// Returns the index that a link leads to.
pub(crate) const fn index_of(link: u32) -> Option<u32> {
    link.checked_sub(1)
}
