//! Huge pages of 1 GiB. The host has to back each page that is cleared by 1 GiB,
//! so these tests use one page again and again.

use alloc::sync::Arc;

use frames::PAGE_SIZE;
use frames::policy::NodePolicy;
use params::Param;
use params::registry::{FAULT_ALLOC, FAULT_MAP, HUGE_1G};

use super::huge::failed;
use crate::arch::percpu;
use crate::debug::ktest::{Stopped, TestResult};
use crate::jobs::huge_file::{self, FallocateError, FileError, HugeFile, OnError};
use crate::jobs::huge_pool::{Request, ResizeError, Resized, apply_parameters, resize};
use crate::mm::huge::HugeSize;
use crate::mm::huge_pool::pool;
use crate::mm::{pages, space, stats};
use crate::platform::nodes;
use crate::{check, kernel_tests, sched};

const UNIT: u64 = 1 << 30;
const SIZE: HugeSize = HugeSize::Size1G;
/// Distance between the words that are read and written: two in each 2 MiB.
const STEP: u64 = UNIT / 1024;

fn set(wanted: u64, all_or_nothing: bool) -> Result<Resized, ResizeError> {
    resize(SIZE, Request { wanted, policy: NodePolicy::Local, all_or_nothing, threads: None })
}

/// Empties the pool, and returns the number of pages available then.
fn empty_pool() -> Result<u64, Stopped> {
    match set(0, true) {
        Ok(_) => Ok(available()),
        Err(error) => failed(&alloc::format!("{error}")),
    }
}

/// Returns the number of pages available from all nodes together.
fn available() -> u64 {
    (0..nodes::nodes().len()).map(|node| stats::free_blocks_on(node, SIZE.order())).sum()
}

fn file(count: u64) -> Result<Arc<HugeFile>, Stopped> {
    HugeFile::new(SIZE, count * UNIT)
        .or_else(|error| failed(&alloc::format!("a file of {count} pages: {error}")))
}

/// Returns the offset of the first word of the page at `index` that is not `expected`.
fn first_wrong(file: &HugeFile, index: u64, expected: u64) -> Option<u64> {
    first_wrong_from(file, index, 0, expected)
}

/// The same from the offset `start` on.
fn first_wrong_from(file: &HugeFile, index: u64, start: u64, expected: u64) -> Option<u64> {
    (start..UNIT).step_by(STEP as usize).find(|offset| {
        let word = (file.base() + index * UNIT + offset) as *const u64;
        // SAFETY: the file is mapped there, or the page fault provides the page; only this test uses the file.
        expected != unsafe { word.read_volatile() }
    })
}

/// Writes the words that [`first_wrong`] reads.
fn write(file: &HugeFile, index: u64, value: u64) {
    for offset in (0..UNIT).step_by(STEP as usize) {
        let word = (file.base() + index * UNIT + offset) as *mut u64;
        // SAFETY: as in `first_wrong`.
        unsafe { word.write_volatile(value) };
    }
}

fn is_mapped(file: &HugeFile, index: u64) -> bool {
    let found = space::with_tables(|tables| tables.translate(file.base() + index * UNIT));
    found.is_some() && found == file.page(index).map(|page| page.address())
}

/// Checks that all `count` pages of the pool are free, and that `before` pages are available once it is emptied.
fn all_back(count: u64, before: u64) -> TestResult {
    check!((pool(SIZE).total(), pool(SIZE).free()) == (count, count), "{}", pool(SIZE).count());
    check!(set(0, true).is_ok());
    check!(available() == before, "{} pages of 1 GiB, {before} before", available());
    Ok(())
}

