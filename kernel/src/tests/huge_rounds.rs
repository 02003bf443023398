//! `fallocate` in several rounds, of which a late one fails. A round ends where another thread holds the slot of a page.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use frames::order_pages;
use params::Param;
use params::registry::{FAULT_ALLOC, FAULT_HELPER_SPAWN, FAULT_MAP};
use runqueue::{CpuMask, Nice};

use super::huge::{Pool, SIZE, UNIT, failed, file};
use super::wait::Patience;
use crate::arch::percpu;
use crate::debug::ktest::{Stopped, TestResult};
use crate::jobs::huge_file::{self, FallocateError, HugeFile, OnError};
use crate::jobs::platform;
use crate::mm::{huge_pool, pages, space, zero};
use crate::sched::{self, Spawn};
use crate::{check, kernel_tests};

/// Pages of the file, and the page whose slot another thread holds.
const PAGES: u64 = 6;
const HELD: u64 = 2;
/// Attempts at a failure in a late round. It may fail in the first: a thread is preempted at the wrong moment, or counts the
/// failure.
const ATTEMPTS: usize = 50;

/// The result of a `fallocate` of all pages, and the number of pages that were mapped meanwhile, without a failure.
struct Outcome {
    result: Result<(), FallocateError>,
    mapped: u64,
}

impl Outcome {
    /// Whether a round failed after another one had mapped its pages, and the other thread its page.
    fn is_late(&self) -> bool {
        self.result.is_err() && self.mapped > HELD
    }
}

/// Provides all pages of `file` while another thread holds the slot of page [`HELD`], with the nth event of `fault` failing.
///
/// The other thread provides and removes the page, again and again. The calling thread takes the CPU away from it while it
/// clears the page; so the slot stays held until the calling thread waits for it.
fn fallocate_in_rounds(
    file: &Arc<HugeFile>,
    fault: &dyn Param,
    nth: u64,
    on_error: OnError,
    threads: usize,
) -> Result<Outcome, Stopped> {
    let here = CpuMask::single(percpu::this_cpu().id().index());
    check!(sched::set_affinity(sched::current(), &here).is_ok(), "the cpu went offline");
    sched::set_nice(sched::current(), Nice::MIN);
    let is_over = Arc::new(AtomicBool::new(false));
    let (stop, own) = (is_over.clone(), file.clone());
    let holder = Spawn::new("test/holder").on(here).nice(Nice::MAX).start(move || {
        while !stop.load(SeqCst) {
            let _ = own.punch_hole(HELD * UNIT, UNIT);
            // It fails if the failure is this thread's.
            let _ = own.fallocate(HELD * UNIT, UNIT, OnError::Release, Some(1));
        }
        let _ = own.fallocate(HELD * UNIT, UNIT, OnError::Release, Some(1));
    });
    let mut patience = Patience::new(20_000_000_000);
    let is_held = || huge_pool::pool(SIZE).free() == PAGES - 1 && file.page(HELD).is_none();
    while holder.is_ok() && !is_held() && patience.lasts() {
        sched::sleep_ns(50_000);
    }
    let was_held = is_held();
    pages::restart_fault_count();
    huge_file::restart_fault_count();
    platform::restart_fault_count();
    let is_set = fault.set(&alloc::format!("{nth}")).is_ok();
    let result = file.fallocate(0, PAGES * UNIT, on_error, Some(threads)).map(drop);
    let is_reset = fault.set("none").is_ok();
    let failed_mappings = u64::from(core::ptr::addr_eq(fault, &FAULT_MAP) && huge_file::mappings() >= nth);
    let mapped = huge_file::mappings() - failed_mappings;
    is_over.store(true, SeqCst);
    sched::set_nice(sched::current(), Nice::DEFAULT);
    let is_free = sched::set_affinity(sched::current(), &CpuMask::ALL).is_ok();
    let Ok(holder) = holder else { return failed("no thread to hold a slot") };
    holder.join();
    check!(was_held && is_set && is_reset && is_free, "held {was_held}, set {is_set}, reset {is_reset}");
    Ok(Outcome { result, mapped })
}

