//! What the scheduler keeps for each CPU, and how others see it.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use ::trace::{Class, Event};
use runqueue::{Arrival, CpuMask, FairQueue, Load, SharedCpuMask, Tid};

use super::thread::{self, AllThreads, Thread};
use crate::arch::irq::{IrqLock, IrqLockGuard};
use crate::arch::lock_class::LockClass;
use crate::arch::percpu::{self, CpuId, MAX_CPUS};
use crate::arch::trap::VECTOR_RESCHEDULE;
use crate::arch::{apic, tsc};
use crate::debug::trace;

/// One CPU's part of the scheduler.
#[repr(align(128))]
pub(super) struct Cpu {
    queue: IrqLock<FairQueue>,
    /// Length and weight of the queue, readable without its lock; exact only under it.
    waiting: AtomicU32,
    waiting_weight: AtomicU32,
    /// Weight of the running thread; 0 while the idle thread runs.
    pub(super) running_weight: AtomicU32,
    /// A thread in the queue, or the running one, may not be here (any more).
    pub(super) has_misplaced: AtomicBool,
    /// When a thread last came while none waited: the running one had the CPU to itself until then, perhaps uncharged for
    /// long, and the newcomer was placed by a clock that had stood still. Under the queue's lock.
    alone_until_ns: AtomicU64,
    /// The CPU's idle thread.
    pub(super) idle: AtomicU32,
    /// The thread that is being switched away from; this CPU's own business.
    pub(super) leaving: AtomicU32,
    /// That thread wants to run, elsewhere.
    pub(super) leaving_moves: AtomicBool,
    /// When the running thread has to give way to one that waits.
    pub(super) slice_end_ns: AtomicU64,
    /// When the running thread's group has used up what it may; never: `u64::MAX`.
    pub(super) quota_end_ns: AtomicU64,
    /// When this CPU next looks whether it has too much to do.
    pub(super) next_balance_ns: AtomicU64,
    /// Switches from one thread to another.
    pub(super) switches: AtomicU64,
}

static CPUS: [Cpu; MAX_CPUS] = [const {
    Cpu {
        queue: IrqLock::of(LockClass::RUN_QUEUE, FairQueue::new()),
        waiting: AtomicU32::new(0),
        waiting_weight: AtomicU32::new(0),
        running_weight: AtomicU32::new(0),
        has_misplaced: AtomicBool::new(false),
        alone_until_ns: AtomicU64::new(0),
        idle: AtomicU32::new(Tid::NONE_RAW),
        leaving: AtomicU32::new(Tid::NONE_RAW),
        leaving_moves: AtomicBool::new(false),
        slice_end_ns: AtomicU64::new(0),
        quota_end_ns: AtomicU64::new(u64::MAX),
        next_balance_ns: AtomicU64::new(0),
        switches: AtomicU64::new(0),
    }
}; MAX_CPUS];

/// CPUs that threads may be given to.
static OPEN: SharedCpuMask = SharedCpuMask::new(CpuMask::EMPTY);
/// How many of them run their idle thread: spares the busy a search when there is none.
static IDLE_COUNT: AtomicU32 = AtomicU32::new(0);

/// The part of CPU number `cpu`.
#[inline]
pub(super) fn get(cpu: usize) -> &'static Cpu {
    &CPUS[cpu]
}

/// The running CPU's part. Interrupts must be off, or the answer may be stale.
#[inline]
pub(super) fn here() -> (&'static Cpu, CpuId) {
    let id = percpu::this_cpu().id();
    (&CPUS[id.index()], id)
}

/// CPUs that threads may be given to.
pub(super) fn open() -> CpuMask {
    OPEN.load()
}

/// Whether threads may be given to CPU number `cpu`.
#[inline]
pub(super) fn is_open(cpu: usize) -> bool {
    OPEN.contains(cpu)
}

/// Threads may be given to CPU number `cpu` from here on.
pub(super) fn set_open(cpu: usize) {
    OPEN.insert(cpu);
}

/// No threads are given to CPU number `cpu` from here on.
pub(super) fn set_closed(cpu: usize) {
    OPEN.remove(cpu);
}

/// How busy CPU number `cpu` is; `None` when threads may not be given to it.
pub(super) fn load_of(cpu: usize) -> Option<Load> {
    is_open(cpu).then(|| {
        let cpu = &CPUS[cpu];
        Load { waiting: cpu.waiting(), running: !cpu.is_idle(), weight: cpu.weight() }
    })
}

/// An idle CPU among `allowed`.
pub(super) fn find_idle(allowed: &CpuMask) -> Option<usize> {
    if IDLE_COUNT.load(SeqCst) == 0 {
        return None;
    }
    let candidates = *allowed & open();
    let (_, id) = here();
    candidates.iter_from(id.index()).find(|cpu| load_of(*cpu).is_some_and(Load::is_idle))
}

