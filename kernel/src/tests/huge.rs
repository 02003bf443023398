//! Huge pages: pools by node and policy, files, page faults, and undo after
//! failures.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use frames::policy::{NodePolicy, NodeSet};
use frames::{PAGE_SIZE, Pfn, order_pages};
use params::Param;
use params::registry::{FAULT_ALLOC, FAULT_MAP, HUGE_2M};

use super::wait::free_or_permanent_pages;
use crate::arch::percpu;
use crate::debug::ktest::Stopped;
use crate::jobs::huge_file::{self, FallocateError, FileError, HugeFile, OnError};
use crate::jobs::huge_pool::{Request, ResizeError, resize};
use crate::mm::huge::HugeSize;
use crate::mm::huge_pool;
use crate::mm::{pages, space, zero};
use crate::sched::hotplug;
use crate::{check, kernel_tests, sched};

pub(super) const UNIT: u64 = 2 << 20;
pub(super) const SIZE: HugeSize = HugeSize::Size2M;

pub(super) fn failed<T>(message: &str) -> Result<T, Stopped> {
    Err(Stopped::Failed(message.into()))
}

pub(super) fn request(wanted: u64) -> Request {
    Request { wanted, policy: NodePolicy::Local, all_or_nothing: true, threads: None }
}

/// Returns the number of allocated huge pages. Page tables and stacks, which stay
/// after a test, are smaller blocks.
fn held_blocks() -> Result<u64, Stopped> {
    match pages::verify() {
        Ok(census) => Ok(census.allocated_blocks[usize::from(SIZE.order())]),
        Err(error) => failed(&alloc::format!("{error}")),
    }
}

/// A pool of huge pages for the time of a test, and the number of huge pages
/// allocated before.
pub(super) struct Pool {
    held_before: u64,
}

impl Pool {
    pub(super) fn of(count: u64) -> Result<Self, Stopped> {
        // Remove the pages that the command line asked for.
        check!(resize(SIZE, request(0)).is_ok_and(|resized| resized.total == 0));
        let held_before = held_blocks()?;
        match resize(SIZE, request(count)) {
            Ok(_) => Ok(Self { held_before }),
            Err(error) => Err(Stopped::Failed(alloc::format!("a pool of {count}: {error}"))),
        }
    }

    /// Empties the pool, and checks that all its pages are free.
    pub(super) fn check_all_back(self) -> Result<(), Stopped> {
        let pool = huge_pool::pool(SIZE);
        check!(pool.free() == pool.total(), "{} of {} pages are free", pool.free(), pool.total());
        check!(resize(SIZE, request(0)).is_ok_and(|resized| resized.total == 0));
        let held = held_blocks()?;
        check!(held == self.held_before, "{held} huge pages are held, {} were", self.held_before);
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = resize(SIZE, request(HUGE_2M.get()));
    }
}

pub(super) fn file(count: u64) -> Result<Arc<HugeFile>, Stopped> {
    HugeFile::new(SIZE, count * UNIT)
        .or_else(|error| failed(&alloc::format!("a file of {count} pages: {error}")))
}

/// Reads the first and the last word of page `index` through the file's mapping.
fn read_ends(file: &HugeFile, index: u64) -> (u64, u64) {
    let page = (file.base() + index * UNIT) as *const u64;
    // SAFETY: the file is mapped there, or the page fault provides the page; no other thread writes it in these tests.
    unsafe { (page.read_volatile(), page.add(UNIT as usize / 8 - 1).read_volatile()) }
}

fn write_ends(file: &HugeFile, index: u64, value: u64) {
    let page = (file.base() + index * UNIT) as *mut u64;
    // SAFETY: as in `read_ends`.
    unsafe {
        page.write_volatile(value);
        page.add(UNIT as usize / 8 - 1).write_volatile(value);
    }
}