/// Fails if a page is lost, dirty or not mapped, or if `file` has other pages than `outcome` says.
fn check_pages(file: &HugeFile, outcome: &Outcome, on_error: OnError, case: &str) -> TestResult {
    let held = file.held();
    check!(
        huge_pool::pool(SIZE).free() + held == PAGES,
        "{case}: a page is neither in the pool nor in the file"
    );
    let mapped = (0..PAGES)
        .filter(|index| space::with_tables(|tables| tables.translate(file.base() + index * UNIT)).is_some());
    check!(mapped.count() as u64 == held, "{case}: mappings and pages differ");
    // SAFETY: the pages are in the file, and no other thread has it any more.
    let is_clear = |page| unsafe { zero::is_zero(page, order_pages(SIZE.order())) };
    let dirty = (0..PAGES).find(|index| !file.page(*index).is_none_or(is_clear));
    check!(dirty.is_none(), "{case}: page {dirty:?} is dirty");
    match (&outcome.result, on_error) {
        (Ok(()), _) => check!(held == PAGES, "{case}: {held} pages after success"),
        // The page of the other thread.
        (Err(_), OnError::Release) => {
            check!(held == 1 && file.page(HELD).is_some(), "{case}: {held} pages are held, not released")
        }
        (Err(_), OnError::Keep) => check!((1..=PAGES).contains(&held), "{case}: {held} pages are kept"),
    }
    Ok(())
}

/// Makes every page of the pool dirty.
fn soil_pool() -> TestResult {
    let file = file(PAGES)?;
    check!(file.fallocate(0, PAGES * UNIT, OnError::Release, None).is_ok());
    file.poison();
    Ok(())
}

kernel_tests! { "huge":
    /// The nth page or mapping fails, for every n: also in a late round, after the first has mapped its pages.
    fn a_late_round_that_fails_gives_back_or_keeps() needs(MemoryMib(40)) {
        let pool = Pool::of(PAGES)?;
        // The first round takes and maps the pages before the held slot; the other thread maps its page before the second.
        let of_alloc = (1..=PAGES).map(|nth| (&FAULT_ALLOC, nth, (HELD + 1..PAGES).contains(&nth)));
        let of_map = (1..=PAGES + 1).map(|nth| (&FAULT_MAP, nth, (HELD + 2..=PAGES).contains(&nth)));
        for (fault, nth, should_be_late) in of_alloc.chain(of_map) {
            for on_error in [OnError::Release, OnError::Keep] {
                let mut attempts = 0;
                loop {
                    soil_pool()?;
                    let file = file(PAGES)?;
                    let outcome = fallocate_in_rounds(&file, fault, nth, on_error, 1)?;
                    let case = alloc::format!("{} {nth} {on_error:?}, {} mapped", fault.name(), outcome.mapped);
                    check_pages(&file, &outcome, on_error, &case)?;
                    if on_error == OnError::Keep && outcome.is_late() {
                        let kept = (0..HELD).all(|index| file.page(index).is_some());
                        check!(kept, "{case}: the pages of the first round are not kept");
                    }
                    if outcome.is_late() || !should_be_late {
                        break;
                    }
                    attempts += 1;
                    check!(attempts < ATTEMPTS, "{case}: no late round fails");
                }
            }
        }
        pool.check_all_back()?;
    }

    /// The nth request for a helper is refused, and all later ones, for every n: the pages come all the same.
    fn rounds_without_helpers_provide_all_pages() needs(Cpus(2), MemoryMib(40)) {
        let pool = Pool::of(PAGES)?;
        for nth in 1..=4 {
            soil_pool()?;
            let file = file(PAGES)?;
            let outcome = fallocate_in_rounds(&file, &FAULT_HELPER_SPAWN, nth, OnError::Release, 2)?;
            check!(outcome.result.is_ok(), "helper {nth} is refused: {:?}", outcome.result);
            check_pages(&file, &outcome, OnError::Release, &alloc::format!("helper {nth}"))?;
        }
        pool.check_all_back()?;
    }
}
