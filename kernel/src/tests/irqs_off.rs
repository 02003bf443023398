//! How long interrupts are off: the same number of instructions for few threads and for many. Counted one by one, on any
//! machine; on one shape of machine only, because counting takes a hundred times as long as the work.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use runqueue::{CpuMask, Nice};

use super::wait::within_20_s;
use crate::arch::irq::IrqGuard;
use crate::arch::single_step::{IrqsOff, count_irqs_off};
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::tsc;
use crate::debug::ktest::{Stopped, TestResult};
use crate::sched::mutex::Mutex;
use crate::sched::snapshot::{self, ThreadState};
use crate::sched::wait::WaitQueue;
use crate::sched::{self, JoinHandle, Spawn};
use crate::{check, kernel_tests};

/// Few and many threads.
const COUNTS: [usize; 2] = [10, 1000];
/// 10 us of a CPU that executes one instruction in a nanosecond.
const MOST: u64 = 10_000;
/// The name of the threads of a test.
const NAME: &str = "test/many";

/// Keeps the calling thread on its CPU, at a weight beside which a thousand light threads are little, and returns that CPU and another one.
fn prepare() -> Result<[usize; 2], Stopped> {
    let cpus: Vec<usize> = sched::online_cpus().iter().collect();
    sched::set_nice(sched::current(), Nice::MIN);
    let stays = sched::set_affinity(sched::current(), &CpuMask::single(cpus[0]));
    check(stays.is_ok(), "the cpu went offline").map(|()| [cpus[0], cpus[3]])
}

/// Undoes [`prepare`], and judges what was counted.
fn judge(what: &str, counted: [IrqsOff; 2]) -> TestResult {
    sched::set_nice(sched::current(), Nice::DEFAULT);
    let free = sched::set_affinity(sched::current(), &CpuMask::ALL);
    check!(free.is_ok());
    let [few, many] = counted;
    log::info!(
        "{what}: at most {} instructions with interrupts off for {} threads, {} for {}; {} and {} times",
        few.longest,
        COUNTS[0],
        many.longest,
        COUNTS[1],
        few.sections,
        many.sections,
    );
    check!(few.longest > 0 && many.longest > 0, "nothing was counted");
    check!(few.is_whole && many.is_whole, "the thread gave up its cpu");
    for (count, counted) in COUNTS.iter().zip(counted) {
        let IrqsOff { longest, longest_end, .. } = counted;
        check!(longest <= MOST, "{what}: {longest} instructions for {count} threads, until {longest_end:#x}");
    }
    Ok(())
}

fn check(holds: bool, what: &str) -> TestResult {
    if holds { Ok(()) } else { Err(Stopped::Failed(what.into())) }
}

/// Starts `count` threads that `work`, of each weight in turn. They stay on `cpus`: where other CPUs take part, waiting for
/// their locks is counted too.
fn start(
    count: usize,
    cpus: CpuMask,
    work: impl Fn() + Clone + Send + 'static,
) -> Result<Vec<JoinHandle>, Stopped> {
    let start = |number: usize| {
        let nice = Nice::new((number % 20) as i8).unwrap_or_default();
        Spawn::new(NAME).on(cpus).nice(nice).start(work.clone())
    };
    let threads: Result<Vec<_>, _> = (0..count).map(start).collect();
    threads.map_err(|error| Stopped::Failed(alloc::format!("{error}")))
}

/// Waits until `count` threads of the test are in one of `states`.
fn are_in(states: &[ThreadState], count: usize) -> bool {
    let is_one = |report: &snapshot::ThreadReport| report.name() == NAME && states.contains(&report.state);
    within_20_s(|| snapshot::threads().filter(is_one).count() == count)
}

/// Held by another CPU for a while.
static HELD: IrqSpinLock<()> = IrqSpinLock::new(());

const BLOCKED: &[ThreadState] = &[ThreadState::Blocked, ThreadState::Sleeping];

