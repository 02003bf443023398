//! Pages of files, by file number and index. They stay after their file is closed, so that opening it again finds them,
//! until memory is short.
//!
//! The policy is in `objectcache`: a list for each node, the oldest pages first. `jobs/evict_cache.rs` evicts whole lists in
//! parallel. An allocation that finds no memory, and must not wait, evicts a batch by itself ([`reclaim`]).

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use firmware::nodes::MAX_NODES;
use frames::{PAGE_SIZE, Pfn, order_for_pages, order_pages};
use objectcache::{Bucket, Entry, InUse, List, Locked, ObjectCache, Position, Refused, Which};
use spin::Once;

use super::{descriptors, mem_map, pages, permanent};
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;

/// Words of a page.
pub const PAGE_WORDS: usize = PAGE_SIZE as usize / size_of::<u64>();
/// The content of a page.
pub type PageWords = [u64; PAGE_WORDS];

/// Pages of the machine for each page that the cache can hold.
const SHARE_OF_MEMORY: u64 = 4;
/// Pages that are freed with a zone's lock taken once.
pub const BATCH: usize = 256;
/// Pages that [`reclaim`] takes off a list at a time.
const RECLAIM_PAGES: u32 = 64;
/// How often [`reclaim`] looks for cold pages, and then for unused ones: this bounds its time.
const RECLAIM_LOOKS: usize = 8;

impl<T> Locked<T> for IrqSpinLock<T> {
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.lock())
    }
}

type Cache = ObjectCache<'static, IrqSpinLock<Bucket>, IrqSpinLock<List>>;

static CACHE: Once<Cache> = Once::new();
static LISTS: [IrqSpinLock<List>; MAX_NODES] =
    [const { IrqSpinLock::of(LockClass::FILE_PAGE_LIST, List::EMPTY) }; MAX_NODES];

/// Pages evicted since boot.
static EVICTED: AtomicU64 = AtomicU64::new(0);

/// There is no memory for the table of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoTable;

/// Makes the table of pages, unless there is one: an entry for a quarter of the machine's pages, or fewer if memory is short.
/// It stays for good. Of several threads that call this at once, one makes the table that counts; so callers exclude each
/// other.
pub fn set_up() -> Result<(), NoTable> {
    if CACHE.get().is_some() {
        return Ok(());
    }
    let wanted_pages = descriptors::layout().described_pages() / SHARE_OF_MEMORY;
    let bytes = wanted_pages * size_of::<Entry>() as u64;
    let most_order = order_for_pages(bytes.div_ceil(PAGE_SIZE)).unwrap_or(frames::MAX_ORDER);
    let cache = (0..=most_order).rev().find_map(with_entries_of_order).ok_or(NoTable)?;
    CACHE.call_once(|| cache);
    pages::set_reclaim(reclaim);
    Ok(())
}

/// Makes a cache whose entries fill a block of `order`.
fn with_entries_of_order(order: u8) -> Option<Cache> {
    let (block, entries) = permanent_slice(order, || Entry::VACANT)?;
    // Two pages for each bucket, if all entries are used.
    let buckets = (entries.len() / 2).next_power_of_two();
    let bucket_bytes = (buckets * size_of::<IrqSpinLock<Bucket>>()) as u64;
    let bucket_order = order_for_pages(bucket_bytes.div_ceil(PAGE_SIZE));
    let new_bucket = || IrqSpinLock::of(LockClass::FILE_PAGE_BUCKET, Bucket::EMPTY);
    let Some((_, all)) = bucket_order.and_then(|order| permanent_slice(order, new_bucket)) else {
        permanent::undo_alloc(block, order);
        return None;
    };
    let new_list = |list| IrqSpinLock::of(LockClass::FILE_PAGE_LIST, list);
    Some(ObjectCache::new(entries, &all[..buckets], &LISTS, new_list))
}

/// Allocates a block of `order` for good, and fills it with `T`s. A caller that frees it drops the slice first.
fn permanent_slice<T>(order: u8, new: impl Fn() -> T) -> Option<(Pfn, &'static [T])> {
    const { assert!(align_of::<T>() <= PAGE_SIZE as usize && size_of::<T>() > 0) };
    let block = permanent::alloc_spare(order)?;
    let start = mem_map::virt(block).cast::<T>();
    let len = (order_pages(order) * PAGE_SIZE) as usize / size_of::<T>();
    for index in 0..len {
        // SAFETY:
        // 1. The block was just allocated: it is ours alone (invariant 12), and mapped (invariant 11).
        // 2. `index` is below the number of `T`s that fit; a page's alignment suffices for `T`.
        unsafe { start.add(index).write(new()) };
    }
    // SAFETY:
    // 1. As above, and each element was just written.
    // 2. The block is permanent, or freed by a caller that has dropped the slice.
    Some((block, unsafe { core::slice::from_raw_parts(start, len) }))
}

/// A new page, not in the cache. Dropped, it is freed.
#[derive(Debug)]
pub struct NewPage(Pfn);

impl NewPage {
    /// Allocates a page. Its content is arbitrary. `fault.alloc` may make it fail.
    pub fn alloc() -> Option<Self> {
        let is_allowed = pages::count_job_allocations(1) == 1;
        is_allowed.then(|| pages::alloc(0))?.map(Self)
    }

    /// Returns the content.
    pub fn words_mut(&mut self) -> &mut PageWords {
        // SAFETY:
        // 1. The page is ours (invariant 12), and `&mut self` excludes other references.
        // 2. It is mapped (invariant 11) and aligned. Any content is a valid array of words.
        unsafe { &mut *mem_map::virt(self.0).cast() }
    }
}

