//! Threads start, migrate, block, are woken, preempted, joined and freed.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use runqueue::CpuMask;

use super::wait::Patience;
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::{percpu, tsc};
use crate::bench::threads::{Stop, Threads};
use crate::sched::wait::{Completion, WaitQueue};
use crate::sched::{self, SpawnError};
use crate::{check, kernel_tests};

/// Runs `work` on a thread bound to CPU `cpu` and returns what it returns.
pub fn on_cpu<T: Send + 'static>(cpu: usize, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let result = Arc::new(IrqSpinLock::new(None));
    let slot = result.clone();
    let thread = sched::spawn_on(CpuMask::single(cpu), "test/bound", move || {
        let value = work();
        *slot.lock() = Some(value);
    });
    thread.ok()?.join();
    result.lock().take()
}

fn online() -> Vec<usize> {
    percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.id().index()).collect()
}

kernel_tests! { "sched":
    fn threads_run_and_are_joined() needs(MemoryMib(16)) {
        // Memory for all stacks at once, in case no thread has ended before the last one begins.
        let sum = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..64u64)
            .map(|number| {
                let sum = sum.clone();
                sched::spawn("test/sum", move || { sum.fetch_add(number, SeqCst); })
            })
            .collect();
        for thread in threads {
            match thread {
                Ok(thread) => thread.join(),
                Err(error) => check!(false, "{error}"),
            }
        }
        check!(sum.load(SeqCst) == 63 * 64 / 2, "sum is {}", sum.load(SeqCst));
    }

    fn ended_threads_give_everything_back() {
        let round = || {
            for _ in 0..50 {
                if let Ok(thread) = sched::spawn("test/short", || {}) {
                    thread.join();
                    // The next thread reuses this one's stack.
                    sched::reap_all_exited();
                }
            }
        };
        round();
        let (heap_before, pages_before) = (crate::mm::heap::usage().0, crate::mm::stats::free_pages());
        round();
        let (heap_after, pages_after) = (crate::mm::heap::usage().0, crate::mm::stats::free_pages());
        check!(heap_after <= heap_before, "heap grew from {heap_before} to {heap_after} bytes");
        check!(pages_after == pages_before, "free pages went from {pages_before} to {pages_after}");
    }

    fn affinity_is_kept() {
        for cpu in online() {
            let seen = on_cpu(cpu, move || {
                (0..20).all(|_| {
                    sched::yield_now();
                    sched::sleep_ns(100_000);
                    percpu::this_cpu().id().index() == cpu
                })
            });
            check!(seen == Some(true), "a thread bound to cpu {cpu} ran elsewhere");
        }
    }

    fn no_cpu_to_run_on_is_an_error() {
        let result = sched::spawn_on(CpuMask::EMPTY, "test/nowhere", || {});
        check!(result.err() == Some(SpawnError::NoSuchCpu));
    }

    /// Two threads share a CPU, and one of them never blocks or yields.
    fn a_spinning_thread_is_preempted() {
        let stop = Arc::new(AtomicBool::new(false));
        let spinner_stop = stop.clone();
        let cpu = online().last().copied().unwrap_or(0);
        let spinner = sched::spawn_on(CpuMask::single(cpu), "test/spinner", move || {
            while !spinner_stop.load(SeqCst) {
                core::hint::spin_loop();
            }
        });
        let progressed = on_cpu(cpu, || true);
        stop.store(true, SeqCst);
        if let Ok(spinner) = spinner {
            spinner.join();
        }
        check!(progressed == Some(true));
    }

    fn idle_cpus_steal_threads() needs(Cpus(2)) {
        let cpus = online();
        // More threads than CPUs. Each spins until every CPU was seen: on one CPU alone they would never end.
        let seen: Arc<Vec<AtomicBool>> = Arc::new(cpus.iter().map(|_| AtomicBool::new(false)).collect());
        let threads: Vec<_> = (0..2 * cpus.len())
            .map(|_| {
                let seen = seen.clone();
                sched::spawn("test/spread", move || {
                    let all = || seen.iter().all(|seen| seen.load(SeqCst));
                    let mut patience = Patience::new(20_000_000_000);
                    while !all() && patience.lasts() {
                        seen[percpu::this_cpu().id().index()].store(true, SeqCst);
                        core::hint::spin_loop();
                    }
                })
            })
            .collect();
        for thread in threads.into_iter().flatten() {
            thread.join();
        }
        let missing = seen.iter().position(|seen| !seen.load(SeqCst));
        check!(missing.is_none(), "no thread was ever seen on cpu {missing:?}");
    }

    /// Threads on different CPUs wake each other in turn: a lost wake-up hangs the test.
    fn no_wake_up_is_lost() {
        const ROUNDS: u64 = 2000;
        struct Table {
            turn: AtomicU64,
            queue: WaitQueue,
        }
        let table = Arc::new(Table { turn: AtomicU64::new(0), queue: WaitQueue::new() });
        let players: Vec<_> = (0..3u64)
            .map(|player| {
                let table = table.clone();
                sched::spawn("test/player", move || {
                    for round in 0..ROUNDS {
                        let mine = round * 3 + player;
                        table.queue.wait_until(|| table.turn.load(SeqCst) == mine);
                        table.turn.store(mine + 1, SeqCst);
                        table.queue.wake_all();
                    }
                })
            })
            .collect();
        for player in players.into_iter().flatten() {
            player.join();
        }
        check!(table.turn.load(SeqCst) == 3 * ROUNDS);
    }

    fn wake_one_wakes_one() {
        struct Gate { open: AtomicUsize, passed: AtomicUsize, queue: WaitQueue }
        let gate = Arc::new(Gate { open: AtomicUsize::new(0), passed: AtomicUsize::new(0), queue: WaitQueue::new() });
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let gate = gate.clone();
                sched::spawn("test/gate", move || {
                    // Takes a ticket.
                    gate.queue.wait_until(|| {
                        gate.open.fetch_update(SeqCst, SeqCst, |open| open.checked_sub(1)).is_ok()
                    });
                    gate.passed.fetch_add(1, SeqCst);
                })
            })
            .collect();
        for expected in 1..=4 {
            gate.open.fetch_add(1, SeqCst);
            gate.queue.wake_one();
            // The thread that takes the ticket found it before it slept, or was woken for it. No other thread is woken.
            while gate.passed.load(SeqCst) < expected {
                sched::yield_now();
            }
            check!(gate.passed.load(SeqCst) == expected, "{} passed", gate.passed.load(SeqCst));
        }
        for thread in threads.into_iter().flatten() {
            thread.join();
        }
    }

    /// An ended thread of the idle class leaves its stack only when the thread that waits for that blocks.
    fn ended_threads_of_the_idle_class_are_waited_for() {
        let here = online()[0];
        let before = sched::current().allowed();
        check!(sched::set_affinity(sched::current(), &CpuMask::single(here)).is_ok());
        for _ in 0..20 {
            let thread = sched::Spawn::new("test/idle").on(CpuMask::single(here)).idle_class().start(|| ());
            let Ok(thread) = thread else { break };
            let ended = Arc::downgrade(thread.thread());
            // Its end wakes this thread, which takes the CPU before the other has left it.
            thread.join();
            sched::reap_all_exited();
            check!(ended.upgrade().is_none(), "an ended thread was not freed");
        }
        check!(sched::set_affinity(sched::current(), &before).is_ok());
    }

    /// The first threads are stopped where a later one cannot be started: one that parks, and one that spins.
    fn threads_end_with_the_work_that_needs_them() {
        let ended = Arc::new(AtomicUsize::new(0));
        let start_all = || -> Result<(), SpawnError> {
            let mut threads = Threads::with_capacity(2);
            for parks in [true, false] {
                let ended = ended.clone();
                threads.start(sched::Spawn::new("test/left"), move |stop: Stop| {
                    while !stop.is_set() {
                        if parks { sched::park(None) } else { core::hint::spin_loop() }
                    }
                    ended.fetch_add(1, SeqCst);
                })?;
            }
            threads.start(sched::Spawn::new("test/impossible").on(CpuMask::EMPTY), |_| ())
        };
        check!(start_all() == Err(SpawnError::NoSuchCpu));
        check!(ended.load(SeqCst) == 2, "{} threads of two have ended", ended.load(SeqCst));
    }

    fn a_completion_wakes_all() {
        let done = Arc::new(Completion::new());
        let waiters: Vec<_> = (0..8)
            .map(|_| {
                let done = done.clone();
                sched::spawn("test/waiter", move || done.wait())
            })
            .collect();
        sched::sleep_ns(1_000_000);
        check!(!done.is_complete());
        done.complete();
        for waiter in waiters.into_iter().flatten() {
            waiter.join();
        }
    }

    fn an_unpark_before_the_park_is_remembered() {
        sched::unpark(sched::current());
        // Without the token this would never return.
        sched::park(None);
    }

    /// Deadlines race with wake-ups; neither may wake a thread twice or never.
    fn deadlines_and_wake_ups_race() {
        let thread = sched::spawn("test/racer", || {
            for round in 0..2000u64 {
                sched::park(Some(tsc::now_ns() + round % 50 * 1000));
            }
        });
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => return Err(crate::debug::ktest::Stopped::Failed(alloc::format!("{error}"))),
        };
        let done = Arc::new(AtomicBool::new(false));
        let target = thread.clone();
        let is_done = done.clone();
        let waker = sched::spawn("test/waker", move || {
            while !is_done.load(SeqCst) {
                sched::unpark(target.thread());
                sched::yield_now();
            }
        });
        thread.join();
        done.store(true, SeqCst);
        if let Ok(waker) = waker {
            waker.join();
        }
    }

    fn cpu_time_is_counted_for_its_user() {
        let spin_ns = 30_000_000;
        let used = on_cpu(0, move || {
            // At least one sleep at whose beginning and end the host does not steal the CPU.
            let sleep = |_| {
                let start = sched::current().cpu_time_ns();
                sched::sleep_ns(spin_ns);
                sched::current().cpu_time_ns() - start
            };
            let slept = (0..10).map(sleep).find(|slept| *slept < spin_ns).unwrap_or(u64::MAX);
            let start = sched::current().cpu_time_ns();
            while sched::current().cpu_time_ns() - start < spin_ns {
                core::hint::spin_loop();
            }
            (slept, sched::current().cpu_time_ns())
        });
        let Some((slept, total)) = used else {
            return Err(crate::debug::ktest::Stopped::Failed("no thread".into()));
        };
        check!(slept < spin_ns, "{slept} ns of cpu time for a sleep of {spin_ns} ns");
        check!(total >= spin_ns, "{total} ns of cpu time for {spin_ns} ns of spinning");
    }
}
