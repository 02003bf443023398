//! Costs in instructions. With QEMU's `-icount shift=0` every instruction takes
//! the same time, so the time stamp counter counts instructions: the same number in
//! every run. Elsewhere these tests are skipped, and on machines with several CPUs: an emulator that counts lets time pass
//! for CPUs that wait, too.

use core::arch::asm;

use ::trace::{Event, EventClass};
use frames::policy::NodePolicy;

use crate::arch::irq::IrqGuard;
use crate::arch::{percpu, tracepoint, tsc};
use crate::debug::ktest::Stopped;
use crate::debug::trace;
use crate::jobs::huge_pool::{Request, resize};
use crate::jobs::memory_map_init::Shadow;
use crate::mm::huge::HugeSize;
use crate::mm::{page_cache, pages};
use crate::{check, kernel_tests, skip_if};

/// Returns the ticks of a loop of `2 * rounds` instructions, and a few more.
fn ticks_of_loop(rounds: u64) -> u64 {
    let start = tsc::ticks();
    // SAFETY: counts a register down to zero; touches no memory.
    unsafe { asm!("2:", "dec {}", "jnz 2b", inout(reg) rounds => _, options(nostack, nomem)) };
    tsc::ticks() - start
}

/// Returns the ticks of 1000 instructions if all take the same time; `None` in debug builds, which have no limits, and with
/// several CPUs.
pub(super) fn ticks_per_thousand() -> Option<u64> {
    if cfg!(debug_assertions) || percpu::all().filter(|cpu| cpu.is_online()).count() > 1 {
        return None;
    }
    let _irq = IrqGuard::new();
    ticks_of_loop(1000);
    let read = || [10_000, 20_000, 40_000].map(ticks_of_loop);
    let [short, middle, long] = read();
    // The same number of ticks each time: never so on a real clock.
    if (0..4).any(|_| read() != [short, middle, long]) {
        return None;
    }
    // Linear in the length of the loop, but for a hundred instructions around it.
    let (first, second) = (middle.saturating_sub(short), long.saturating_sub(middle));
    let is_linear = second.abs_diff(2 * first) <= first / 200;
    is_linear.then_some(first / 20)
}

/// Returns whether the time stamp counter counts instructions.
pub fn is_counted() -> bool {
    ticks_per_thousand().is_some_and(|ticks| ticks > 0)
}

/// Returns the instructions of `work`, the mean of many calls, without those of
/// the loop around it.
fn instructions_of(ticks_per_thousand: u64, work: fn()) -> u64 {
    const TIMES: u64 = 1000;
    // Interrupts are on, as in real use. Nothing else runs, so only timer interrupts come.
    let ticks_of = |work: fn()| {
        let work = core::hint::black_box(work);
        work();
        let start = tsc::ticks();
        (0..TIMES).for_each(|_| work());
        tsc::ticks() - start
    };
    (ticks_of(work) - ticks_of(|| ())) * 1000 / TIMES / ticks_per_thousand
}

kernel_tests! { "counted":
    fn a_page_from_the_cache_costs_at_most_60_instructions() {
        let ticks = ticks_per_thousand();
        skip_if!(ticks.is_none_or(|ticks| ticks == 0), "time is not counted here");
        let ticks = ticks.unwrap_or(1);
        let cpu = crate::arch::percpu::this_cpu().id().index();
        if let Some(page) = pages::alloc(0) {
            pages::free(page, 0);
        }
        let before = page_cache::stats(cpu);
        let pair = instructions_of(ticks, || {
            if let Some(page) = pages::alloc(0) {
                pages::free(page, 0);
            }
        });
        let after = page_cache::stats(cpu);
        log::info!("page alloc and free from the cache: {pair} instructions");
        check!(after == before, "the zone was called");
        check!(pair <= 60, "{pair} instructions");
    }

    /// Memory map init, from descriptors of holes to all free blocks on their lists.
    fn a_page_is_initialised_and_freed_in_at_most_one_and_a_half_instructions() {
        let ticks = ticks_per_thousand();
        skip_if!(ticks.is_none_or(|ticks| ticks == 0), "time is not counted here");
        let ticks = ticks.unwrap_or(1);
        let Some(mut shadow) = Shadow::new() else { return Err(Stopped::Failed("no memory for a shadow".into())) };
        let run = shadow.run(Some(1));
        let Ok(run) = run else { return Err(Stopped::Failed("the run failed".into())) };
        check!(run.ok, "descriptors are wrong");
        let instructions = run.stats.wall_ns * 1000 / tsc::ticks_to_ns(ticks);
        let per_thousand = instructions * 1000 / run.units;
        log::info!("memory map init: {instructions} instructions for {} pages, {per_thousand} for 1000", run.units);
        check!(per_thousand <= 1500, "{per_thousand} instructions for 1000 pages");
    }

    /// Into the pool and back, without clearing: 512 pages then take less than a millisecond on any machine.
    fn a_huge_page_is_reserved_and_released_in_at_most_400_instructions() {
        const COUNT: u64 = 64;
        let ticks = ticks_per_thousand();
        skip_if!(ticks.is_none_or(|ticks| ticks == 0), "time is not counted here");
        let ticks = ticks.unwrap_or(1);
        let size = HugeSize::Size2M;
        let request = |wanted| Request { wanted, policy: NodePolicy::Local, all_or_nothing: true, threads: None };
        check!(resize(size, request(0)).is_ok());
        let start = tsc::ticks();
        let reserved = resize(size, request(COUNT));
        let released = resize(size, request(0));
        let pair = (tsc::ticks() - start) * 1000 / COUNT / ticks;
        check!(reserved.is_ok_and(|resized| resized.total == COUNT) && released.is_ok());
        log::info!("huge page reserve and release: {pair} instructions for each of {COUNT}");
        check!(pair <= 400, "{pair} instructions");
    }

    fn an_event_that_is_not_traced_costs_3_instructions_and_a_traced_one_50() {
        let ticks = ticks_per_thousand();
        skip_if!(ticks.is_none_or(|ticks| ticks == 0), "time is not counted here");
        skip_if!(tracepoint::is_on(EventClass::Fault), "tracing is on for the whole run");
        let ticks = ticks.unwrap_or(1);
        let anywhere = || tracepoint::event(EventClass::Fault, || Event::PageFault { address: 1 });
        let irqs_off = || tracepoint::event_irqs_off(EventClass::Fault, || Event::PageFault { address: 1 });
        let costs = || {
            let anywhere = instructions_of(ticks, anywhere);
            let _irq = IrqGuard::new();
            (anywhere, instructions_of(ticks, irqs_off))
        };
        let (off, off_irqs_off) = costs();
        check!(trace::start() == Ok(()));
        let (on, on_irqs_off) = costs();
        trace::stop();
        log::info!("trace event: {off} instructions off, {on} on; with interrupts off {off_irqs_off} and {on_irqs_off}");
        check!(off <= 3 && off_irqs_off <= 3, "off: {off} and {off_irqs_off} instructions");
        check!(on <= 50 && on_irqs_off <= 40, "on: {on}, with interrupts off {on_irqs_off} instructions");
    }
}