impl Drop for NewPage {
    fn drop(&mut self) {
        pages::free(self.0, 0);
    }
}

/// A page of a file, in use until it is dropped.
#[derive(Debug)]
pub struct FilePage(InUse<'static>);

impl FilePage {
    /// Returns the content, which does not change.
    pub fn words(&self) -> &PageWords {
        // SAFETY:
        // 1. The page belongs to the cache (invariant 12). Nothing writes to it: `insert` took the only way to do so.
        // 2. It is in use, so it is not evicted and freed.
        // 3. It is mapped (invariant 11) and aligned. Any content is a valid array of words.
        unsafe { &*mem_map::virt(Pfn(self.0.word())).cast() }
    }
}

/// Why a page was not inserted. It is the caller's again.
#[derive(Debug)]
pub enum NotInserted {
    /// There is such a page.
    Exists(NewPage),
    /// There is no entry left, or no table.
    Full(NewPage),
}

fn key(file: u32, index: u32) -> u64 {
    u64::from(file) << 32 | u64::from(index)
}

/// Returns a page of a file, if it is there.
pub fn find(file: u32, index: u32) -> Option<FilePage> {
    CACHE.get()?.find(key(file, index)).map(FilePage)
}

/// Inserts a page of a file, whose content is complete.
pub fn insert(file: u32, index: u32, page: NewPage) -> Result<FilePage, NotInserted> {
    let Some(cache) = CACHE.get() else { return Err(NotInserted::Full(page)) };
    let node = mem_map::node_of(page.0).expect("an allocated page is memory");
    match cache.insert(node, key(file, index), page.0.0) {
        Ok(user) => {
            core::mem::forget(page);
            Ok(FilePage(user))
        }
        Err(Refused::Exists) => Err(NotInserted::Exists(page)),
        Err(Refused::Full) => Err(NotInserted::Full(page)),
    }
}

/// Returns the number of pages, of open and of closed files.
pub fn len() -> u64 {
    CACHE.get().map_or(0, |cache| cache.len().into())
}

/// Returns the number of pages that there may be; 0 before [`set_up`].
pub fn capacity() -> u64 {
    CACHE.get().map_or(0, |cache| cache.capacity().into())
}

/// The pages of a node, off their list until each is evicted or kept.
pub struct Detached {
    cache: &'static Cache,
    node: usize,
    list: List,
}

/// Takes all pages of a node off their list. Returns `None` if there are none.
pub fn detach(node: usize) -> Option<Detached> {
    let cache = CACHE.get()?;
    let list = cache.detach(node);
    (!list.is_empty()).then_some(Detached { cache, node, list })
}

impl Detached {
    /// Returns the number of pages.
    pub fn len(&self) -> u64 {
        self.list.len().into()
    }

    /// Returns the position of the oldest page.
    pub fn first(&self) -> Position {
        self.list.first()
    }

    /// Returns the position `steps` pages after `at`.
    pub fn advance(&self, at: Position, steps: u64) -> Position {
        self.cache.advance(at, steps)
    }

    /// Evicts and frees `which` of the `count` pages from `first` on, and puts the others back as the youngest. Each page is
    /// passed to this, to [`keep`](Self::keep) or to [`put_back`](Self::put_back) once. Returns the number of freed pages.
    pub fn evict(&self, first: Position, count: u64, which: Which) -> u64 {
        evict_part(self.cache, self.node, first, count, which)
    }

    /// Puts the `count` pages from `first` on back as the youngest.
    pub fn keep(&self, first: Position, count: u64) {
        self.cache.keep(self.node, first, count);
    }

    /// Puts the last `count` pages, from `at` on, back as the oldest.
    pub fn put_back(self, at: Position, count: u64) {
        self.cache.put_back(self.node, self.list, at, count);
    }
}

fn evict_part(cache: &Cache, node: usize, first: Position, count: u64, which: Which) -> u64 {
    let mut batch = [Pfn(0); BATCH];
    let mut len = 0;
    let evicted = cache.evict(node, first, count, which, |page| {
        batch[len] = Pfn(page);
        len += 1;
        if len == BATCH {
            free_sorted(&mut batch);
            len = 0;
        }
    });
    free_sorted(&mut batch[..len]);
    EVICTED.fetch_add(evicted, SeqCst);
    evicted
}

/// Frees pages in the order of their numbers. Neighbours then merge before they come to a free list: without, the zone's lock
/// was held three times as long.
fn free_sorted(batch: &mut [Pfn]) {
    batch.sort_unstable();
    pages::free_bulk(batch, 0);
}

/// Evicts a batch of pages as near to `node` as possible: cold ones, else any that are not in use. Looks at a bounded number
/// of pages on each node. Returns whether pages were freed, by this call or meanwhile by a job that has the list.
fn reclaim(node: usize) -> bool {
    let Some(cache) = CACHE.get() else { return false };
    let before = EVICTED.load(SeqCst);
    let evict_batch = |node: usize, which: Which| {
        let part = cache.detach_some(node, RECLAIM_PAGES);
        evict_part(cache, node, part.first(), part.len().into(), which)
    };
    let has_evicted = mem_map::zones().near(node).any(|zone| {
        let evict_some = |which| (0..RECLAIM_LOOKS).any(|_| evict_batch(zone.node, which) > 0);
        evict_some(Which::Cold) || evict_some(Which::Unused)
    });
    has_evicted || EVICTED.load(SeqCst) != before
}
