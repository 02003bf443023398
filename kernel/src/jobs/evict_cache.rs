//! The `evict-cache` job: evicts pages of closed files in parallel, by walks along the lists of [`file_pages`]. The seed named
//! the eviction of a list of inodes as a client; its units are not numbers, so the job gets positions in the list.
//!
//! A walk has one list, so each node has a separate job. It runs when `file_cache.pages` is exceeded or lowered, and when
//! there are too few free blocks for huge pages. Single pages that are missing meanwhile are reclaimed without it.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use ktask::{Items, Stats};
use objectcache::Which;
use params::registry::{FAULT_EVICT, FILE_CACHE_PAGES};

use super::manners::Kind;
use super::platform::Kernel;
use super::rounds::add_stats;
use crate::arch::spin_lock::IrqSpinLock;
use crate::mm::{file_pages, stats};
use crate::platform::nodes;
use crate::sched::mutex::Mutex;

/// Minimum pages in a chunk: some ten microseconds, and a batch that is freed with a zone's lock taken once. A worker looks
/// after so many whether enough pages are free.
const MIN_CHUNK: u64 = file_pages::BATCH as u64;

static EVICT: Kind = Kind::new("evict-cache");

/// The job takes whole lists; others would find nothing to evict meanwhile, and wait here.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Pages that jobs came to, for fault injection.
static PAGES_LOOKED_AT: AtomicU64 = AtomicU64::new(0);

/// The result of an eviction.
#[derive(Debug, Clone, Copy)]
pub struct Evicted {
    /// Number of pages that were freed.
    pub pages: u64,
    /// Whether all pages were looked at. If not, enough were free, or `fault.evict` ended a job.
    pub is_whole: bool,
    /// The statistics of the jobs of all nodes.
    pub stats: Stats,
}

impl Evicted {
    fn none() -> Self {
        Self { pages: 0, is_whole: true, stats: Stats::default() }
    }

    fn add(&mut self, other: Self) {
        self.pages += other.pages;
        self.is_whole &= other.is_whole;
        add_stats(&mut self.stats, &other.stats);
    }
}

/// Ends a job before the end of its list.
struct Stop;

/// Evicts all pages that are not in use, on `threads` threads (`None`: as many as help).
pub fn evict_unused(threads: Option<usize>) -> Evicted {
    let _alone = ONE_AT_A_TIME.lock();
    evict_until(Which::Unused, threads, &|_| false)
}

/// Evicts pages while there are more than `file_cache.pages`: cold ones first, then others that are not in use.
pub fn trim() {
    let surplus = || file_pages::len().saturating_sub(FILE_CACHE_PAGES.get());
    if surplus() == 0 {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock();
    for which in [Which::Cold, Which::Unused] {
        let surplus = surplus();
        evict_until(which, None, &|evicted| evicted >= surplus);
    }
}

/// Evicts pages until `count` blocks of `order` are free, or nothing is left to evict: cold pages first.
pub fn make_room(order: u8, count: u64) {
    let is_enough = || {
        let free = (0..nodes::nodes().len()).map(|node| stats::free_blocks_on(node, order)).sum::<u64>();
        free >= count
    };
    if file_pages::len() == 0 || is_enough() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock();
    for which in [Which::Cold, Which::Unused] {
        evict_until(which, None, &|_| is_enough());
    }
}

/// Evicts pages of each node in turn, until `is_enough` holds for the number of pages evicted.
fn evict_until(which: Which, threads: Option<usize>, is_enough: &(dyn Fn(u64) -> bool + Sync)) -> Evicted {
    let mut sum = Evicted::none();
    for node in 0..nodes::nodes().len() {
        let before = sum.pages;
        if is_enough(before) {
            sum.is_whole = false;
            break;
        }
        sum.add(evict_on(node, which, threads, &|evicted| is_enough(before + evicted)));
    }
    sum
}

fn evict_on(
    node: usize,
    which: Which,
    threads: Option<usize>,
    is_enough: &(dyn Fn(u64) -> bool + Sync),
) -> Evicted {
    let Some(list) = file_pages::detach(node) else { return Evicted::none() };
    let evicted = AtomicU64::new(0);
    // The first page that no chunk has got, and the number of pages before it. One worker at a time advances.
    let walked = IrqSpinLock::new((list.first(), 0));
    let advance = |at, steps| {
        let end = list.advance(at, steps);
        let mut walked = walked.lock();
        *walked = (end, walked.1 + steps);
        end
    };
    let job = EVICT.job(Items::new(0)..Items::new(list.len()), threads).min_chunk(Items::new(MIN_CHUNK));
    let result = job.run_walk(&Kernel, list.first(), advance, |chunk, positions| {
        let (mut at, mut left) = (positions.start, chunk.end().get() - chunk.start().get());
        while left > 0 {
            let batch = left.min(MIN_CHUNK);
            let count = if is_enough(evicted.load(SeqCst)) { 0 } else { count_pages(batch) };
            // Before the pages are on another list.
            let next = list.advance(at, count);
            evicted.fetch_add(list.evict(at, count, which), SeqCst);
            (at, left) = (next, left - count);
            if count < batch {
                list.keep(at, left);
                return Err(Stop);
            }
        }
        Ok(())
    });
    let (at, before) = *walked.lock();
    let left = list.len() - before;
    list.put_back(at, left);
    let (is_whole, stats) = match result {
        Ok(stats) => (true, stats),
        Err(error) => (false, error.stats),
    };
    Evicted { pages: evicted.into_inner(), is_whole, stats }
}

/// Counts pages that a job looks at. Returns how many of them come before the one at which `fault.evict` ends the job: usually
/// all.
fn count_pages(count: u64) -> u64 {
    let before = PAGES_LOOKED_AT.fetch_add(count, SeqCst);
    match FAULT_EVICT.get() {
        Some(nth) if before < nth && nth <= before + count => nth - before - 1,
        _ => count,
    }
}

/// Restarts the count of pages for `fault.evict`.
pub fn restart_fault_count() {
    PAGES_LOOKED_AT.store(0, SeqCst);
}
