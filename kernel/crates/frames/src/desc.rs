//! The page descriptor: 16 bytes that say what a page is.
//!
//! # Layout
//!
//! Two little-endian 64-bit words. Memory that is all zero reads as holes. Word 1
//! has a meaning only in the first page of a block: initialisation and merging
//! leave it alone everywhere else, which halves their stores.
//!
//! | word | bits | meaning |
//! |---|---|---|
//! | 0 | 0..8 | state: 0 hole, 1 reserved, 2 tail, 3 head of a free block, 4 head of an allocated block, 5 head of a cached block |
//! | 0 | 8..16 | order of the block; 0 unless a head |
//! | 0 | 16..32 | zone id; 0 in a hole |
//! | 0 | 32..64 | 0 |
//! | 1 | 0..32 | head of a free block: index of the next one in the list, plus 1; 0 for none |
//! | 1 | 32..64 | head of a free block: the same for the one before |
//! | 1 | 0..64 | head of an allocated block: the owner's word, 0 at first |
//! | 1 | 0..64 | head of a cached block: 0 |
//! | 1 | 0..64 | any other page: no meaning |
//!
//! # States
//!
//! ```text
//! hole --init--> reserved                                   (kernel image, ...)
//! hole --init--> tail --free_initial--> free head <--alloc, free--> allocated head <--cache--> cached head
//! ```
//!
//! The owner of a *cached* block has given it back to a cache in front of the
//! zone ([`PageCache`](crate::PageCache)); for the zone it is still allocated.
//!
//! The first page of a block, its *head*, describes the block. The pages after it
//! stay *tail* pages whether the block is free or allocated: a 1 GiB block is taken
//! and given back with a handful of stores, not 262,144. A tail page says only that
//! a head before it describes it, or that it was not given to the allocator yet.
//! When blocks merge, the upper head becomes a tail page again; a second free of
//! the same page therefore never finds an allocated head.
//!
//! # Accesses
//!
//! All are Relaxed, which on x86_64 are plain loads and stores. A descriptor
//! belongs to the thread that initialises it, then to the holder of its zone's
//! lock. The lock, and the synchronisation that ends initialisation, order the
//! accesses. Atomics make the slice shareable; they do not synchronise.

use core::sync::atomic::{AtomicU64, Ordering};

const STATE_HOLE: u64 = 0;
const STATE_RESERVED: u64 = 1;
const STATE_TAIL: u64 = 2;
const STATE_FREE_HEAD: u64 = 3;
const STATE_ALLOCATED_HEAD: u64 = 4;
const STATE_CACHED_HEAD: u64 = 5;

const STATE_MASK: u64 = 0xff;
const ORDER_SHIFT: u32 = 8;
const ZONE_SHIFT: u32 = 16;
const LINK_BITS: u32 = 32;

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageState {
    /// No memory here, or a descriptor that is not initialised.
    Hole,
    /// Memory that the allocator does not own.
    Reserved,
    /// A page inside a block, or one that is initialised and not yet freed
    /// into the allocator.
    Tail,
    /// The first page of a free block.
    FreeHead {
        /// The block has 2^order pages.
        order: u8,
    },
    /// The first page of an allocated block.
    AllocatedHead {
        /// The block has 2^order pages.
        order: u8,
    },
    /// The first page of a block in a cache.
    CachedHead {
        /// The block has 2^order pages.
        order: u8,
    },
    /// No state that this crate writes.
    Corrupt {
        /// The state byte found.
        state: u8,
    },
}

/// The state that [`init_run`] gives to pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitKind {
    /// Tail pages, for [`Zone::free_initial`](crate::Zone::free_initial).
    Usable,
    /// Pages that stay out of the allocator.
    Reserved,
}

/// The descriptor of one 4 KiB page. See the [module](self) for its bits.
#[repr(C, align(16))]
#[derive(Default)]
pub struct PageDesc {
    what: AtomicU64,
    links: AtomicU64,
}

const _: () = assert!(size_of::<PageDesc>() == 16 && align_of::<PageDesc>() == 16);

/// Returns word 0 of the descriptors that [`init_run`] writes.
#[must_use]
pub const fn init_pattern(kind: InitKind, zone_id: u16) -> u64 {
    let state = match kind {
        InitKind::Usable => STATE_TAIL,
        InitKind::Reserved => STATE_RESERVED,
    };
    what_word(state, 0, zone_id)
}

/// Descriptors that [`init_run`] writes without a branch: four cache lines.
const RUN_UNROLLED: usize = 16;

/// Initialises `descs`: one 64-bit store each, without a load.
///
/// No other thread may use these descriptors meanwhile. A use is no memory
/// error, but leaves the allocator with wrong states.
pub fn init_run(descs: &[PageDesc], kind: InitKind, zone_id: u16) {
    let what = init_pattern(kind, zone_id);
    let (groups, rest) = descs.as_chunks::<RUN_UNROLLED>();
    // Relaxed: see "Accesses" above.
    let write = |desc: &PageDesc| desc.what.store(what, Ordering::Relaxed);
    groups.iter().for_each(|group| group.iter().for_each(write));
    rest.iter().for_each(write);
}

/// Word 0 of a single page that is allocated or cached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageWord(u64);

