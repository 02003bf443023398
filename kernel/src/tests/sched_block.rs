//! Mutexes, semaphores and deadlines.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use runqueue::{CpuMask, Nice, SLICE_NS};

use super::sched_share::a_quota;
use super::spinners::Spinners;
use super::wait::{reaches_state, within_20_s};
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::{percpu, tsc};
use crate::bench::threads::{Stop, Threads};
use crate::debug::ktest::Stopped;
use crate::sched::group::Group;
use crate::sched::mutex::{Mutex, TimedOut};
use crate::sched::snapshot::ThreadState;
use crate::sched::wait::{Completion, Semaphore, WaitQueue};
use crate::sched::{self, JoinHandle, Spawn, SpawnError, Thread};
use crate::{check, kernel_tests};

fn started(thread: Result<JoinHandle, SpawnError>) -> Result<JoinHandle, Stopped> {
    thread.map_err(|error| Stopped::Failed(alloc::format!("{error}")))
}

fn last_cpu() -> CpuMask {
    CpuMask::single(percpu::all().filter(|cpu| cpu.is_online()).last().map_or(0, |cpu| cpu.id().index()))
}

kernel_tests! { "sched":
    /// The last holder of an ended thread's record may drop it under any lock, as mutexes hold owners and donees.
    fn an_ended_thread_is_freed_anywhere() {
        static LOCK: IrqSpinLock<Option<Arc<Thread>>> = IrqSpinLock::of(LockClass::MUTEX_STATE, None);
        let ended = started(sched::spawn("test/ended", || ()))?;
        *LOCK.lock() = Some(ended.thread().clone());
        ended.join();
        sched::reap_all_exited();
        let mut last = LOCK.lock();
        let count = last.as_ref().map_or(0, Arc::strong_count);
        *last = None;
        drop(last);
        check!(count == 1, "{count} others hold it");
    }

    /// Read, yield, write: without the lock, counts get lost.
    fn a_mutex_excludes() {
        const ROUNDS: u64 = 300;
        let count = Arc::new(Mutex::new(0u64));
        let mut threads = Vec::new();
        for _ in 0..6 {
            let count = count.clone();
            threads.push(started(sched::spawn("test/counter", move || {
                for _ in 0..ROUNDS {
                    let mut count = count.lock();
                    let before = *count;
                    sched::yield_now();
                    *count = before + 1;
                }
            }))?);
        }
        threads.into_iter().for_each(JoinHandle::join);
        let count = *count.lock();
        check!(count == 6 * ROUNDS, "{count} of {}", 6 * ROUNDS);
    }

    fn a_held_mutex_is_not_available() {
        let mutex = Arc::new(Mutex::new(()));
        let held = mutex.lock();
        check!(mutex.try_lock().is_none());
        let other = mutex.clone();
        let timed_out = Arc::new(AtomicBool::new(false));
        let slot = timed_out.clone();
        started(sched::spawn("test/late", move || {
            let result = other.lock_until(tsc::now_ns() + 2_000_000);
            slot.store(matches!(result, Err(TimedOut)), SeqCst);
        }))?.join();
        check!(timed_out.load(SeqCst), "it had two owners");
        drop(held);
        check!(mutex.lock_until(tsc::now_ns() + 1_000_000_000).is_ok(), "the thread that gave up still waits for it");
        check!(mutex.try_lock().is_some());
    }

    /// A light thread holds the lock, a load keeps it from running, a heavy thread waits: without a donation, the light one
    /// makes no progress.
    fn the_owner_of_a_mutex_gets_donations() needs(CountedTime) {
        let mutex = Arc::new(Mutex::new(()));
        let (holds, wanted_ns) = (Arc::new(AtomicBool::new(false)), 60_000_000);
        let (lock, told) = (mutex.clone(), holds.clone());
        let holder = started(Spawn::new("test/holder").on(last_cpu()).nice(Nice::MAX).start(move || {
            let guard = lock.lock();
            told.store(true, SeqCst);
            let start_ns = sched::current().cpu_time_ns();
            while sched::current().cpu_time_ns() - start_ns < wanted_ns {
                super::spinners::work();
            }
            drop(guard);
        }))?;
        while !holds.load(SeqCst) {
            sched::sleep_ns(100_000);
        }
        let mut load = Spinners::new();
        load.start(Spawn::new("test/load").on(last_cpu()))?;
        let before_ns = load.threads()[0].thread().cpu_time_ns();
        drop(mutex.lock());
        let load_ns = load.threads()[0].thread().cpu_time_ns() - before_ns;
        holder.join();
        // With its own weight, the holder would leave the load 68 times its own time. With the donation they take turns, and
        // the waiter is next once the lock is released.
        let most_ns = wanted_ns + 4 * SLICE_NS;
        check!(load_ns < most_ns, "the load ran {load_ns} ns while the holder needed {wanted_ns}");
    }

    /// The owner of a mutex is throttled for an hour, and runs on as soon as a thread waits for it, until it has unlocked.
    fn a_throttled_owner_runs_until_it_unlocks() {
        const NEEDED_NS: u64 = 60_000_000;
        let group = Group::new("test", Some(a_quota(5_000_000, 3_600_000_000_000)));
        let mutex = Arc::new(Mutex::new(()));
        let [holds, go] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let at_unlock = Arc::new(AtomicU64::new(0));
        let mut threads = Threads::with_capacity(1);
        let (held, counted, of) = (mutex.clone(), at_unlock.clone(), group.clone());
        let (now_holds, may_go) = (holds.clone(), go.clone());
        let owns = move |stop: Stop| {
            let guard = held.lock();
            now_holds.store(true, SeqCst);
            while !may_go.load(SeqCst) && !stop.is_set() {
                core::hint::spin_loop();
            }
            let used = || sched::current().cpu_time_ns();
            let before_ns = used();
            while used() - before_ns < NEEDED_NS && !stop.is_set() {
                core::hint::spin_loop();
            }
            counted.store(of.usage().throttled, SeqCst);
            drop(guard);
            while !stop.is_set() {
                core::hint::spin_loop();
            }
        };
        let owner = threads.start(Spawn::new("test/owner").group(&group), owns);
        owner.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        let owner = threads.handles()[0].thread().clone();
        // On a slow machine the quota is used up before the thread has the mutex.
        sched::donate_weight(owner.clone());
        let is_owner = within_20_s(|| holds.load(SeqCst));
        sched::withdraw_donation();
        let is_throttled = reaches_state(&owner, ThreadState::Throttled);
        let before = group.usage().throttled;
        go.store(true, SeqCst);
        let is_unlocked = mutex.lock_until(tsc::now_ns() + 20_000_000_000).is_ok();
        let is_throttled_again = reaches_state(&owner, ThreadState::Throttled);
        // It would end in an hour.
        sched::donate_weight(owner);
        drop(threads);
        sched::withdraw_donation();
        check!(is_owner && is_throttled, "the owner is not throttled: {is_owner} {is_throttled}");
        check!(is_unlocked, "the owner does not run while another thread waits for it");
        let times = at_unlock.load(SeqCst);
        check!(times == before, "the owner was throttled {times} times until it unlocked, should be {before}");
        check!(is_throttled_again, "it is not throttled any more");
    }

    /// A thread whose group has used up its quota ends while another waits for it, which takes the CPU before the ended thread
    /// has left its stack, and waits no more. The quota must not keep the stack for the hour that is left.
    fn an_ended_thread_is_freed_beyond_its_quota() {
        let here = CpuMask::single(sched::online_cpus().first().unwrap_or(0));
        let before = sched::current().allowed();
        check!(sched::set_affinity(sched::current(), &here).is_ok());
        let group = Group::new("test", Some(a_quota(1_000_000, 3_600_000_000_000)));
        let mut all_freed = true;
        for round in 0..20 {
            let mut threads = Threads::with_capacity(1);
            let spins = |stop: Stop| {
                while !stop.is_set() {
                    core::hint::spin_loop();
                }
            };
            let started = threads.start(Spawn::new("test/ended").on(here).group(&group), spins);
            started.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
            let is_throttled = within_20_s(|| group.usage().throttled > round);
            let ended = Arc::downgrade(threads.handles()[0].thread());
            sched::donate_weight(threads.handles()[0].thread().clone());
            drop(threads);
            sched::withdraw_donation();
            check!(is_throttled, "the thread is not throttled in round {round}");
            all_freed = within_20_s(|| ended.upgrade().is_none());
            if !all_freed {
                break;
            }
        }
        check!(sched::set_affinity(sched::current(), &before).is_ok());
        check!(all_freed, "an ended thread was not freed");
    }

    /// Of several waiters the heaviest counts, and one that gives up leaves the donations of the others. So it is along an
    /// inheritance chain, where each owner of a mutex waits for the next one.
    fn a_waiter_that_gives_up_withdraws_only_its_donation() {
        let (first, second) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
        let (go, holding) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        // An ended thread has another level.
        let leave = Arc::new(Completion::new());
        // Holds the second mutex, in the idle class.
        let end = {
            let (second, go, holding, leave) = (second.clone(), go.clone(), holding.clone(), leave.clone());
            started(Spawn::new("test/end").idle_class().start(move || {
                let guard = second.lock();
                holding.release();
                go.acquire();
                drop(guard);
                leave.wait();
            }))?
        };
        holding.acquire();
        // Holds the first mutex, and waits for the second.
        let middle = {
            let (first, second, holding, leave) = (first.clone(), second.clone(), holding.clone(), leave.clone());
            started(Spawn::new("test/middle").nice(Nice::MAX).start(move || {
                let first = first.lock();
                holding.release();
                drop(second.lock());
                drop(first);
                leave.wait();
            }))?
        };
        holding.acquire();
        // Two threads wait for the first mutex: one of default weight, and a heavy one that gives up.
        let patient = {
            let first = first.clone();
            started(Spawn::new("test/patient").start(move || drop(first.lock())))?
        };
        let levels = || (middle.thread().level(), end.thread().level());
        let comes_to = |wanted| within_20_s(|| levels() == wanted);
        let patient_alone = comes_to((Some(Nice::DEFAULT), Some(Nice::DEFAULT)));
        let seen = Arc::new(AtomicBool::new(false));
        let hasty = {
            let (first, seen) = (first.clone(), seen.clone());
            started(Spawn::new("test/hasty").nice(Nice::MIN).start(move || {
                while !seen.load(SeqCst) {
                    drop(first.lock_until(tsc::now_ns() + 20_000_000));
                }
            }))?
        };
        let both = comes_to((Some(Nice::MIN), Some(Nice::MIN)));
        seen.store(true, SeqCst);
        hasty.join();
        let one_left = comes_to((Some(Nice::DEFAULT), Some(Nice::DEFAULT)));
        // A waiter's new level is passed on.
        let heavier = Nice::new(-7).unwrap_or_default();
        sched::set_nice(patient.thread(), heavier);
        let renewed = comes_to((Some(heavier), Some(heavier)));
        go.release();
        patient.join();
        let own = comes_to((Some(Nice::MAX), None));
        let last = levels();
        leave.complete();
        end.join();
        middle.join();
        check!(patient_alone && both && one_left && renewed, "{patient_alone} {both} {one_left} {renewed}");
        check!(own, "{last:?} in the end");
    }

    /// Any number of threads may join one, at any time.
    fn a_thread_may_be_joined_twice() {
        let may_end = Arc::new(Semaphore::new(0));
        let wanted = may_end.clone();
        let thread = started(sched::spawn("test/joined", move || wanted.acquire()))?;
        let (early, late) = (thread.clone(), thread);
        let joiner = started(sched::spawn("test/joiner", move || early.join()))?;
        may_end.release();
        joiner.join();
        late.clone().join();
        late.join();
    }

    fn a_semaphore_counts() {
        let permits = Arc::new(Semaphore::new(2));
        permits.acquire();
        check!(permits.try_acquire());
        check!(!permits.try_acquire(), "three of two");
        check!(!permits.acquire_until(tsc::now_ns() + 1_000_000), "three of two, after waiting");
        let waiting = permits.clone();
        let waiter = started(sched::spawn("test/permit", move || waiting.acquire()))?;
        permits.release();
        waiter.join();
        permits.release();
        check!(permits.acquire_until(tsc::now_ns() + 10_000_000_000));
    }

    fn waiting_with_a_deadline_ends() {
        let queue = WaitQueue::new();
        let start_ns = tsc::now_ns();
        check!(!queue.wait_until_deadline(|| false, start_ns + 3_000_000));
        check!(tsc::now_ns() >= start_ns + 3_000_000, "too early");
        check!(queue.wait_until_deadline(|| true, 0));
        // No thread is left in the queue: waking finds none.
        queue.wake_all();
    }
}
