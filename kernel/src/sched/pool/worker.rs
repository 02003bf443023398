//! The threads of a worker pool.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use params::registry::FAULT_WORKER_SPAWN;
use runqueue::{CpuMask, Nice};
use spin::LazyLock;
use workpool::Next;

use super::item::{Handle, Item, WorkAttrs};
use super::manager_signal;
use super::worker_pool::Pool;
use crate::arch::irq::IrqGuard;
use crate::arch::tsc;
use crate::sched::affinity;
use crate::sched::donation::{end_donation, set_donee};
use crate::sched::group::Group;
use crate::sched::online_cpus;
use crate::sched::park::park;
use crate::sched::resched::reweigh;
use crate::sched::spawn::{Spawn, SpawnError};
use crate::sched::thread;

/// The nice level of an idle worker.
pub(super) const IDLE_NICE: Nice = Nice::MAX;

/// The workers' group. The time of an item is charged to the group that submitted it; this group keeps what workers
/// spend between items.
static WORKERS: LazyLock<Arc<Group>> = LazyLock::new(|| Group::new("workers", None));

/// Attempts to start a worker, for fault injection.
static ATTEMPTS: AtomicU64 = AtomicU64::new(0);

/// Restarts the count of attempts to start a worker, for `fault.worker_spawn`.
pub fn restart_fault_count() {
    ATTEMPTS.store(0, SeqCst);
}

/// Returns an error if `fault.worker_spawn` makes this attempt fail.
fn check_fault() -> Result<(), SpawnError> {
    let attempt = ATTEMPTS.fetch_add(1, SeqCst) + 1;
    match FAULT_WORKER_SPAWN.get() {
        Some(first) if attempt >= first => Err(SpawnError::NoStack),
        _ => Ok(()),
    }
}

impl Pool {
    /// Reserves a worker that is started before there is anything to do.
    pub(super) fn start_ahead(&self) -> Option<usize> {
        self.state.lock().start_ahead()
    }

    /// Starts the thread of worker number `worker`, which comes for an item of `level`.
    pub(super) fn spawn_worker(&'static self, worker: usize, level: Nice) -> Result<(), SpawnError> {
        check_fault()?;
        let name = alloc::format!("{}/{worker}", self.name());
        // At least one CPU of the set has to be online.
        let cpus = if self.has_online_cpu() { self.cpus } else { CpuMask::ALL };
        let spawn = Spawn::new(&name).nice(level).group(&WORKERS).on(cpus);
        let handle = spawn.start(move || self.worker_main(worker))?;
        let state = self.state.lock();
        if state.is_coming(worker) {
            *self.threads[worker].lock() = Some(handle.thread().clone());
            // An item may have been raised to the front since the level was chosen.
            state.first_level().inspect(|level| self.hasten(worker, *level));
        }
        Ok(())
    }

    /// Runs items until the worker is retired.
    fn worker_main(&self, worker: usize) {
        let thread = thread::current();
        *self.threads[worker].lock() = Some(thread.arc());
        loop {
            match self.next(worker) {
                Next::Run((item, attrs)) => {
                    self.bind(&attrs.allowed);
                    self.run(&item, attrs.group);
                }
                Next::Park { wake_manager } => {
                    if wake_manager {
                        manager_signal::wake();
                    }
                    // The next item may allow other CPUs: its wake-up must not be queued on a CPU of the last item.
                    self.bind(&CpuMask::ALL);
                    park(None);
                }
                Next::Exit => return,
            }
        }
    }

    /// Decides what `worker`, the calling thread, does next.
    fn next(&self, worker: usize) -> Next<(Arc<dyn Item>, WorkAttrs)> {
        // From the begin of an item to its donation, which keeps the thread at the weight of the waiting threads.
        let irq = IrqGuard::new();
        let mut state = self.state.lock();
        let next = state.next(worker, tsc::now_ns, |Handle(item)| item.work().begin_by(worker));
        self.queued.store(state.queued(), SeqCst);
        let next = match next {
            Next::Run(item) => Next::Run(with_attrs(item)),
            Next::Park { wake_manager } => Next::Park { wake_manager },
            Next::Exit => {
                // The next worker with this number must not find the thread of this one.
                *self.threads[worker].lock() = None;
                Next::Exit
            }
        };
        let nice = if let Next::Run((_, attrs)) = &next { attrs.nice } else { IDLE_NICE };
        let current = thread::current();
        let has_changed = current.entity.set_nice_if_other(nice);
        drop(state);
        if let Next::Run((item, _)) = &next {
            donate_to_current(item);
        }
        if has_changed {
            reweigh(current);
        }
        drop(irq);
        self.wake_flushers();
        next
    }

    /// Runs `item` on the calling thread, to which it donates, charged to `group`.
    pub(super) fn run(&self, item: &Arc<dyn Item>, group: Arc<Group>) {
        let thread = thread::current();
        thread.charge_to(Some(group));
        item.run();
        thread.charge_to(None);
        item.work().end();
        // Not before the waiting threads are woken: without their weight the worker might be long in doing so.
        end_donation(item.clone(), thread.arc());
        item.ended();
    }

    /// Restricts the calling worker to the pool's CPUs that are in `allowed`.
    fn bind(&self, allowed: &CpuMask) {
        let both = self.cpus & *allowed;
        let cpus = if (both & online_cpus()).is_empty() { *allowed } else { both };
        let thread = thread::current();
        if thread.allowed() != cpus && affinity::set_affinity(thread, &cpus).is_err() {
            // None of them is online: run on any CPU.
            let _ = affinity::set_affinity(thread, &CpuMask::ALL);
        }
    }
}

/// Makes `item`, with which the calling thread has begun, donate to this thread what it receives.
pub(super) fn donate_to_current(item: &Arc<dyn Item>) {
    set_donee(item.clone(), Some(thread::current_arc()));
}

/// Returns an item that a worker has begun with, and its attributes.
pub(super) fn with_attrs(Handle(item): Handle) -> (Arc<dyn Item>, WorkAttrs) {
    let attrs = item.work().take_attrs().expect("a queued item has attributes");
    (item, attrs)
}