kernel_tests! { "huge":
    fn pools_grow_and_shrink() needs(MemoryMib(40)) {
        let pool = Pool::of(6)?;
        let huge = huge_pool::pool(SIZE);
        check!(huge.total() == 6 && huge.free() == 6);
        check!(resize(SIZE, request(2)).is_ok_and(|resized| resized.total == 2));
        check!(resize(SIZE, request(4)).is_ok_and(|resized| resized.total == 4));
        pool.check_all_back()?;
    }

    fn a_pool_that_is_too_large_is_refused_with_the_numbers_available() needs(MemoryMib(40)) {
        let empty = Pool::of(0)?;
        let free_before = free_or_permanent_pages();
        let wanted = free_before / 512 + 1;
        match resize(SIZE, request(wanted)) {
            Err(ResizeError::Short(shortage)) => {
                let available: u64 = shortage.before.nodes.iter().map(|node| node.allocator).sum();
                check!(shortage.total == 0 && available > 0 && available < wanted, "{shortage}");
                check!(shortage.after == shortage.before, "{shortage}");
            }
            other => check!(false, "{wanted} pages: {:?}", other.map(|resized| resized.total)),
        }
        check!(free_or_permanent_pages() == free_before, "pages were lost");
        // Best effort: as many as are available.
        let best_effort = Request { all_or_nothing: false, ..request(wanted) };
        match resize(SIZE, best_effort) {
            Ok(resized) => {
                let total = resized.total;
                check!(resized.shortage.is_some_and(|shortage| shortage.total == total && total > 0));
            }
            Err(error) => check!(false, "{error}"),
        }
        check!(pages::alloc_reserved(0).map(|page| pages::free(page, 0)).is_some(), "no reserve is left");
        check!(resize(SIZE, request(0)).is_ok());
        check!(free_or_permanent_pages() == free_before, "pages were lost");
        empty.check_all_back()?;
    }

    fn policies_choose_the_nodes() needs(MemoryNodes(2), MemoryMib(40)) {
        let empty = Pool::of(0)?;
        let huge = huge_pool::pool(SIZE);
        let on = |node: usize| huge.count().nodes[node].pool;
        for (policy, expected) in [
            (NodePolicy::Preferred(1), [0, 8]),
            (NodePolicy::Bind(NodeSet(1)), [8, 0]),
            (NodePolicy::Interleave(NodeSet(0b11)), [4, 4]),
        ] {
            let wanted = Request { policy, ..request(8) };
            check!(resize(SIZE, wanted).is_ok());
            let found = [on(0), on(1)];
            check!(resize(SIZE, request(0)).is_ok());
            check!(found == expected, "{policy:?}: {found:?}");
        }
        let beyond = Request { policy: NodePolicy::Bind(NodeSet(1 << 63)), ..request(8) };
        check!(resize(SIZE, beyond).is_err(), "pages of a node that does not exist");
        empty.check_all_back()?;
    }

    fn allocated_pages_are_zeroed_mapped_and_disjoint() needs(MemoryMib(40)) {
        let pool = Pool::of(8)?;
        for threads in 1..=percpu::online_count().min(4) {
            let file = file(8)?;
            check!(file.fallocate(0, 8 * UNIT, OnError::Release, Some(threads)).is_ok());
            check!(file.held() == 8);
            let mut held: Vec<Pfn> = (0..8).filter_map(|index| file.page(index)).collect();
            for (index, page) in (0..).zip(&held) {
                let mapped = space::with_tables(|tables| tables.translate(file.base() + index * UNIT));
                check!(mapped == Some(page.address()), "page {index} is mapped to {mapped:x?}");
                let rights = space::with_tables(|tables| tables.rights_of(file.base() + index * UNIT));
                check!(rights == Some((true, false)), "page {index} has rights {rights:?}");
                // SAFETY: the file owns the page, and only this thread knows the file.
                check!(unsafe { zero::is_zero(*page, order_pages(9)) }, "page {index} is not zeroed");
                write_ends(&file, index, index + 1);
            }
            held.sort_unstable();
            held.dedup();
            check!(held.len() == 8, "a page is in the file twice");
            check!((0..8).all(|index| read_ends(&file, index) == (index + 1, index + 1)));
        }
        pool.check_all_back()?;
    }

    fn holes_are_unmapped_everywhere_and_come_back_zeroed() needs(MemoryMib(40)) {
        let pool = Pool::of(4)?;
        let file = file(4)?;
        check!(file.fallocate(0, 4 * UNIT, OnError::Release, None).is_ok());
        // Every CPU has the translations.
        (0..4).for_each(|index| write_ends(&file, index, 7));
        let on_all = |work: fn(&HugeFile)| {
            let cpus = 0..percpu::online_count();
            let threads: Vec<_> = cpus
                .filter_map(|cpu| {
                    let file = file.clone();
                    sched::spawn_on(runqueue::CpuMask::single(cpu), "test/huge", move || work(&file)).ok()
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join());
        };
        on_all(|file| (0..4).for_each(|index| assert_eq!(read_ends(file, index), (7, 7))));
        check!(file.punch_hole(UNIT, 2 * UNIT).is_ok());
        check!(file.held() == 2);
        check!(space::with_tables(|tables| tables.translate(file.base() + UNIT)).is_none());
        // A CPU that still has the old translation reads 7 instead of faulting the zeroed page in.
        on_all(|file| assert_eq!([0, 1, 2, 3].map(|index| read_ends(file, index).0), [7, 0, 0, 7]));
        check!(file.held() == 4);
        check!(file.truncate(UNIT).is_ok() && file.held() == 1);
        check!(matches!(file.fallocate(UNIT, UNIT, OnError::Keep, None), Err(FallocateError::Range(FileError::BeyondEnd { .. }))));
        check!(file.truncate(4 * UNIT).is_ok() && file.fallocate(UNIT, UNIT, OnError::Keep, None).is_ok());
        drop(file);
        pool.check_all_back()?;
    }

    /// Another CPU reads a page in a loop while it is removed from the file. After
    /// the removal, that CPU reads a zeroed page.
    fn a_cpu_that_reads_a_page_flushes_its_tlb() needs(Cpus(2), MemoryMib(40)) {
        let pool = Pool::of(2)?;
        let file = file(1)?;
        let state = Arc::new(AtomicU64::new(0));
        let reader = {
            let (file, state) = (file.clone(), state.clone());
            let other = (percpu::this_cpu().id().index() + 1) % percpu::online_count();
            sched::spawn_on(runqueue::CpuMask::single(other), "test/huge", move || loop {
                let is_gone = state.load(SeqCst) == 2;
                let found = read_ends(&file, 0).0;
                if is_gone {
                    return state.store(3 + found, SeqCst);
                }
                state.compare_exchange(0, u64::from(found == 7), SeqCst, SeqCst).ok();
            })
        };
        let Ok(reader) = reader else { return failed("no thread for the second cpu") };
        check!(file.fallocate(0, UNIT, OnError::Keep, None).is_ok());
        write_ends(&file, 0, 7);
        while state.load(SeqCst) != 1 {
            sched::yield_now();
        }
        let punched = file.punch_hole(0, UNIT);
        state.store(2, SeqCst);
        reader.join();
        check!(punched.is_ok());
        check!(state.load(SeqCst) == 3, "the other cpu went on reading {}", state.load(SeqCst) - 3);
        drop(file);
        pool.check_all_back()?;
    }

    /// A CPU that was offline while a page was removed from a file has no translation of it afterwards.
    fn a_cpu_that_comes_back_has_flushed_its_tlb() needs(Cpus(2), MemoryMib(40)) {
        let last = sched::online_cpus().iter().last().unwrap_or(0);
        let pool = Pool::of(2)?;
        let file = file(1)?;
        check!(file.fallocate(0, UNIT, OnError::Keep, None).is_ok());
        file.poison();
        // At several places: an emulated CPU has a translation for each, and drops some by itself; all if there are too
        // many.
        const PLACES: u64 = 64;
        let count_dirty = || {
            let file = file.clone();
            let dirty = Arc::new(AtomicU64::new(u64::MAX));
            let result = dirty.clone();
            let read = move || {
                assert_eq!(percpu::this_cpu().id().index(), last);
                let words = (0..PLACES).map(|place| file.base() + (100 + place) * PAGE_SIZE);
                // SAFETY: as in `read_ends`.
                result.store(words.filter(|word| unsafe { (*word as *const u64).read_volatile() } != 0).count() as u64, SeqCst);
            };
            let thread = sched::spawn_on(runqueue::CpuMask::single(last), "test/huge", read);
            thread.into_iter().for_each(sched::JoinHandle::join);
            dirty.load(SeqCst)
        };
        check!(count_dirty() == PLACES);
        check!(hotplug::offline(last).is_ok());
        let punched = file.punch_hole(0, UNIT);
        check!(hotplug::online(last).is_ok());
        let dirty = count_dirty();
        check!(punched.is_ok());
        check!(dirty == 0, "cpu {last} still reads {dirty} places of a page that was removed");
        drop(file);
        pool.check_all_back()?;
    }

    /// All CPUs touch all pages at once: each page is provided once.
    fn parallel_faults_share_pages() needs(MemoryMib(40)) {
        let pool = Pool::of(8)?;
        let file = file(8)?;
        let threads: Vec<_> = (0..8_u64)
            .filter_map(|number| {
                let file = file.clone();
                sched::spawn("test/huge", move || {
                    for step in 0..8 {
                        let index = (step + number) % 8;
                        let word = (file.base() + index * UNIT + number * 8) as *mut u64;
                        // SAFETY: the fault provides the page; each thread has its own word.
                        unsafe {
                            assert_eq!(word.read_volatile(), 0);
                            word.write_volatile(number + 1);
                        }
                    }
                })
                .ok()
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join());
        check!(file.held() == 8 && huge_pool::pool(SIZE).free() == 0);
        for (index, number) in (0..8_u64).flat_map(|index| (0..8_u64).map(move |number| (index, number))) {
            let word = (file.base() + index * UNIT + number * 8) as *const u64;
            // SAFETY: the page is in the file, and the threads have ended.
            let found = unsafe { word.read_volatile() };
            check!(found == number + 1, "page {index}, word {number} is {found}");
        }
        drop(file);
        pool.check_all_back()?;
    }

    /// Faults, holes and allocation of the same pages by all CPUs at once.
    fn faults_and_holes_race() needs(MemoryMib(40)) {
        let pool = Pool::of(4)?;
        let file = file(4)?;
        let threads: Vec<_> = (0..4_u64)
            .filter_map(|number| {
                let file = file.clone();
                sched::spawn("test/huge", move || {
                    for round in 0..12 {
                        let index = (round + number) % 4;
                        match number {
                            0 => assert!(file.punch_hole(index * UNIT, UNIT).is_ok()),
                            1 => assert!(file.fallocate(0, 4 * UNIT, OnError::Keep, Some(1)).is_ok()),
                            // No thread writes: every page is zeroed.
                            _ => assert_eq!(read_ends(&file, index), (0, 0)),
                        }
                    }
                })
                .ok()
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join());
        drop(file);
        pool.check_all_back()?;
    }

    /// Two threads clear the parts of a page. Another looks at the page as soon as it is in the file.
    fn a_page_is_in_its_file_only_when_all_of_it_is_clear() needs(Cpus(2), MemoryMib(40)) {
        let pool = Pool::of(1)?;
        let file = file(1)?;
        for round in 0..128 {
            check!(file.fallocate(0, UNIT, OnError::Release, None).is_ok());
            file.poison();
            check!(file.punch_hole(0, UNIT).is_ok());
            let other = file.clone();
            let allocator = sched::spawn("test/huge", move || {
                assert!(other.fallocate(0, UNIT, OnError::Release, Some(2)).is_ok());
            });
            let Ok(allocator) = allocator else { return failed("no thread to allocate") };
            let page = loop {
                match file.page(0) {
                    Some(page) => break page,
                    None => sched::yield_now(),
                }
            };
            // SAFETY: the page is in the file and stays there; no thread writes to it.
            let is_clear = unsafe { zero::is_zero(page, order_pages(SIZE.order())) };
            allocator.join();
            check!(is_clear, "round {round}: the page was in the file before all of it was clear");
        }
        drop(file);
        pool.check_all_back()?;
    }

    /// The nth page or mapping fails, for every n: the others are given back, or kept.
    fn any_failure_gives_back_or_keeps() needs(MemoryMib(40)) {
        let pool = Pool::of(6)?;
        for (fault, nth) in [&FAULT_ALLOC, &FAULT_MAP].into_iter().flat_map(|fault| (1..=6).map(move |nth| (fault, nth))) {
            for on_error in [OnError::Release, OnError::Keep] {
                let file = file(6)?;
                // All pages of the pool are dirty.
                check!(file.fallocate(0, 6 * UNIT, OnError::Release, None).is_ok());
                file.poison();
                check!(file.punch_hole(0, 6 * UNIT).is_ok());
                // One page is in the file before; it stays in all cases.
                check!(file.fallocate(2 * UNIT, UNIT, OnError::Keep, Some(1)).is_ok());
                write_ends(&file, 2, 9);
                pages::restart_fault_count();
                huge_file::restart_fault_count();
                check!(fault.set(&alloc::format!("{nth}")).is_ok());
                let result = file.fallocate(0, 6 * UNIT, on_error, None);
                check!(fault.set("none").is_ok());
                check!(result.is_err() == (nth < 6), "{} {nth}: five pages were missing", fault.name());
                let held = file.held();
                let expected = match (nth < 6, on_error) {
                    (false, _) => held == 6,
                    (true, OnError::Release) => held == 1,
                    (true, OnError::Keep) => (1..6).contains(&held),
                };
                check!(expected, "{} {nth} {on_error:?}: {held} pages held", fault.name());
                check!(read_ends(&file, 2) == (9, 9), "the page that was there before was replaced");
                // SAFETY: the pages are in the file, and no other thread has it.
                let is_clear = |page| unsafe { zero::is_zero(page, order_pages(SIZE.order())) };
                let dirty = (0..6).find(|index| *index != 2 && !file.page(*index).is_none_or(is_clear));
                check!(dirty.is_none(), "{} {nth} {on_error:?}: page {dirty:?} is dirty", fault.name());
                let mapped = (0..6).filter(|index| {
                    space::with_tables(|tables| tables.translate(file.base() + index * UNIT)).is_some()
                });
                check!(mapped.count() as u64 == held, "mappings and pages differ");
                check!(huge_pool::pool(SIZE).free() + held == 6, "a page is neither in the pool nor in the file");
            }
        }
        pool.check_all_back()?;
    }

    /// The nth allocation of a pool fails, for every n.
    fn any_failure_leaves_the_pool_as_it_was() needs(MemoryMib(40)) {
        let empty = Pool::of(0)?;
        let free_before = free_or_permanent_pages();
        for nth in 1..=4 {
            pages::restart_fault_count();
            check!(FAULT_ALLOC.set(&alloc::format!("{nth}")).is_ok());
            let result = resize(SIZE, request(4));
            check!(FAULT_ALLOC.set("none").is_ok());
            check!(matches!(result, Err(ResizeError::Short(_))), "page {nth} failed without an error");
            check!(huge_pool::pool(SIZE).total() == 0 && free_or_permanent_pages() == free_before, "pages were lost at {nth}");
        }
        empty.check_all_back()?;
    }

    fn wrong_ranges_are_refused() needs(MemoryMib(40)) {
        let empty = Pool::of(0)?;
        let file = file(2)?;
        let is = |result: Result<(), FallocateError>, wanted: fn(&FileError) -> bool| {
            matches!(result, Err(FallocateError::Range(error)) if wanted(&error))
        };
        let ask = |offset, len| file.fallocate(offset, len, OnError::Keep, None).map(drop);
        check!(is(ask(1, UNIT), |error| matches!(error, FileError::NotAligned { value: 1, .. })));
        check!(is(ask(0, 4096), |error| matches!(error, FileError::NotAligned { value: 4096, .. })));
        check!(is(ask(0, 0), |error| matches!(error, FileError::BeyondEnd { .. })));
        check!(is(ask(UNIT, 2 * UNIT), |error| matches!(error, FileError::BeyondEnd { .. })));
        check!(is(ask(0_u64.wrapping_sub(UNIT), 2 * UNIT), |error| matches!(error, FileError::BeyondEnd { .. })));
        check!(file.truncate(3 * UNIT).is_err() && file.punch_hole(2 * UNIT, UNIT).is_err());
        let without_pages = ask(0, UNIT);
        check!(matches!(without_pages, Err(FallocateError::Page { .. })), "a page from an empty pool");
        let many: Vec<_> = (0..9).map(|_| HugeFile::new(SIZE, UNIT)).collect();
        let refused = many.iter().filter(|file| matches!(file, Err(FileError::NoWindow))).count();
        check!(refused == 2, "{refused} of 9 files were refused, with one open already");
        drop((file, many));
        empty.check_all_back()?;
    }
}
