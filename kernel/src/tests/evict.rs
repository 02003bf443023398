//! Pages of closed files: found again, evicted, and never lost or freed in use.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use frames::Pfn;
use params::registry::{FAULT_ALLOC, FAULT_EVICT, FAULT_HELPER_SPAWN, FILE_CACHE_PAGES};
use spin::Once;

use super::wait::{free_or_permanent_pages, with_param};
use crate::arch::percpu;
use crate::debug::ktest::Stopped;
use crate::jobs::cached_file::{CachedFile, FileError};
use crate::jobs::{evict_cache, huge_reserve};
use crate::mm::file_pages::{self, PageWords};
use crate::mm::huge::HugeSize;
use crate::mm::{pages, stats};
use crate::platform::nodes;
use crate::{check, kernel_tests, sched, skip_if};

/// Free pages that a test may allocate to make memory short: 2 GiB.
const MOST_TO_HOARD_PAGES: u64 = 1 << 19;

/// The content of each word of a page.
fn word(file: u32, index: u32) -> u64 {
    u64::from(file) << 32 | u64::from(index)
}

fn is_content(words: &PageWords, file: u32, index: u32) -> bool {
    words.iter().all(|found| *found == word(file, index))
}

/// Opens a file of `len_pages`, reads all of it and checks the content. Returns the file, and how many pages were not in
/// memory.
fn read(number: u32, len_pages: u32) -> Result<(CachedFile, u64), FileError> {
    let mut file = CachedFile::open(number, len_pages)?;
    let mut missing = 0;
    for index in 0..len_pages {
        let words = file.page(index, |words| {
            words.fill(word(number, index));
            missing += 1;
        })?;
        assert!(is_content(words, number, index), "page {index} of file {number} has another content");
    }
    Ok((file, missing))
}

fn read_failed(error: FileError) -> Stopped {
    Stopped::Failed(format!("a file was not read: {error}"))
}

/// Blocks that keep memory short until they are dropped.
struct Hoard(Vec<(Pfn, u8)>);

impl Hoard {
    /// Allocates blocks, the largest first, until `is_enough` or no memory is left. Returns `None` in that case.
    fn until(orders: &[u8], is_enough: impl Fn() -> bool) -> Option<Self> {
        let mut hoard = Self(Vec::new());
        for order in orders {
            while !is_enough() {
                hoard.0.try_reserve(1).ok()?;
                match pages::alloc(*order) {
                    Some(block) => hoard.0.push((block, *order)),
                    None => break,
                }
            }
        }
        is_enough().then_some(hoard)
    }
}

impl Drop for Hoard {
    fn drop(&mut self) {
        self.0.iter().for_each(|(block, order)| pages::free(*block, *order));
    }
}

fn free_huge_pages() -> u64 {
    (0..nodes::nodes().len()).map(|node| stats::free_blocks_on(node, HugeSize::Size2M.order())).sum()
}