kernel_tests! { "huge1g":
    fn pools_grow_shrink_and_follow_the_parameter() needs(FreeGib(2)) {
        let before = empty_pool()?;
        check!(set(2, true).is_ok_and(|resized| resized.total == 2));
        check!(available() == before - 2 && pool(SIZE).free() == 2);
        check!(HUGE_1G.set("1").is_ok() && apply_parameters() && pool(SIZE).total() == 1);
        check!(HUGE_1G.set("2").is_ok() && apply_parameters() && pool(SIZE).total() == 2);
        check!(HUGE_1G.set("0").is_ok() && apply_parameters() && pool(SIZE).total() == 0);
        match set(before + 1, true) {
            Err(ResizeError::Short(shortage)) => check!(shortage.total == 0 && shortage.before == shortage.after, "{shortage}"),
            other => check!(false, "{:?}", other.map(|resized| resized.total)),
        }
        let best_effort = set(before + 1, false);
        check!(best_effort.is_ok_and(|resized| resized.total <= before && resized.total + 1 >= before && resized.shortage.is_some()));
        all_back(pool(SIZE).total(), before)?;
    }

    fn a_file_is_provided_mapped_and_given_back() needs(FreeGib(2), MapsGib) {
        let before = empty_pool()?;
        check!(set(1, true).is_ok());
        let file = file(3)?;
        check!(file.fallocate(UNIT, UNIT, OnError::Release, None).is_ok_and(|stats| stats.units == UNIT / PAGE_SIZE));
        check!(file.held() == 1 && is_mapped(&file, 1) && !is_mapped(&file, 0));
        check!(first_wrong(&file, 1, 0).is_none(), "not zero at {:x?}", first_wrong(&file, 1, 0));
        write(&file, 1, 7);
        check!(first_wrong(&file, 1, 7).is_none());
        check!(file.punch_hole(0, 2 * UNIT).is_ok() && file.held() == 0 && !is_mapped(&file, 1));
        // By page fault, at the end of another page: zeroed again.
        let last = (file.base() + 3 * UNIT - 8) as *const u64;
        // SAFETY: the page fault provides the page.
        let found = unsafe { last.read_volatile() };
        check!(found == 0 && file.held() == 1 && is_mapped(&file, 2));
        check!(first_wrong(&file, 2, 0).is_none(), "not zero at {:x?}", first_wrong(&file, 2, 0));
        let is_none_left = |result| matches!(result, Err(FallocateError::Page { .. }));
        check!(is_none_left(file.fallocate(0, UNIT, OnError::Release, None)), "a page from an empty pool");
        check!(file.truncate(UNIT).is_ok() && file.held() == 0 && !is_mapped(&file, 2));
        let range = |result: Result<_, FallocateError>| match result {
            Err(FallocateError::Range(error)) => Some(error),
            _ => None,
        };
        let ask = |offset, len| range(file.fallocate(offset, len, OnError::Keep, None));
        check!(matches!(ask(2 * UNIT, UNIT), Some(FileError::BeyondEnd { .. })));
        check!(matches!(ask(2 << 20, UNIT), Some(FileError::NotAligned { value: 0x20_0000, unit: UNIT })));
        drop(file);
        all_back(1, before)?;
    }

    /// All CPUs clear the one page, on a fault and for `fallocate`. Another thread looks at it as soon as it is in the file.
    fn a_page_is_cleared_by_all_cpus_before_it_is_seen() needs(FreeGib(1), MapsGib) {
        let before = empty_pool()?;
        check!(set(1, true).is_ok());
        let file = file(1)?;
        let threads = percpu::online_count().min(4);
        file.set_fault_threads(Some(threads));
        for by_fault in [true, false] {
            check!(file.fallocate(0, UNIT, OnError::Release, None).is_ok());
            write(&file, 0, 7);
            check!(file.punch_hole(0, UNIT).is_ok());
            let other = file.clone();
            let provider = sched::spawn("test/huge1g", move || match by_fault {
                // At the end, which a chunk other than the first clears.
                true => assert!(first_wrong_from(&other, 0, UNIT - STEP, 0).is_none()),
                false => {
                    let stats = other.fallocate(0, UNIT, OnError::Release, Some(threads));
                    assert!(stats.is_ok_and(|stats| stats.units == UNIT / PAGE_SIZE && (threads == 1 || stats.chunks > 1)));
                }
            });
            let Ok(provider) = provider else { return failed("no thread to provide the page") };
            while file.page(0).is_none() {
                sched::yield_now();
            }
            let dirty = first_wrong(&file, 0, 0);
            provider.join();
            check!(dirty.is_none(), "by fault {by_fault}: the page was seen before {dirty:x?} was clear");
        }
        // A busy host may start a helper too late, so the threads that took part are not counted.
        let fault = file.last_fault().map(|stats| (stats.units, stats.chunks > 1));
        check!(fault == Some((UNIT / PAGE_SIZE, threads > 1)), "{fault:?} of {threads} threads");
        drop(file);
        all_back(1, before)?;
    }

    /// The second page fails, or the mapping of the first: all is given back, or
    /// the pages before stay.
    fn failures_give_back_or_keep() needs(FreeGib(2), MapsGib) {
        let before = empty_pool()?;
        check!(set(1, true).is_ok());
        let file = file(2)?;
        for (fault, nth, on_error, held) in [
            (&FAULT_MAP, "1", OnError::Release, 0),
            // The pool has one page.
            (&FAULT_ALLOC, "none", OnError::Release, 0),
            (&FAULT_ALLOC, "none", OnError::Keep, 1),
            (&FAULT_ALLOC, "1", OnError::Release, 1),
        ] {
            pages::restart_fault_count();
            huge_file::restart_fault_count();
            check!(fault.set(nth).is_ok());
            let result = file.fallocate(0, 2 * UNIT, on_error, Some(1));
            check!(fault.set("none").is_ok());
            check!(result.is_err(), "{} {nth}: no error", fault.name());
            check!(file.held() == held && pool(SIZE).free() == 1 - held, "{} {nth}: {} pages held", fault.name(), file.held());
            check!((0..2).filter(|index| is_mapped(&file, *index)).count() as u64 == held);
        }
        drop(file);
        all_back(1, before)?;
    }

    /// On a CPU without pages of 1 GiB there are pools of such blocks, and files are refused with the reason.
    fn a_cpu_without_them_says_so() needs(MapsNoGib) {
        let Err(error) = HugeFile::new(SIZE, UNIT) else { return failed("a file of pages that the cpu cannot map") };
        let text = alloc::format!("{error}");
        check!(text.contains("no pages of this size"), "{text}");
        // The address space of the failed file is free again.
        for _ in 0..20 {
            check!(!matches!(HugeFile::new(SIZE, UNIT), Err(FileError::NoWindow)));
        }
    }
}
