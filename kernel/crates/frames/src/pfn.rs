//! Page frame numbers, and the orders of blocks.

use core::fmt;
use core::ops::{Add, Range, Sub};

/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a page.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

/// Page frames in the 52-bit physical address space.
pub(crate) const ADDRESS_SPACE_PAGES: u64 = 1 << (52 - PAGE_SHIFT);

/// Order of the largest block: 2^18 pages, 1 GiB.
pub const MAX_ORDER: u8 = 18;
/// Number of orders.
pub const ORDERS: usize = MAX_ORDER as usize + 1;

/// Returns the pages in a block of `order`, which is 63 or less.
#[must_use]
pub const fn order_pages(order: u8) -> u64 {
    1 << order
}

/// Returns the smallest order whose blocks have `len_pages` pages or more; `None`
/// when that is above [`MAX_ORDER`] or `len_pages` is 0.
#[must_use]
pub const fn order_for_pages(len_pages: u64) -> Option<u8> {
    if len_pages == 0 || len_pages > order_pages(MAX_ORDER) {
        return None;
    }
    Some(len_pages.next_power_of_two().trailing_zeros() as u8)
}

/// A page frame number: a physical address divided by [`PAGE_SIZE`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pfn(pub u64);

impl Pfn {
    /// Returns the page that holds the byte at `address`.
    #[must_use]
    pub const fn containing(address: u64) -> Self {
        Self(address >> PAGE_SHIFT)
    }

    /// Returns the first page that begins at or after `address`.
    #[must_use]
    pub const fn at_or_after(address: u64) -> Self {
        Self(address.div_ceil(PAGE_SIZE))
    }

    /// Returns the whole pages in a range of addresses; empty when there is none.
    #[must_use]
    pub const fn whole_pages(addresses: &Range<u64>) -> Range<Self> {
        Self::at_or_after(addresses.start)..Self::containing(addresses.end)
    }

    /// Returns the physical address of the page's first byte. Pages lie below 2^52 frames.
    #[must_use]
    pub const fn address(self) -> u64 {
        self.0 << PAGE_SHIFT
    }

    /// Returns whether a block of `order` can begin here.
    #[must_use]
    pub const fn is_aligned(self, order: u8) -> bool {
        self.0 & (order_pages(order) - 1) == 0
    }

    /// Returns the block of `order` that merges with the one at `self` into a block
    /// of the next order.
    #[must_use]
    pub const fn buddy(self, order: u8) -> Self {
        Self(self.0 ^ order_pages(order))
    }

    /// Returns the order of the largest block that begins here and has `len_pages`
    /// pages or fewer. `len_pages` is 1 or more.
    #[must_use]
    pub(crate) const fn largest_order(self, len_pages: u64) -> u8 {
        debug_assert!(len_pages > 0);
        let by_length = len_pages.ilog2();
        let by_alignment = self.0.trailing_zeros();
        let order = if by_length < by_alignment { by_length } else { by_alignment };
        if order < MAX_ORDER as u32 { order as u8 } else { MAX_ORDER }
    }
}

impl Add<u64> for Pfn {
    type Output = Self;

    fn add(self, pages: u64) -> Self {
        Self(self.0 + pages)
    }
}

impl Sub for Pfn {
    type Output = u64;

    /// Returns the pages from `other` to `self`. `other` must not be the higher one.
    fn sub(self, other: Self) -> u64 {
        self.0 - other.0
    }
}

impl fmt::Debug for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pfn({:#x})", self.0)
    }
}

impl fmt::Display for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