kernel_tests! { "evict":
    fn reopened_files_find_their_pages_until_these_are_evicted() needs(MemoryMib(16)) {
        let free_before = free_or_permanent_pages();
        let (file, missing) = read(1, 300).map_err(read_failed)?;
        check!(missing == 300, "{missing} of 300 pages were read");
        drop(file);
        let (file, missing) = read(1, 300).map_err(read_failed)?;
        check!(missing == 0, "{missing} pages were not kept");
        drop(file);
        for threads in 1..=percpu::online_count() {
            let evicted = evict_cache::evict_unused(Some(threads));
            check!(evicted.pages == 300 && evicted.is_whole, "{evicted:?} on {threads} threads");
            check!(file_pages::len() == 0, "{} pages are left", file_pages::len());
            check!(free_or_permanent_pages() == free_before, "pages were lost on {threads} threads");
            let (_, missing) = read(1, 300).map_err(read_failed)?;
            check!(missing == 300, "{} pages were found after they were evicted", 300 - missing);
        }
        check!(evict_cache::evict_unused(None).pages == 300);
    }

    fn pages_of_open_files_stay() needs(MemoryMib(16)) {
        let free_before = free_or_permanent_pages();
        let (mut open, _) = read(2, 100).map_err(read_failed)?;
        drop(read(3, 100).map_err(read_failed)?);
        let evicted = evict_cache::evict_unused(None);
        check!(evicted.pages == 100, "{} pages were evicted, not those of the closed file", evicted.pages);
        for index in 0..100 {
            let words = open.page(index, |_| panic!("page {index} is gone")).map_err(read_failed)?;
            check!(is_content(words, 2, index), "page {index} was overwritten");
        }
        check!(matches!(open.page(100, |_| ()), Err(FileError::BeyondEnd { index: 100, len_pages: 100 })));
        drop(open);
        check!(evict_cache::evict_unused(None).pages == 100);
        check!(free_or_permanent_pages() == free_before, "pages were lost");
    }

    /// A limit evicts what was not read again, before what was.
    fn a_limit_keeps_what_was_used_again() needs(MemoryMib(16)) {
        const LEN_PAGES: u32 = 700;
        for number in [4, 5, 4] {
            drop(read(number, LEN_PAGES).map_err(read_failed)?);
        }
        with_param(&FILE_CACHE_PAGES, "700", evict_cache::trim);
        let len = file_pages::len();
        // Each worker looks after each batch whether it was the last one.
        let most_surplus = (file_pages::BATCH * percpu::online_count()) as u64;
        let least = u64::from(LEN_PAGES).saturating_sub(most_surplus);
        check!((least..=u64::from(LEN_PAGES)).contains(&len), "{len} pages stay");
        let kept = (0..LEN_PAGES).filter(|index| file_pages::find(4, *index).is_some()).count() as u64;
        check!(kept == len, "{kept} of {len} pages are those that were read again");
        with_param(&FILE_CACHE_PAGES, "0", || {
            evict_cache::trim();
            // Closing a file keeps the limit too.
            read(6, 100).map(drop)
        })
        .map_err(read_failed)?;
        check!(file_pages::len() == 0, "{} pages stay beyond a limit of 0", file_pages::len());
    }

    /// The eviction ends at the nth page, for every n. No page is lost, and no page that is kept is freed.
    fn an_eviction_may_end_at_any_page() needs(MemoryMib(16)) {
        let free_before = free_or_permanent_pages();
        for nth in 1..=150 {
            drop(read(7, 150).map_err(read_failed)?);
            evict_cache::restart_fault_count();
            let evicted = with_param(&FAULT_EVICT, &format!("{nth}"), || evict_cache::evict_unused(None));
            check!(!evicted.is_whole, "page {nth} ended nothing");
            let kept = file_pages::len();
            check!(kept > 0 && evicted.pages + kept == 150, "{} evicted, {kept} kept at {nth}", evicted.pages);
            let (_, missing) = read(7, 150).map_err(read_failed)?;
            check!(missing == evicted.pages, "{missing} pages were missing at {nth}");
            if nth % 10 == 0 {
                check!(evict_cache::evict_unused(None).pages == 150);
                check!(free_or_permanent_pages() == free_before, "pages were lost at {nth}");
            }
        }
        // Several chunks: those after the fault, and the pages that no chunk has got, stay too.
        for nth in [1, 255, 256, 257, 511, 512, 513, 1999, 2000] {
            drop(read(7, 2000).map_err(read_failed)?);
            evict_cache::restart_fault_count();
            let evicted = with_param(&FAULT_EVICT, &format!("{nth}"), || evict_cache::evict_unused(None));
            check!(!evicted.is_whole, "page {nth} ended nothing");
            let (_, missing) = read(7, 2000).map_err(read_failed)?;
            check!(missing == evicted.pages, "{missing} pages were missing, not {}", evicted.pages);
            check!(evict_cache::evict_unused(None).pages == 2000);
            check!(free_or_permanent_pages() == free_before, "pages were lost at {nth} of 2000");
        }
        check!(file_pages::len() == 0);
    }

    /// Helpers that are refused cost threads only, and a page that cannot be allocated is an error of its reader.
    fn refused_helpers_and_pages_lose_nothing() needs(MemoryMib(16)) {
        let free_before = free_or_permanent_pages();
        for nth in 1..=4 {
            drop(read(8, 300).map_err(read_failed)?);
            let evicted = with_param(&FAULT_HELPER_SPAWN, &format!("{nth}"), || evict_cache::evict_unused(None));
            check!(evicted.pages == 300 && evicted.is_whole, "{evicted:?} with helpers refused");
        }
        for nth in 1..=20 {
            pages::restart_fault_count();
            let result = with_param(&FAULT_ALLOC, &format!("{nth}"), || read(9, 20).map(drop));
            check!(result == Err(FileError::NoPage), "allocation {nth} failed: {result:?}");
            let kept = file_pages::len();
            check!(kept == nth - 1, "{kept} pages are kept after allocation {nth} failed");
            check!(evict_cache::evict_unused(None).pages == kept);
        }
        check!(free_or_permanent_pages() == free_before, "pages were lost");
    }

    /// Allocations that find no memory take the pages of closed files by themselves, and those of open files never.
    fn short_memory_evicts_without_a_job() needs(MemoryMib(24)) {
        skip_if!(stats::free_pages() > MOST_TO_HOARD_PAGES, "needs a machine with less memory");
        let free_before = free_or_permanent_pages();
        drop(read(10, 1500).map_err(read_failed)?);
        let (mut open, _) = read(11, 50).map_err(read_failed)?;
        // Single pages last: larger blocks do not come of scattered pages.
        let hoard = Hoard::until(&[18, 14, 9, 5, 0], || file_pages::len() == 50);
        let left = file_pages::len();
        check!(left == 50, "{left} pages are left when memory is used up, {} free", stats::free_pages());
        for index in 0..50 {
            let words = open.page(index, |_| panic!("page {index} is gone")).map_err(read_failed)?;
            check!(is_content(words, 11, index), "page {index} was overwritten");
        }
        drop((hoard, open));
        check!(evict_cache::evict_unused(None).pages == 50);
        check!(free_or_permanent_pages() == free_before, "pages were lost");
        check!(pages::verify().is_ok());
    }

    /// Huge pages that are missing are made of the pages of closed files.
    fn huge_pages_are_made_of_closed_files() needs(MemoryMib(48)) {
        skip_if!(stats::free_pages() > MOST_TO_HOARD_PAGES, "needs a machine with less memory");
        let free_before = free_or_permanent_pages();
        drop(read(12, 4096).map_err(read_failed)?);
        let hoard = Hoard::until(&[9], || free_huge_pages() <= 2);
        check!(hoard.is_some() && file_pages::len() == 4096, "{} free, {} kept", free_huge_pages(), file_pages::len());
        let reserved = huge_reserve::reserve(HugeSize::Size2M, 5, None);
        check!(reserved.is_ok(), "{:?}, {} pages kept", reserved.err(), file_pages::len());
        drop((reserved, hoard));
        evict_cache::evict_unused(None);
        check!(free_or_permanent_pages() == free_before, "pages were lost");
    }

    /// Threads open, read and close files, others evict them, all at once.
    fn files_are_opened_closed_and_evicted_at_once() needs(MemoryMib(24)) {
        const READERS: u32 = 4;
        const ROUNDS: u32 = 40;
        let free_before = free_or_permanent_pages();
        let running = Arc::new(AtomicU64::new(0));
        let failure: Arc<Once<FileError>> = Arc::new(Once::new());
        let found = Arc::new(AtomicU64::new(0));
        let mut handles = Vec::new();
        for reader in 0..READERS {
            let (running, failure, found) = (running.clone(), failure.clone(), found.clone());
            running.fetch_add(1, SeqCst);
            let handle = sched::spawn("evict/reader", move || {
                for round in 0..ROUNDS {
                    // Neighbouring rounds share files among the readers, and some are open twice.
                    let (number, len_pages) = (20 + (reader + round) % 6, 30 + (round * 7 + reader) % 50);
                    match (read(number, len_pages), read(number + 1, len_pages)) {
                        (Ok((file, missing)), Ok(_)) => {
                            found.fetch_add(u64::from(len_pages) - missing, SeqCst);
                            sched::yield_now();
                            drop(file);
                        }
                        (Err(error), _) | (_, Err(error)) => _ = failure.call_once(|| error),
                    }
                }
                running.fetch_sub(1, SeqCst);
            });
            handles.push(handle.map_err(|error| Stopped::Failed(format!("no thread: {error}")))?);
        }
        let mut evicted = 0;
        let mut rounds = 0;
        while running.load(SeqCst) > 0 {
            evicted += match rounds % 3 {
                0 => evict_cache::evict_unused(None).pages,
                1 => evict_cache::evict_unused(Some(1)).pages,
                _ => {
                    with_param(&FILE_CACHE_PAGES, "100", evict_cache::trim);
                    0
                }
            };
            rounds += 1;
            sched::yield_now();
        }
        handles.into_iter().for_each(|handle| handle.join());
        check!(failure.get().is_none(), "{:?}", failure.get());
        check!(evicted > 0, "nothing was evicted in {rounds} rounds");
        let left = file_pages::len();
        check!(evict_cache::evict_unused(None).pages == left && file_pages::len() == 0);
        check!(free_or_permanent_pages() == free_before, "pages were lost");
        check!(pages::verify().is_ok());
    }
}