/// The running CPU goes from a thread to its idle thread, or (not `is_idle`) back.
pub(super) fn count_idle(is_idle: bool) {
    if is_idle {
        IDLE_COUNT.fetch_add(1, SeqCst)
    } else {
        IDLE_COUNT.fetch_sub(1, SeqCst)
    };
}

/// Has CPU number `cpu` look at its queue, and at whether its thread should still run.
pub(super) fn send_reschedule(cpu: usize) {
    if let Some(cpu) = CpuId::new(cpu) {
        let sent = || Event::IpiSend { vector: VECTOR_RESCHEDULE, to: cpu.index() as u16 };
        trace::event(Class::Ipi, sent);
        apic::local().send_ipi(percpu::get(cpu).apic_id(), VECTOR_RESCHEDULE);
    }
}

impl Cpu {
    /// Whether the CPU has ever been ready for threads.
    pub(super) fn has_started(&self) -> bool {
        self.idle.load(SeqCst) != Tid::NONE_RAW
    }

    /// Whether the idle thread runs.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.running_weight.load(SeqCst) == 0
    }

    /// Threads that wait for the CPU.
    #[inline]
    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(SeqCst)
    }

    /// What the running thread and those that wait weigh together.
    #[inline]
    pub(super) fn weight(&self) -> u32 {
        self.waiting_weight.load(SeqCst).saturating_add(self.running_weight.load(SeqCst))
    }

    /// Access to the queue (invariant 4).
    #[inline]
    pub(super) fn lock_queue(&self) -> QueueGuard<'_> {
        QueueGuard { queue: self.queue.lock(), cpu: self }
    }

    /// The idle thread.
    pub(super) fn idle_thread(&self) -> &'static Thread {
        thread::get(Tid::new(self.idle.load(SeqCst)).expect("a started cpu has an idle thread"))
    }
}

/// A locked run queue. What changes the queue goes through here, so that its
/// length and weight are told to others.
pub(super) struct QueueGuard<'a> {
    queue: IrqLockGuard<'a, FairQueue>,
    cpu: &'a Cpu,
}

impl QueueGuard<'_> {
    /// Read access.
    #[inline]
    pub(super) fn queue(&self) -> &FairQueue {
        &self.queue
    }

    /// Charges the running thread for the time since it was last charged.
    #[inline]
    pub(super) fn charge(&mut self, running: &Thread, now_ns: u64) {
        let ran_ns = running.take_uncharged_ns(now_ns);
        running.group().charge(ran_ns, now_ns);
        // What it ran while nobody waited was at nobody's expense.
        let contended_ns = now_ns.saturating_sub(self.cpu.alone_until_ns.load(Relaxed));
        self.queue.charge(&AllThreads, &running.entity, ran_ns.min(contended_ns));
    }

    /// Lets a change of the weight of `thread` count at once, if it is in this queue, CPU number `cpu`'s.
    pub(super) fn requeue(&mut self, cpu: usize, thread: &Thread) {
        if thread.is_queued.load(SeqCst) && thread.cpu.load(SeqCst) == cpu {
            self.queue.requeue(&AllThreads, thread.tid());
            self.tell();
        }
    }

    /// Queues `thread`, which is in no queue and was on this CPU.
    #[inline]
    pub(super) fn push(&mut self, thread: &Thread, now_ns: u64) {
        thread.note_queued(now_ns);
        thread.is_queued.store(true, SeqCst);
        self.queue.push(&AllThreads, thread.tid());
        self.tell();
    }

    /// Queues `thread`, which is in no queue and comes from elsewhere, on CPU number `cpu`: this one.
    pub(super) fn push_arriving(&mut self, cpu: usize, thread: &Thread, arrival: Arrival) {
        thread.cpu.store(cpu, SeqCst);
        let now_ns = tsc::now_ns();
        if self.queue.is_empty() {
            self.cpu.alone_until_ns.store(now_ns, Relaxed);
        }
        self.queue.attach(&thread.entity, arrival);
        self.push(thread, now_ns);
    }

    /// Applies `take`, which takes a thread out or not.
    #[inline]
    pub(super) fn take(
        &mut self,
        take: impl FnOnce(&mut FairQueue) -> Option<Tid>,
    ) -> Option<&'static Thread> {
        let taken = take(&mut self.queue)?;
        self.tell();
        let taken = thread::get(taken);
        taken.is_queued.store(false, SeqCst);
        Some(taken)
    }

    #[inline]
    fn tell(&self) {
        // Relaxed: under the lock; SeqCst readers without it get a hint that may be stale anyway.
        self.cpu.waiting.store(self.queue.len() as u32, Relaxed);
        let weight = u32::try_from(self.queue.weight()).unwrap_or(u32::MAX);
        self.cpu.waiting_weight.store(weight, Relaxed);
    }
}
