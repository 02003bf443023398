//! What the scheduler keeps for each CPU, and how others see it.

use core::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst,
};

use runqueue::{CpuMask, FairQueue, Load, PreemptReason, SharedCpuMask, Tid};

use super::account;
use super::table::{self, AllThreads};
use super::thread::Thread;
use super::timer::Timers;
use crate::arch::irq::IrqGuard;
use crate::arch::lock_class::LockClass;
use crate::arch::percpu::{self, CpuId, MAX_CPUS, PerCpu};
use crate::arch::spin_lock::{IrqSpinLock, IrqSpinLockGuard};
use crate::arch::vector;
use crate::arch::{ipi, tsc};

/// One CPU's part of the scheduler.
#[repr(align(128))]
pub(super) struct Cpu {
    queue: IrqSpinLock<FairQueue>,
    /// Length and weight of the queue, readable without its lock; exact only under it.
    nr_queued: AtomicU32,
    queued_weight: AtomicU32,
    /// Weight of the running thread; 0 while the idle thread runs.
    running_weight: AtomicU32,
    /// A thread in the queue, or the running one, may not be here (any more).
    pub(super) has_misplaced: AtomicBool,
    /// The CPU found itself closed when it had nothing left to run, and halts: it runs no thread before it is open again.
    pub(super) is_quiesced: AtomicBool,
    /// Up to when the running thread's clock in the queue is right; what it ran while nobody waited is at nobody's
    /// expense. Set under the queue's lock, but where a CPU leaves its idle thread.
    charged_until_ns: AtomicU64,
    /// Up to when somebody waited, where nobody does. Under the queue's lock.
    waited_until_ns: AtomicU64,
    /// The CPU's idle thread.
    pub(super) idle: AtomicU32,
    /// The scheduler should be entered on the way out of an interrupt. From here on: this CPU's own, Relaxed therefore.
    pub(super) need_resched: AtomicBool,
    /// When the running thread has to give way to one that waits.
    pub(super) slice_end_ns: AtomicU64,
    /// Until when the running thread may run before its group's quota is looked at; nothing limits it: `u64::MAX`.
    pub(super) runtime_end_ns: AtomicU64,
    /// The slice of the quota that was taken for it, and when.
    pub(super) runtime_slice_ns: AtomicU64,
    pub(super) runtime_taken_at_ns: AtomicU64,
    /// When this CPU next looks whether it has too much to do.
    pub(super) next_balance_ns: AtomicU64,
    /// Switches from one thread to another.
    switches: AtomicU64,
    /// Slices after which the running thread was let run on although others waited.
    kept_slices: AtomicU64,
    /// Deadlines.
    pub(super) timers: Timers,
}

static CPUS: [Cpu; MAX_CPUS] = [const {
    Cpu {
        queue: IrqSpinLock::of(LockClass::RUN_QUEUE, FairQueue::new()),
        nr_queued: AtomicU32::new(0),
        queued_weight: AtomicU32::new(0),
        running_weight: AtomicU32::new(0),
        has_misplaced: AtomicBool::new(false),
        is_quiesced: AtomicBool::new(false),
        charged_until_ns: AtomicU64::new(0),
        waited_until_ns: AtomicU64::new(0),
        idle: AtomicU32::new(Tid::NONE_RAW),
        need_resched: AtomicBool::new(false),
        slice_end_ns: AtomicU64::new(0),
        runtime_end_ns: AtomicU64::new(u64::MAX),
        runtime_slice_ns: AtomicU64::new(0),
        runtime_taken_at_ns: AtomicU64::new(0),
        next_balance_ns: AtomicU64::new(0),
        switches: AtomicU64::new(0),
        kept_slices: AtomicU64::new(0),
        timers: Timers::new(),
    }
}; MAX_CPUS];

/// CPUs that threads may be given to.
static ACTIVE: SharedCpuMask = SharedCpuMask::new(CpuMask::EMPTY);
/// How many of them run their idle thread: spares the busy a search when there is none.
static IDLE_COUNT: AtomicU32 = AtomicU32::new(0);

