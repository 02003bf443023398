//! Chaos finds a race that ordinary runs do not.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use params::registry::CHAOS_SEED;
use runqueue::CpuMask;

use crate::arch::percpu;
use crate::arch::spin_lock::IrqSpinLock;
use crate::debug::chaos;
use crate::debug::ktest::Stopped;
use crate::sched::{self, Thread};
use crate::{check, kernel_tests, skip_if};

/// Most seeds that are tried, and rounds with each.
const SEEDS: u32 = 1000;
const ROUNDS: u32 = 8;

/// An event that threads wait for, with a choice between a wait that is right and one that is wrong.
struct Event {
    has_happened: AtomicBool,
    waiters: IrqSpinLock<Vec<Arc<Thread>>>,
    /// Whether a waiter looks again once it is in the list. If not, the event between look and list wakes no thread.
    looks_again: bool,
}

impl Event {
    fn wait(&self) {
        if self.has_happened.load(SeqCst) {
            return;
        }
        self.waiters.lock().push(sched::current_arc());
        // The waker finds this thread in the list, or this thread finds that the event has happened.
        if !self.looks_again || !self.has_happened.load(SeqCst) {
            sched::park(None);
        }
    }

    fn happen(&self) {
        self.has_happened.store(true, SeqCst);
        self.wake_all();
    }

    fn wake_all(&self) {
        let waiters = core::mem::take(&mut *self.waiters.lock());
        waiters.iter().for_each(|thread| _ = sched::unpark(thread));
    }
}

/// Has a thread wait and another one cause the event, both on the same CPU. Returns whether the wake-up was lost: the causer
/// has ended, and the waiter is in the list, where nothing will wake it.
fn loses_a_wake_up(looks_again: bool) -> Result<bool, Stopped> {
    let text = |error| Stopped::Failed(format!("{error}"));
    let cpu = CpuMask::single(percpu::this_cpu().id().index());
    let waiters = IrqSpinLock::new(Vec::new());
    let event = Arc::new(Event { has_happened: AtomicBool::new(false), waiters, looks_again });
    let is_over = Arc::new(AtomicBool::new(false));
    let (waited, ended, caused) = (event.clone(), is_over.clone(), event.clone());
    let waiter = sched::spawn_on(cpu, "test/waiter", move || {
        waited.wait();
        ended.store(true, SeqCst);
    });
    let waiter = waiter.map_err(text)?;
    let causer = sched::spawn_on(cpu, "test/causer", move || event.happen()).map_err(text)?;
    causer.join();
    let is_listed = || !caused.waiters.lock().is_empty();
    while !is_over.load(SeqCst) && !is_listed() {
        sched::sleep_ns(20_000);
    }
    // A waiter that looks again may be between list and look.
    let is_lost = !looks_again && is_listed();
    caused.wake_all();
    waiter.join();
    Ok(is_lost)
}

/// Runs rounds, under chaos with each of the seeds `seeds`; returns the seed and the number of the first round that loses a
/// wake-up.
fn first_loss(
    seeds: impl Iterator<Item = Option<u32>>,
    looks_again: bool,
) -> Result<Option<(Option<u32>, u32)>, Stopped> {
    for seed in seeds {
        // All rounds in one sequence of decisions: a new one for each would repeat the first.
        let lost = chaos::under(seed, || {
            for round in 1..=ROUNDS {
                if loses_a_wake_up(looks_again)? {
                    return Ok(Some(round));
                }
            }
            Ok(None)
        })?;
        if let Some(round) = lost {
            return Ok(Some((seed, round)));
        }
    }
    Ok(None)
}

kernel_tests! { "chaos":
    /// The wrong wait loses no wake-up in as many rounds without chaos. With the right wait, chaos finds nothing. Time is counted,
    /// so the result does not depend on the host.
    fn a_lost_wake_up_is_found_under_chaos_alone() needs(CountedTime, Debug) {
        skip_if!(CHAOS_SEED.get().is_some(), "chaos.seed is set");
        let Some((Some(seed), round)) = first_loss((1..=SEEDS).map(Some), false)? else {
            return Err(Stopped::Failed(format!("none of {SEEDS} seeds lost a wake-up")));
        };
        log::info!("chaos: seed {seed} loses a wake-up in round {round}");
        let found = first_loss((0..seed).map(|_| None), false)?;
        check!(found.is_none(), "lost without chaos, in round {found:?}");
        let found = first_loss((1..=seed).map(Some), true)?;
        check!(found.is_none(), "the right wait lost a wake-up: seed and round are {found:?}");
    }
}
