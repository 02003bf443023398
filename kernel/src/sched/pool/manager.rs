//! The manager of the pools: makes workers where items wait, and retires idle ones.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use params::registry::FAULT_WORKER_SPAWN;
use spin::Once;

use super::item::Handle;
use super::{Pool, all, begun};
use crate::arch::tsc;
use crate::console::warning;
use crate::sched::park::{park, unpark};
use crate::sched::spawn::{Spawn, SpawnError};
use crate::sched::thread::{self, Thread};

/// How soon a pool in which items wait is looked at again: its workers may be blocked by then, or there may be memory for
/// one more.
const RETRY_NS: u64 = 10_000_000;

static MANAGER: Once<Arc<Thread>> = Once::new();
/// Somebody has woken the manager since it began to look. An item that it did itself, and that waited for something, may have
/// taken the wake-up for its own.
static WANTED: AtomicBool = AtomicBool::new(false);
/// Workers that were to be made so far, for fault injection.
static ASKED: AtomicU64 = AtomicU64::new(0);

pub(super) fn start() -> Result<(), SpawnError> {
    let handle = Spawn::new("pools").start(|| {
        loop {
            WANTED.store(false, SeqCst);
            let next_look_ns = all().iter().filter_map(look).min();
            if !WANTED.load(SeqCst) {
                park(next_look_ns);
            }
        }
    })?;
    MANAGER.call_once(|| handle.thread().clone());
    Ok(())
}

/// Has the manager look at all pools.
pub(super) fn wake() {
    WANTED.store(true, SeqCst);
    if let Some(manager) = MANAGER.get() {
        unpark(manager);
    }
}

/// Begins to count workers anew, for `fault.worker_spawn`.
pub fn restart_fault_count() {
    ASKED.store(0, SeqCst);
}

/// An error when there is to be no worker, by `fault.worker_spawn`.
pub(super) fn check_fault() -> Result<(), SpawnError> {
    let asked = ASKED.fetch_add(1, SeqCst) + 1;
    match FAULT_WORKER_SPAWN.get() {
        Some(first) if asked >= first => Err(SpawnError::NoStack),
        _ => Ok(()),
    }
}

/// Does what `pool` needs; returns when to look again.
fn look(pool: &'static Pool) -> Option<u64> {
    pool.update_limits();
    while let Some(worker) = missing(pool) {
        match pool.spawn_worker(worker) {
            Ok(()) => {}
            Err(error) if !cope_without(pool, worker, error) => break,
            Err(_) => {}
        }
    }
    while let Some(thread) = oldest_idle(pool) {
        unpark(&thread);
    }
    pool.state.lock().next_look_ns(tsc::now_ns(), RETRY_NS)
}

/// A worker that should be made.
fn missing(pool: &Pool) -> Option<usize> {
    let mut state = pool.state.lock();
    let is_blocked = |worker: &usize| {
        let thread = pool.threads[*worker].lock();
        thread.as_ref().is_some_and(|thread| thread.park.is_parked())
    };
    let blocked = if state.is_short() { state.busy().filter(is_blocked).count() } else { 0 };
    state.start(blocked)
}

/// A worker that is to leave; it does when it is woken.
fn oldest_idle(pool: &Pool) -> Option<Arc<Thread>> {
    let worker = pool.state.lock().retire_idle(tsc::now_ns())?;
    pool.thread_of(worker)
}

/// There is no thread for `worker`. If others work in `pool`, they will do; if there are none, one item is done here. False:
/// nothing more can be done now. (An item that is done here and waits for another that needs a worker waits until there is memory
/// for one.)
fn cope_without(pool: &'static Pool, worker: usize, error: SpawnError) -> bool {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, SeqCst) {
        warning(format_args!("no worker could be made for pool {}: {error}; work takes longer", pool.name()));
    }
    let mut state = pool.state.lock();
    if state.alive() > 1 {
        let called = state.start_failed(worker);
        drop(state);
        pool.wake_worker(called);
        return false;
    }
    // Before it begins: who asks for the worker that is at the item finds the manager.
    let slot = &pool.threads[worker];
    *slot.lock() = Some(thread::current().arc());
    let rescued = state.rescue(worker, |Handle(item)| item.work().begin_by(worker));
    drop(state);
    let Some(handle) = rescued else {
        *slot.lock() = None;
        return false;
    };
    let (item, attrs) = begun(handle);
    pool.run(&item, attrs.group);
    *slot.lock() = None;
    pool.state.lock().end_rescue(worker);
    pool.wake_flushers();
    true
}
