//! Size classes of small blocks of memory.
//!
//! An allocator keeps freed blocks by class, and serves a request from the list of its class. Both take a few
//! instructions for any number of blocks, where an address-ordered list of holes has to be searched. The spacing is that
//! of jemalloc: below 64 bytes one class for each 16 bytes, above that four classes to each doubling. At most a fifth of a
//! block above 64 bytes is wasted.
//!
//! The crate has no unsafe code: the blocks and the lists are the caller's.
#![no_std]
#![forbid(unsafe_code)]

use core::alloc::Layout;

/// Number of classes.
pub const CLASSES: usize = FINE_CLASSES + 4 * (LARGEST_BYTES.ilog2() - FINE_BYTES.ilog2()) as usize;
/// Largest size that has a class.
pub const LARGEST_BYTES: usize = 4096;
/// Largest alignment that has a class.
pub const LARGEST_ALIGN: usize = 128;

/// Up to this size there is a class for each [`GRAIN_BYTES`].
const FINE_BYTES: usize = 64;
const GRAIN_BYTES: usize = 16;
const FINE_CLASSES: usize = FINE_BYTES / GRAIN_BYTES;

/// A class of blocks of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeClass(u8);

impl SizeClass {
    /// Returns the smallest class whose blocks have the size and the alignment of `layout`; `None` when no class has.
    #[inline]
    pub fn of(layout: Layout) -> Option<Self> {
        if layout.size() > LARGEST_BYTES || layout.align() > LARGEST_ALIGN {
            return None;
        }
        // A multiple of the alignment. So is the class's size: this number, or rounded up to a multiple of a larger power
        // of two.
        let bytes = layout.size().max(1).next_multiple_of(layout.align());
        let index = if bytes <= FINE_BYTES {
            (bytes - 1) / GRAIN_BYTES
        } else {
            let doubling = (bytes - 1).ilog2();
            let quarter = ((bytes - 1) >> (doubling - 2)) & 0b11;
            FINE_CLASSES + 4 * (doubling - FINE_BYTES.ilog2()) as usize + quarter
        };
        Some(Self(index as u8))
    }

    /// Returns all classes, the smallest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..CLASSES).map(|index| Self(index as u8))
    }

    /// Returns the number of the class, below [`CLASSES`].
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the size of the class's blocks.
    #[inline]
    pub const fn len_bytes(self) -> usize {
        match self.index().checked_sub(FINE_CLASSES) {
            None => (self.index() + 1) * GRAIN_BYTES,
            Some(above) => {
                let doubling_bytes = FINE_BYTES << (above / 4);
                doubling_bytes + (above % 4 + 1) * (doubling_bytes / 4)
            }
        }
    }

    /// Returns the layout by which a new block of the class is allocated.
    #[inline]
    pub fn layout(self) -> Layout {
        let bytes = self.len_bytes();
        let natural_align = 1 << bytes.trailing_zeros();
        Layout::from_size_align(bytes, LARGEST_ALIGN.min(natural_align))
            .expect("a small size, and a power of two")
    }
}