/// Gives a CPU its part of the scheduler, before it takes an interrupt.
pub fn attach(block: &PerCpu) {
    block.set_sched(core::ptr::from_ref(&CPUS[block.id().index()]).cast());
}

/// The part of CPU number `cpu`.
#[inline]
pub(super) fn get(cpu: usize) -> &'static Cpu {
    &CPUS[cpu]
}

/// The running CPU's part. Interrupts must be off, or the answer may be stale.
#[inline(always)]
pub(super) fn here() -> (&'static Cpu, CpuId) {
    let cpu = percpu::this_cpu_sched().cast::<Cpu>();
    debug_assert!(!cpu.is_null(), "this cpu has no part of the scheduler yet");
    // SAFETY: only `attach` sets the pointer, to an element of a static of this type, before the CPU takes its first
    // interrupt and runs its first thread (invariant 21).
    (unsafe { &*cpu }, percpu::this_cpu_id())
}

/// CPUs that threads may be given to.
pub(super) fn active() -> CpuMask {
    ACTIVE.load()
}

/// Whether threads may be given to CPU number `cpu`.
#[inline]
pub(super) fn is_active(cpu: usize) -> bool {
    ACTIVE.contains(cpu)
}

/// Threads may be given to CPU number `cpu` from here on.
pub(super) fn set_active(cpu: usize) {
    ACTIVE.insert(cpu);
}

/// No threads are given to CPU number `cpu` from here on.
pub(super) fn set_inactive(cpu: usize) {
    ACTIVE.remove(cpu);
}

/// How busy CPU number `cpu` is; `None` when threads may not be given to it.
pub(super) fn load_of(cpu: usize) -> Option<Load> {
    is_active(cpu).then(|| {
        let cpu = &CPUS[cpu];
        Load { nr_queued: cpu.nr_queued(), running: !cpu.is_idle(), weight: cpu.weight() }
    })
}

/// The idle CPUs among `allowed`, from the running one on.
pub(super) fn idle(allowed: &CpuMask) -> impl Iterator<Item = usize> + use<> {
    let candidates = if is_any_idle() { *allowed & active() } else { CpuMask::EMPTY };
    let (_, id) = here();
    candidates.iter_from(id.index()).filter(|cpu| load_of(*cpu).is_some_and(Load::is_idle))
}

/// Whether any CPU runs its idle thread.
#[inline(always)]
pub(super) fn is_any_idle() -> bool {
    idle_count() > 0
}

/// A CPU that idles takes no threads from here on. What it counts itself out and in meanwhile cancels out.
pub(super) fn forget_idle() {
    IDLE_COUNT.fetch_sub(1, SeqCst);
}

/// A CPU that idles is about to take threads again.
pub(super) fn count_idle_again() {
    IDLE_COUNT.fetch_add(1, SeqCst);
}

/// How many CPUs that threads may be given to run their idle thread.
#[inline]
pub fn idle_count() -> u32 {
    IDLE_COUNT.load(SeqCst)
}