kernel_tests! { "irqs_off":
    fn a_mutex_is_released_as_fast_with_many_waiting_threads() needs(Cpus(4), MostCpus(4), MemoryMib(400), Release) {
        let [here, _] = prepare()?;
        let mut counted = Vec::new();
        for count in COUNTS {
            let mutex = Arc::new(Mutex::new(0_usize));
            let guard = mutex.lock();
            let own = mutex.clone();
            let threads = start(count, CpuMask::single(here), move || *own.lock() += 1)?;
            check!(are_in(BLOCKED, count), "not all of {count} threads wait");
            counted.push(count_irqs_off(|| drop(guard)));
            threads.into_iter().for_each(JoinHandle::join);
            check!(*mutex.lock() == count);
        }
        judge("release of a mutex", [counted[0], counted[1]])?;
        check!(counted[1].longest <= counted[0].longest * 3 / 2, "it grows: {counted:?}");
    }

    fn threads_are_woken_one_at_a_time() needs(Cpus(4), MostCpus(4), MemoryMib(400), Release) {
        let [here, _] = prepare()?;
        let mut counted = Vec::new();
        for count in COUNTS {
            let (queue, is_open) = (Arc::new(WaitQueue::new()), Arc::new(AtomicBool::new(false)));
            let (own, open) = (queue.clone(), is_open.clone());
            let threads = start(count, CpuMask::single(here), move || own.wait_until(|| open.load(SeqCst)))?;
            check!(are_in(BLOCKED, count), "not all of {count} threads wait");
            is_open.store(true, SeqCst);
            counted.push(count_irqs_off(|| queue.wake_all()));
            threads.into_iter().for_each(JoinHandle::join);
        }
        judge("wake-up of all", [counted[0], counted[1]])?;
        check!(counted[1].sections >= COUNTS[1] as u64, "{counted:?}");
    }

    /// What a CPU that goes offline has done to its deadlines.
    fn timers_of_another_cpu_move_a_few_at_a_time() needs(Cpus(4), MostCpus(4), MemoryMib(400), Release) {
        /// Time that no test takes.
        const FAR_NS: u64 = 1_000_000_000_000;
        let [_, last] = prepare()?;
        let mut counted = Vec::new();
        for count in COUNTS {
            let (queue, is_open) = (Arc::new(WaitQueue::new()), Arc::new(AtomicBool::new(false)));
            let (own, open) = (queue.clone(), is_open.clone());
            let deadline_ns = tsc::now_ns() + FAR_NS;
            let sleep = move || {
                own.wait_until_deadline(|| open.load(SeqCst), deadline_ns);
            };
            let threads = start(count, CpuMask::single(last), sleep)?;
            check!(are_in(BLOCKED, count), "not all of {count} threads sleep");
            counted.push(count_irqs_off(|| sched::move_deadlines(last)));
            is_open.store(true, SeqCst);
            queue.wake_all();
            threads.into_iter().for_each(JoinHandle::join);
        }
        judge("deadlines of another cpu", [counted[0], counted[1]])?;
        check!(counted[1].sections >= COUNTS[1] as u64 / 4, "{counted:?}");
    }

    fn timers_that_are_due_expire_a_few_at_a_time() needs(Cpus(4), MostCpus(4), MemoryMib(400), Release) {
        let [here, _] = prepare()?;
        let mut counted = Vec::new();
        for count in COUNTS {
            // A busy host may take longer to make the threads sleep than until their deadline: then that is later.
            let mut wait_ns = 200_000_000 + 2_000_000 * count as u64;
            let mut rounds = 0;
            let found = loop {
                let deadline_ns = tsc::now_ns() + wait_ns;
                let queue = Arc::new(WaitQueue::new());
                let threads = start(count, CpuMask::single(here), move || { queue.wait_until_deadline(|| false, deadline_ns); })?;
                let all_sleep = are_in(BLOCKED, count);
                let irq = IrqGuard::new();
                let is_in_time = tsc::now_ns() < deadline_ns;
                while tsc::now_ns() <= deadline_ns {
                    core::hint::spin_loop();
                }
                let found = count_irqs_off(sched::timer_interrupt);
                drop(irq);
                threads.into_iter().for_each(JoinHandle::join);
                if all_sleep && is_in_time {
                    break found;
                }
                wait_ns *= 2;
                rounds += 1;
                check!(rounds < 7, "{count} threads do not sleep in time");
            };
            counted.push(found);
        }
        judge("a timer interrupt", [counted[0], counted[1]])?;
        check!(counted[1].sections == 1, "{counted:?}");
    }

    fn a_queue_is_searched_a_few_threads_at_a_time() needs(Cpus(4), MostCpus(4), MemoryMib(400), Release) {
        let [here, other] = prepare()?;
        let mut counted = Vec::new();
        for count in COUNTS {
            let is_open = Arc::new(AtomicBool::new(false));
            let open = is_open.clone();
            let threads = start(count, CpuMask::single(here), move || while !open.load(SeqCst) { sched::yield_now(); })?;
            check!(are_in(&[ThreadState::Ready], count), "not all of {count} threads are queued");
            let irq = IrqGuard::new();
            let (moved, next) = (threads[count - 1].thread(), CpuMask::single(other));
            check!(sched::set_affinity(moved, &next).is_ok());
            counted.push(count_irqs_off(sched::reschedule_interrupt));
            drop(irq);
            let is_moved = |report: snapshot::ThreadReport| report.tid() == moved.tid() && report.cpu == other;
            let has_moved = within_20_s(|| snapshot::threads().any(is_moved));
            is_open.store(true, SeqCst);
            threads.into_iter().for_each(JoinHandle::join);
            check!(has_moved, "a thread stays where it may not run, among {count}");
        }
        judge("a search for misplaced threads", [counted[0], counted[1]])?;
        check!(counted[1].sections == 1, "{counted:?}");
    }

    /// A CPU that the host stops may hold a lock for long.
    fn spinning_for_a_lock_is_not_counted() needs(Cpus(4), MostCpus(4), Release) {
        /// In which the calling CPU would count many times as much as is allowed.
        const HOLD_ROUNDS: usize = 500_000;
        let [_, other] = prepare()?;
        let is_held = Arc::new(AtomicBool::new(false));
        let held = is_held.clone();
        let holder = Spawn::new(NAME).on(CpuMask::single(other)).start(move || {
            let guard = HELD.lock();
            held.store(true, SeqCst);
            (0..HOLD_ROUNDS).for_each(|_| core::hint::spin_loop());
            drop(guard);
        });
        let holder = holder.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        while !is_held.load(SeqCst) {
            sched::yield_now();
        }
        let counted = count_irqs_off(|| drop(HELD.lock()));
        holder.join();
        judge("a lock of another cpu", [counted, counted])?;
        check!(counted.sections == 1, "{counted:?}");
    }

    /// What an idle CPU does while another one has many threads that may not move.
    fn all_threads_are_searched_a_few_at_a_time() needs(Cpus(4), MostCpus(4), MemoryMib(400), Release) {
        let [_, other] = prepare()?;
        let mut counted = Vec::new();
        for count in COUNTS {
            let is_open = Arc::new(AtomicBool::new(false));
            let open = is_open.clone();
            let threads = start(count, CpuMask::single(other), move || while !open.load(SeqCst) { core::hint::spin_loop(); })?;
            let queued = || snapshot::cpu_reports().any(|report| report.cpu == other && report.nr_queued as usize + 1 >= count);
            check!(within_20_s(queued), "not all of {count} threads are queued");
            counted.push(count_irqs_off(sched::search_as_idle));
            is_open.store(true, SeqCst);
            threads.into_iter().for_each(JoinHandle::join);
        }
        judge("a search for threads to steal", [counted[0], counted[1]])?;
        check!(counted[1].sections >= 100, "{counted:?}");
    }
}