impl PageWord {
    /// The word of a page that is allocated from zone `zone_id`.
    pub(crate) const fn allocated(zone_id: u16) -> Self {
        Self(what_word(STATE_ALLOCATED_HEAD, 0, zone_id))
    }

    /// The word of a page in a cache in front of zone `zone_id`.
    pub(crate) const fn cached(zone_id: u16) -> Self {
        Self(what_word(STATE_CACHED_HEAD, 0, zone_id))
    }
}

impl PageDesc {
    /// Returns the descriptor of a hole: all bits zero.
    #[must_use]
    pub const fn new() -> Self {
        Self { what: AtomicU64::new(0), links: AtomicU64::new(0) }
    }

    /// Returns what the page is.
    #[must_use]
    pub fn state(&self) -> PageState {
        let what = self.what();
        let order = (what >> ORDER_SHIFT) as u8;
        match what & STATE_MASK {
            STATE_HOLE => PageState::Hole,
            STATE_RESERVED => PageState::Reserved,
            STATE_TAIL => PageState::Tail,
            STATE_FREE_HEAD => PageState::FreeHead { order },
            STATE_ALLOCATED_HEAD => PageState::AllocatedHead { order },
            STATE_CACHED_HEAD => PageState::CachedHead { order },
            state => PageState::Corrupt { state: state as u8 },
        }
    }

    /// Returns the zone that the page belongs to; 0 for a hole.
    #[must_use]
    pub fn zone_id(&self) -> u16 {
        (self.what() >> ZONE_SHIFT) as u16
    }

    /// Returns the owner's word in the first page of an allocated block; `None` for
    /// any other page. The word is 0 after allocation. Its contents and its
    /// synchronisation are the owner's.
    #[must_use]
    pub fn owner_word(&self) -> Option<&AtomicU64> {
        matches!(self.state(), PageState::AllocatedHead { .. }).then_some(&self.links)
    }

    /// Returns whether the page is as [`init_run`] left it.
    #[must_use]
    pub fn matches_init(&self, kind: InitKind, zone_id: u16) -> bool {
        self.what() == init_pattern(kind, zone_id)
    }

    /// Replaces the word `from` of a page by `to`. Returns false, and changes
    /// nothing, when the page has another word.
    ///
    /// No lock is needed: the descriptor belongs to the caller that gives the page
    /// back, then to the cache.
    #[inline]
    pub(crate) fn replace_word(&self, from: PageWord, to: PageWord) -> bool {
        let is_from = self.what() == from.0;
        if is_from {
            self.set(to.0, 0);
        }
        is_from
    }

    /// Sets the word of a page that the caller's cache owns.
    #[inline]
    pub(crate) fn set_word(&self, to: PageWord) {
        // The links are 0 already. Relaxed: see "Accesses" above.
        self.what.store(to.0, Ordering::Relaxed);
    }

    pub(crate) fn is_free_head(&self, order: u8, zone_id: u16) -> bool {
        self.what() == what_word(STATE_FREE_HEAD, order, zone_id)
    }

    pub(crate) fn set_tail(&self, zone_id: u16) {
        // Relaxed: see "Accesses" above.
        self.what.store(what_word(STATE_TAIL, 0, zone_id), Ordering::Relaxed);
    }

    pub(crate) fn set_allocated_head(&self, order: u8, zone_id: u16) {
        self.set(what_word(STATE_ALLOCATED_HEAD, order, zone_id), 0);
    }

    /// Makes the page the head of a free block at the front of its list. `next` is the
    /// block behind it, in the form of [`next_link`](Self::next_link).
    pub(crate) fn set_free_head(&self, order: u8, zone_id: u16, next: u32) {
        self.set(what_word(STATE_FREE_HEAD, order, zone_id), u64::from(next));
    }

    /// Returns the index of the next free block in the list, plus 1; 0 for none.
    pub(crate) fn next_link(&self) -> u32 {
        self.links() as u32
    }

    /// Returns the index of the previous free block in the list, plus 1; 0 for none.
    pub(crate) fn prev_link(&self) -> u32 {
        (self.links() >> LINK_BITS) as u32
    }

    pub(crate) fn set_next_link(&self, next: u32) {
        let prev = u64::from(self.prev_link()) << LINK_BITS;
        self.links.store(prev | u64::from(next), Ordering::Relaxed);
    }

    pub(crate) fn set_prev_link(&self, prev: u32) {
        let next = u64::from(self.next_link());
        self.links.store(u64::from(prev) << LINK_BITS | next, Ordering::Relaxed);
    }

    // Relaxed in all four: see "Accesses" above.
    #[inline]
    fn what(&self) -> u64 {
        self.what.load(Ordering::Relaxed)
    }

    fn links(&self) -> u64 {
        self.links.load(Ordering::Relaxed)
    }

    #[inline]
    fn set(&self, what: u64, links: u64) {
        self.what.store(what, Ordering::Relaxed);
        self.links.store(links, Ordering::Relaxed);
    }
}

impl core::fmt::Debug for PageDesc {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PageDesc")
            .field("state", &self.state())
            .field("zone_id", &self.zone_id())
            .field("links", &format_args!("{:#x}", self.links()))
            .finish()
    }
}

const fn what_word(state: u64, order: u8, zone_id: u16) -> u64 {
    state | (order as u64) << ORDER_SHIFT | (zone_id as u64) << ZONE_SHIFT
}
