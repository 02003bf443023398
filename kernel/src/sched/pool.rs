//! Threads that wait for work to be handed to them.
//!
//! A fixed number of workers, each with one slot: handing over a piece of work
//! allocates nothing and waits for nobody; when no worker is idle the work is
//! given back. What has not been started can be taken back.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use runqueue::Nice;
use spin::Once;

use super::core::{park, unpark};
use super::group::Group;
use super::thread::{JoinHandle, Spawn, SpawnError, Thread};
use crate::arch::irq::IrqLock;
use crate::arch::lock_class::LockClass;

/// Names a piece of work that was handed over; never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkId {
    worker: u32,
    /// How many pieces the worker was handed before.
    serial: u32,
}

impl WorkId {
    /// The id as one number.
    pub fn to_bits(self) -> u64 {
        u64::from(self.serial) << 32 | u64::from(self.worker)
    }

    /// The id behind [`to_bits`](Self::to_bits).
    pub fn from_bits(bits: u64) -> Self {
        Self { worker: bits as u32, serial: (bits >> 32) as u32 }
    }
}

struct Slot<T> {
    work: Option<T>,
    is_busy: bool,
    serial: u32,
}

struct Worker<T> {
    slot: IrqLock<Slot<T>>,
    thread: Once<JoinHandle>,
}

/// A pool of workers that run pieces of work of type `T`.
pub struct Pool<T: Send + 'static> {
    workers: Once<Box<[Worker<T>]>>,
    /// Numbers of idle workers; never grows beyond the room made at the start.
    idle: IrqLock<Vec<u32>>,
}

impl<T: Send + 'static> Pool<T> {
    /// A pool without workers.
    pub const fn new() -> Self {
        Self { workers: Once::new(), idle: IrqLock::of(LockClass::IDLE_WORKERS, Vec::new()) }
    }

    /// Starts `count` workers in `group`, of the lowest weight, that call `run` with each piece of work. Fewer
    /// are started when memory is short, with the reason returned. Once.
    pub fn start(
        &'static self,
        name: &str,
        group: &Arc<Group>,
        count: usize,
        run: fn(T),
    ) -> Result<(), SpawnError> {
        let slot = || Slot { work: None, is_busy: false, serial: 0 };
        let make = |_| Worker { slot: IrqLock::of(LockClass::POOL_SLOT, slot()), thread: Once::new() };
        let workers = self.workers.call_once(|| (0..count).map(make).collect());
        self.idle.lock().reserve(count);
        for (number, worker) in workers.iter().enumerate() {
            let name = alloc::format!("{name}/{number}");
            let spawn = Spawn::new(&name).nice(Nice::MAX).group(group);
            let handle = spawn.start(move || worker_loop(self, number as u32, worker, run))?;
            worker.thread.call_once(|| handle);
            self.idle.lock().push(number as u32);
        }
        Ok(())
    }

    /// Hands `work` to an idle worker, or gives it back when there is none.
    pub fn submit(&self, work: T) -> Result<WorkId, T> {
        let Some(number) = self.idle.lock().pop() else { return Err(work) };
        let worker = self.worker(number);
        let mut slot = worker.slot.lock();
        slot.work = Some(work);
        slot.is_busy = true;
        slot.serial = slot.serial.wrapping_add(1);
        let id = WorkId { worker: number, serial: slot.serial };
        drop(slot);
        if let Some(handle) = worker.thread.get() {
            unpark(handle.thread());
        }
        Ok(id)
    }

    /// Takes back a piece of work that no worker has started.
    pub fn cancel(&self, id: WorkId) -> Option<T> {
        let mut slot = self.workers.get()?.get(id.worker as usize)?.slot.lock();
        if slot.serial != id.serial {
            return None;
        }
        // The worker was woken for nothing; it finds its slot empty and goes back to the idle ones by itself.
        slot.work.take()
    }

    /// Takes back the first piece of work not started that `wanted` accepts.
    pub fn take_queued(&self, wanted: impl Fn(&T) -> bool) -> Option<T> {
        self.workers.get()?.iter().find_map(|worker| {
            let mut slot = worker.slot.lock();
            if slot.work.as_ref().is_some_and(&wanted) { slot.work.take() } else { None }
        })
    }

    /// The thread that has this piece of work or does it, or has just done it.
    pub fn worker_of(&self, id: WorkId) -> Option<&Arc<Thread>> {
        let worker = self.workers.get()?.get(id.worker as usize)?;
        let slot = worker.slot.lock();
        let is_at_it = slot.serial == id.serial && slot.is_busy;
        drop(slot);
        worker.thread.get().filter(|_| is_at_it).map(JoinHandle::thread)
    }

    /// Workers that wait for work.
    pub fn idle_count(&self) -> usize {
        self.idle.lock().len()
    }

    fn worker(&self, number: u32) -> &Worker<T> {
        &self.workers.get().expect("idle workers exist once the pool has started")[number as usize]
    }
}

fn worker_loop<T: Send + 'static>(pool: &'static Pool<T>, number: u32, worker: &Worker<T>, run: fn(T)) {
    loop {
        let mut slot = worker.slot.lock();
        if let Some(work) = slot.work.take() {
            drop(slot);
            run(work);
            continue;
        }
        if slot.is_busy {
            slot.is_busy = false;
            // Under the slot's lock: only one of worker and submitter changes its state at a time.
            pool.idle.lock().push(number);
        }
        drop(slot);
        park(None);
    }
}
