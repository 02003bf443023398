//! Size classes: which blocks of memory are kept for which requests.
//!
//! Blocks that were freed are kept by class, and a request takes one of its class: both in a few instructions, however
//! many there are, where a list of holes in order of address has to be searched. From 64 bytes on
//! there are four classes to each doubling, so that no more than a fifth of a block goes to waste, and below one for
//! each 16 bytes (the spacing is that of jemalloc).
//!
//! No unsafe code: what a block is, and where freed ones are, is the caller's.
#![no_std]
#![forbid(unsafe_code)]

use core::alloc::Layout;

/// Number of classes.
pub const CLASSES: usize = FINE_CLASSES + 4 * (LARGEST_BYTES.ilog2() - FINE_BYTES.ilog2()) as usize;
/// What is larger has no class.
pub const LARGEST_BYTES: usize = 4096;
/// What is aligned to more has no class.
pub const LARGEST_ALIGN: usize = 128;

/// Up to here there is a class for each [`GRAIN_BYTES`].
const FINE_BYTES: usize = 64;
const GRAIN_BYTES: usize = 16;
const FINE_CLASSES: usize = FINE_BYTES / GRAIN_BYTES;

/// One size of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeClass(u8);

impl SizeClass {
    /// The smallest class whose blocks are large enough for `layout`, and aligned; `None` when it is too large for any.
    #[inline]
    pub fn of(layout: Layout) -> Option<Self> {
        if layout.size() > LARGEST_BYTES || layout.align() > LARGEST_ALIGN {
            return None;
        }
        // A multiple of the alignment: so is the class's size then, which is this one or rounded up to a larger power
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

    /// All of them, from the smallest on.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..CLASSES).map(|index| Self(index as u8))
    }

    /// Where the class is among [`CLASSES`].
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Size of the class's blocks.
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

    /// What a block of the class has to be asked for as.
    #[inline]
    pub fn layout(self) -> Layout {
        let bytes = self.len_bytes();
        let natural_align = 1 << bytes.trailing_zeros();
        Layout::from_size_align(bytes, LARGEST_ALIGN.min(natural_align))
            .expect("a small size, and a power of two")
    }
}