/// Has CPU number `cpu` look at its queue, and at whether its thread should still run.
pub(super) fn send_reschedule(cpu: usize) {
    if let Some(cpu) = CpuId::new(cpu) {
        ipi::send(cpu, vector::RESCHEDULE);
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
    pub(super) fn nr_queued(&self) -> u32 {
        self.nr_queued.load(SeqCst)
    }

    /// What the running thread and those that wait weigh together.
    #[inline]
    pub(super) fn weight(&self) -> u32 {
        self.queued_weight.load(SeqCst).saturating_add(self.running_weight.load(SeqCst))
    }

    /// Switches from one thread to another so far.
    pub(super) fn switches(&self) -> u64 {
        self.switches.load(Relaxed)
    }

    #[inline(always)]
    pub(super) fn count_switch(&self) {
        account::add(&self.switches, 1);
    }

    /// The running thread's slice is over, and nobody who waits should come before it.
    pub(super) fn count_kept_slice(&self) {
        account::add(&self.kept_slices, 1);
    }

    /// Times that it was decided here who runs on.
    pub(super) fn sched_decisions(&self) -> u64 {
        self.switches() + self.kept_slices.load(Relaxed)
    }

    /// This CPU, the running one, runs `next` from now on, not its idle thread.
    #[inline(always)]
    pub(super) fn note_running(&self, next: &Thread) {
        // Relaxed: others choose CPUs by it, and find out under the lock; for who looks for idle ones see `note_idle`.
        self.running_weight.store(next.entity.applied_weight(), Relaxed);
    }

    /// This CPU, the running one, begins to run its idle thread.
    pub(super) fn note_idle(&self) {
        // Relaxed: what is before the count, a SeqCst read-modify-write, is seen by whoever sees the count.
        self.running_weight.store(0, Relaxed);
        IDLE_COUNT.fetch_add(1, SeqCst);
    }

    /// This CPU, the running one, leaves its idle thread for `next`.
    pub(super) fn note_busy(&self, next: &Thread, now_ns: u64) {
        self.note_running(next);
        IDLE_COUNT.fetch_sub(1, SeqCst);
        // Relaxed: a thread that comes just now sets it to a moment as good.
        self.charged_until_ns.store(now_ns, Relaxed);
    }

    /// When the running thread has to give way to another one, or to be kept from running on; never: `u64::MAX`.
    #[inline]
    pub(super) fn next_resched_ns(&self) -> u64 {
        let slice_end_ns = if self.nr_queued() > 0 { self.slice_end_ns.load(Relaxed) } else { u64::MAX };
        let runtime_end_ns = if self.is_idle() { u64::MAX } else { self.runtime_end_ns.load(Relaxed) };
        slice_end_ns.min(runtime_end_ns)
    }

    /// Access to the queue (invariant 4).
    #[inline]
    pub(super) fn lock_queue(&self) -> QueueGuard<'_> {
        QueueGuard { queue: self.queue.lock(), cpu: self }
    }

    /// As [`lock_queue`](Self::lock_queue), where `irq` keeps interrupts off.
    #[inline(always)]
    pub(super) fn lock_queue_under<'a>(&'a self, irq: &'a IrqGuard) -> QueueGuard<'a> {
        QueueGuard { queue: self.queue.lock_under(irq), cpu: self }
    }

    /// The idle thread.
    pub(super) fn idle_thread(&self) -> &'static Thread {
        table::get(Tid::new(self.idle.load(SeqCst)).expect("a started cpu has an idle thread"))
    }
}

/// A locked run queue. What changes the queue goes through here, so that its
/// length and weight are told to others.
pub(super) struct QueueGuard<'a> {
    queue: IrqSpinLockGuard<'a, FairQueue>,
    cpu: &'a Cpu,
}

