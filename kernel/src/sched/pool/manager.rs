//! The manager of the pools: starts workers where items wait, and retires idle ones.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use workpool::Help;

use super::item::Handle;
use super::manager_signal;
use super::registry;
use super::worker::{donate_to_current, with_attrs};
use super::worker_pool::Pool;
use crate::arch::irq::IrqGuard;
use crate::arch::tsc;
use crate::console::warning;
use crate::sched::park::unpark;
use crate::sched::spawn::{Spawn, SpawnError};
use crate::sched::thread::{self, Thread};

/// Time after which the manager looks again at a pool in which items wait. Its workers may be blocked by then, or there
/// may be memory for another worker.
const RETRY_NS: u64 = 10_000_000;

/// Starts the manager's thread.
pub(super) fn start() -> Result<(), SpawnError> {
    let handle = Spawn::new("pools").start(|| {
        loop {
            manager_signal::begin_look();
            let next_look_ns = registry::all().iter().filter_map(look).min();
            manager_signal::park_unless_wanted(next_look_ns);
        }
    })?;
    manager_signal::set_manager(handle.thread().clone());
    Ok(())
}

/// Starts and retires workers of `pool`. Returns when to look again.
fn look(pool: &'static Pool) -> Option<u64> {
    pool.update_limits();
    while let Some(help) = help(pool) {
        let Help::Start { worker, level } = help else { continue };
        match pool.spawn_worker(worker, level) {
            Ok(()) => {}
            Err(error) if !run_in_place_of(pool, worker, error) => break,
            Err(_) => {}
        }
    }
    while let Some(thread) = retire_idle(pool) {
        unpark(&thread);
    }
    pool.state.lock().next_look_ns(tsc::now_ns(), RETRY_NS)
}

/// Finds a worker for items that wait, if the pool needs one, and wakes it if it is idle.
fn help(pool: &Pool) -> Option<Help> {
    // The locks are not released in the reverse order of taking them.
    let _irq = IrqGuard::new();
    let mut state = pool.state.lock();
    let is_blocked = |worker: &usize| {
        let thread = pool.threads[*worker].lock();
        thread.as_ref().is_some_and(|thread| thread.park.is_parked())
    };
    let blocked = if state.should_count_blocked() { state.busy().filter(is_blocked).count() } else { 0 };
    let help = state.help(blocked)?;
    if let Help::Wake { worker, level } = help {
        pool.wake_called(state, worker, level);
    }
    Some(help)
}

/// Retires the worker that has been idle longest, if its time is up. It leaves when it is woken.
fn retire_idle(pool: &Pool) -> Option<Arc<Thread>> {
    let worker = pool.state.lock().retire_idle(tsc::now_ns())?;
    pool.thread_of(worker)
}

/// Copes with the failure to start the thread of `worker`. If the pool has other workers, they take its items. If it
/// has none, the manager runs one item itself. Returns false if nothing more can be done now.
///
/// An item that the manager runs may wait for another one that needs a worker. It then waits until there is memory for
/// a worker.
fn run_in_place_of(pool: &'static Pool, worker: usize, error: SpawnError) -> bool {
    static HAS_WARNED: AtomicBool = AtomicBool::new(false);
    if !HAS_WARNED.swap(true, SeqCst) {
        warning(format_args!("cannot start a worker for pool {}: {error}; work takes longer", pool.name()));
    }
    let irq = IrqGuard::new();
    let mut state = pool.state.lock();
    if state.alive() > 1 {
        drop(state);
        pool.start_failed(worker);
        return false;
    }
    // Before the item begins: a thread that asks for its worker then finds the manager.
    let slot = &pool.threads[worker];
    *slot.lock() = Some(thread::current().arc());
    let rescued = state.rescue(worker, |Handle(item)| item.work().begin_by(worker));
    drop(state);
    let Some(handle) = rescued else {
        *slot.lock() = None;
        return false;
    };
    let (item, attrs) = with_attrs(handle);
    donate_to_current(&item);
    drop(irq);
    pool.run(&item, attrs.group);
    *slot.lock() = None;
    pool.state.lock().end_rescue(worker);
    pool.wake_flushers();
    true
}