impl QueueGuard<'_> {
    /// Read access.
    #[inline]
    pub(super) fn queue(&self) -> &FairQueue {
        &self.queue
    }

    /// Charges the running thread for the time since it was last charged, as far as somebody waited.
    #[inline]
    pub(super) fn charge(&mut self, running: &Thread, now_ns: u64) {
        self.pass_if_nobody_waits(now_ns);
        let ran_ns = self.take_uncharged_ns(now_ns);
        self.queue.charge(&AllThreads, &running.entity, ran_ns);
    }

    #[inline(always)]
    fn take_uncharged_ns(&self, now_ns: u64) -> u64 {
        // Relaxed: under the lock. Another CPU's time, up to which a thread was let run alone, may be ahead of ours.
        let ran_ns = now_ns.saturating_sub(self.cpu.charged_until_ns.load(Relaxed));
        self.cpu.charged_until_ns.store(now_ns, Relaxed);
        ran_ns
    }

    /// Charges the running thread, and if it has to give way queues it and takes out the next one.
    #[inline(always)]
    pub(super) fn charge_and_pick_next(
        &mut self,
        running: &Thread,
        now_ns: u64,
        why: PreemptReason,
    ) -> Option<&'static Thread> {
        let ran_ns = self.take_uncharged_ns(now_ns);
        let weight = self.queue.weight();
        let (tid, entity) = (running.tid(), &running.entity);
        let next = self.queue.charge_and_pick_next(&AllThreads, tid, entity, ran_ns, why)?;
        // As many wait as before.
        if self.queue.weight() != weight {
            self.tell();
        }
        Self::note_queued(running, now_ns);
        Some(Self::note_taken(next))
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
        Self::note_queued(thread, now_ns);
        self.queue.push(&AllThreads, thread.tid());
        self.tell();
    }

    #[inline(always)]
    fn note_queued(thread: &Thread, now_ns: u64) {
        thread.account.note_queued(now_ns);
        // Release, here and below, pairs with the SeqCst loads: who finds the thread queued sees since when, and where.
        thread.is_queued.store(true, Release);
    }

    #[inline(always)]
    fn note_taken(tid: Tid) -> &'static Thread {
        let thread = table::get(tid);
        thread.is_queued.store(false, Release);
        thread
    }

    /// Lets the sleep of `thread` count, which ends now: it blocked on this CPU.
    pub(super) fn wake(&mut self, thread: &Thread, now_ns: u64) {
        self.pass_if_nobody_waits(now_ns);
        self.queue.wake(&thread.entity);
    }

    /// Puts `thread`, which is in no queue and comes from elsewhere, on the clock of this queue.
    pub(super) fn attach(&mut self, thread: &Thread, now_ns: u64) {
        self.pass_if_nobody_waits(now_ns);
        self.queue.attach(&thread.entity);
    }

    /// Where nobody waits, the running thread, if any, has the CPU to itself: that is at nobody's expense. What it had while
    /// somebody did is still to be charged.
    #[inline]
    fn pass_if_nobody_waits(&mut self, now_ns: u64) {
        if self.queue.is_empty() {
            // Relaxed, all: under the lock.
            let charged_until_ns = self.cpu.charged_until_ns.load(Relaxed);
            let alone_since_ns = charged_until_ns.max(self.cpu.waited_until_ns.load(Relaxed));
            let alone_ns = now_ns.saturating_sub(alone_since_ns);
            self.cpu.charged_until_ns.store(charged_until_ns + alone_ns, Relaxed);
            self.queue.add_uncontended(alone_ns);
        }
    }

    /// Queues `thread`, which is in no queue and comes from elsewhere, on CPU number `cpu`: this one.
    pub(super) fn push_arriving(&mut self, cpu: usize, thread: &Thread, now_ns: u64) {
        thread.cpu.store(cpu, SeqCst);
        self.attach(thread, now_ns);
        self.push(thread, now_ns);
    }

    /// Takes out the thread that runs next, for the one that ran here has left.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<&'static Thread> {
        let next = self.queue.pop(&AllThreads)?;
        self.tell();
        Some(Self::note_taken(next))
    }

    /// Applies `take`, which takes a thread out or not, to go elsewhere.
    #[inline]
    pub(super) fn take(
        &mut self,
        take: impl FnOnce(&mut FairQueue) -> Option<Tid>,
    ) -> Option<&'static Thread> {
        let taken = take(&mut self.queue)?;
        if self.queue.is_empty() {
            // Relaxed: under the lock.
            self.cpu.waited_until_ns.store(tsc::now_ns(), Relaxed);
        }
        self.tell();
        Some(Self::note_taken(taken))
    }

    #[inline]
    fn tell(&self) {
        // Relaxed: under the lock; SeqCst readers without it get a hint that may be stale anyway.
        self.cpu.nr_queued.store(self.queue.len() as u32, Relaxed);
        let weight = u32::try_from(self.queue.weight()).unwrap_or(u32::MAX);
        self.cpu.queued_weight.store(weight, Relaxed);
    }
}
