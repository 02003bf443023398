//! The scheduler data of each CPU, and how other CPUs see it.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use runqueue::{CpuMask, FairQueue, Load, SharedCpuMask, Tid};
use waiting::{Kick, PollFlag};

use super::account;
use super::table::{self, TableSearch};
use super::thread::Thread;
use super::timer_queue::TimerQueue;
use crate::arch::ipi;
use crate::arch::lock_class::LockClass;
use crate::arch::percpu::{self, CpuId, MAX_CPUS, PerCpu};
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::vector;

/// The scheduler data of one CPU.
#[repr(align(128))]
pub(super) struct Cpu {
    pub(super) queue: IrqSpinLock<FairQueue>,
    /// Length and weight of the queue, readable without its lock; exact only under it.
    pub(super) nr_queued: AtomicU32,
    pub(super) queued_weight: AtomicU32,
    /// Weight of the current thread; 0 while the idle thread runs.
    running_weight: AtomicU32,
    /// A queued thread, or the current one, may not be allowed here.
    pub(super) has_misplaced: AtomicBool,
    /// The search for such threads, which goes on in steps. Only this CPU uses it.
    pub(super) misplaced: IrqSpinLock<TableSearch>,
    /// The search for threads of other CPUs that this one may steal, and whether it is to begin anew. Only this CPU uses them.
    pub(super) steal_search: IrqSpinLock<TableSearch>,
    pub(super) wants_steal_search: AtomicBool,
    /// The CPU found itself inactive with nothing left to run, and halts: it runs no thread before it is active again.
    pub(super) is_quiesced: AtomicBool,
    /// Whether the idle thread polls for threads.
    pub(super) poll: PollFlag,
    /// Wake-ups that found it polling, and sent no interrupt.
    pub(super) polled_wakes: AtomicU64,
    /// The CPU's idle thread.
    pub(super) idle: AtomicU32,
    /// The scheduler should be entered on the way out of an interrupt. From here on only this CPU uses the fields: Relaxed.
    pub(super) need_resched: AtomicBool,
    /// When the current thread's slice ends.
    pub(super) slice_end_ns: AtomicU64,
    /// When the runtime slice of the current thread's group ends; `u64::MAX`: the group has no quota.
    pub(super) runtime_end_ns: AtomicU64,
    /// Length of that runtime slice, and when it was taken.
    pub(super) runtime_slice_ns: AtomicU64,
    pub(super) runtime_taken_at_ns: AtomicU64,
    /// When this CPU next looks for a CPU to give a thread to.
    pub(super) next_balance_ns: AtomicU64,
    /// CPUs for which it has looked in vain meanwhile.
    pub(super) balance_tried: SharedCpuMask,
    /// Switches from one thread to another.
    switches: AtomicU64,
    /// Slices after which the current thread kept the CPU although others waited.
    kept_slices: AtomicU64,
    /// Deadlines.
    pub(super) timers: TimerQueue,
}

static CPUS: [Cpu; MAX_CPUS] = [const {
    Cpu {
        queue: IrqSpinLock::of(LockClass::RUN_QUEUE, FairQueue::new()),
        nr_queued: AtomicU32::new(0),
        queued_weight: AtomicU32::new(0),
        running_weight: AtomicU32::new(0),
        has_misplaced: AtomicBool::new(false),
        misplaced: IrqSpinLock::of(LockClass::TABLE_SEARCH, TableSearch::new()),
        steal_search: IrqSpinLock::of(LockClass::TABLE_SEARCH, TableSearch::new()),
        wants_steal_search: AtomicBool::new(false),
        is_quiesced: AtomicBool::new(false),
        poll: PollFlag::new(),
        polled_wakes: AtomicU64::new(0),
        idle: AtomicU32::new(Tid::NONE_RAW),
        need_resched: AtomicBool::new(false),
        slice_end_ns: AtomicU64::new(0),
        runtime_end_ns: AtomicU64::new(u64::MAX),
        runtime_slice_ns: AtomicU64::new(0),
        runtime_taken_at_ns: AtomicU64::new(0),
        next_balance_ns: AtomicU64::new(0),
        balance_tried: SharedCpuMask::new(CpuMask::EMPTY),
        switches: AtomicU64::new(0),
        kept_slices: AtomicU64::new(0),
        timers: TimerQueue::new(),
    }
}; MAX_CPUS];

/// Active CPUs: those that take threads.
static ACTIVE: SharedCpuMask = SharedCpuMask::new(CpuMask::EMPTY);
/// Number of active CPUs that run their idle thread: spares busy CPUs a search when there is none.
static IDLE_COUNT: AtomicU32 = AtomicU32::new(0);

/// Gives a CPU its scheduler data, before it takes an interrupt.
pub fn attach(block: &PerCpu) {
    block.set_sched(core::ptr::from_ref(&CPUS[block.id().index()]).cast());
}

/// Returns the scheduler data of CPU number `cpu`.
#[inline]
pub(super) fn get(cpu: usize) -> &'static Cpu {
    &CPUS[cpu]
}

/// Returns the calling CPU's scheduler data. Interrupts must be off, or the answer may be stale.
#[inline(always)]
pub(super) fn here() -> (&'static Cpu, CpuId) {
    let cpu = percpu::this_cpu_sched().cast::<Cpu>();
    debug_assert!(!cpu.is_null(), "this cpu has no scheduler data yet");
    // SAFETY: only `attach` sets the pointer, to an element of a static of this type, before the CPU takes its first
    // interrupt and runs its first thread (invariant 21).
    (unsafe { &*cpu }, percpu::this_cpu_id())
}

/// Returns the active CPUs.
pub fn active() -> CpuMask {
    ACTIVE.load()
}

/// Whether CPU number `cpu` takes threads.
#[inline]
pub(super) fn is_active(cpu: usize) -> bool {
    ACTIVE.contains(cpu)
}

/// Whether any CPU of `cpus` takes threads.
pub(super) fn is_any_active(cpus: &SharedCpuMask) -> bool {
    ACTIVE.intersects(cpus)
}

/// Lets CPU number `cpu` take threads.
pub(super) fn set_active(cpu: usize) {
    ACTIVE.insert(cpu);
}

/// Lets CPU number `cpu` take no more threads.
pub(super) fn set_inactive(cpu: usize) {
    ACTIVE.remove(cpu);
}

/// Returns how busy CPU number `cpu` is; `None` when it is inactive.
pub(super) fn load_of(cpu: usize) -> Option<Load> {
    is_active(cpu).then(|| {
        let cpu = &CPUS[cpu];
        Load { nr_queued: cpu.nr_queued(), running: !cpu.is_idle(), weight: cpu.weight() }
    })
}

/// Returns the idle CPUs among `allowed`, from the calling one on.
pub(super) fn idle(allowed: &CpuMask) -> impl Iterator<Item = usize> + use<> {
    let candidates = if is_any_idle() { *allowed & active() } else { CpuMask::EMPTY };
    let (_, id) = here();
    candidates.iter_from(id.index()).filter(|cpu| load_of(*cpu).is_some_and(Load::is_idle))
}

/// Whether any active CPU runs its idle thread.
#[inline(always)]
pub(super) fn is_any_idle() -> bool {
    idle_count() > 0
}

/// Takes an idle CPU, which is inactive now, out of the idle count. It may still leave its idle thread and come back: that
/// cancels out.
pub(super) fn forget_idle() {
    IDLE_COUNT.fetch_sub(1, SeqCst);
}

/// Counts an idle CPU, which is about to be active again, as idle.
pub(super) fn count_idle_again() {
    IDLE_COUNT.fetch_add(1, SeqCst);
}

/// Returns the number of active CPUs that run their idle thread.
#[inline]
pub fn idle_count() -> u32 {
    IDLE_COUNT.load(SeqCst)
}

/// Has CPU number `cpu` look at its queue, and at whether its current thread should still run: by an interrupt, unless it
/// polls.
pub(super) fn send_reschedule(cpu: usize) {
    let Some(id) = CpuId::new(cpu) else { return };
    match CPUS[cpu].poll.kick() {
        Kick::NeedsInterrupt => ipi::send(id, vector::RESCHEDULE),
        Kick::Seen => {
            // Relaxed: a count.
            CPUS[cpu].polled_wakes.fetch_add(1, Relaxed);
        }
    }
}

impl Cpu {
    /// Whether the CPU has ever been active.
    pub(super) fn has_started(&self) -> bool {
        self.idle.load(SeqCst) != Tid::NONE_RAW
    }

    /// Whether the idle thread runs.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.running_weight.load(SeqCst) == 0
    }

    /// Returns the number of queued threads.
    #[inline]
    pub(super) fn nr_queued(&self) -> u32 {
        self.nr_queued.load(SeqCst)
    }

    /// Returns the weight of the current thread and the queued ones together.
    #[inline]
    pub(super) fn weight(&self) -> u32 {
        self.queued_weight.load(SeqCst).saturating_add(self.running_weight.load(SeqCst))
    }

    /// Returns the number of switches from one thread to another so far.
    pub(super) fn switches(&self) -> u64 {
        self.switches.load(Relaxed)
    }

    #[inline(always)]
    pub(super) fn count_switch(&self) {
        account::add(&self.switches, 1);
    }

    /// Counts a slice after which the current thread kept the CPU although others waited.
    pub(super) fn count_kept_slice(&self) {
        account::add(&self.kept_slices, 1);
    }

    /// Returns the number of decisions which thread runs next.
    pub(super) fn sched_decisions(&self) -> u64 {
        self.switches() + self.kept_slices.load(Relaxed)
    }

    /// Publishes that this CPU, the calling one, runs `next` from now on, which is not its idle thread.
    #[inline(always)]
    pub(super) fn note_running(&self, next: &Thread) {
        // Relaxed: other CPUs choose by it, and find out under the lock. For those that look for idle CPUs see `note_idle`.
        self.running_weight.store(next.entity.applied_weight(), Relaxed);
    }

    /// Publishes that this CPU, the calling one, begins to run its idle thread.
    pub(super) fn note_idle(&self) {
        // Relaxed: the count is a SeqCst read-modify-write; a CPU that sees it sees this store too.
        self.running_weight.store(0, Relaxed);
        IDLE_COUNT.fetch_add(1, SeqCst);
    }

    /// Publishes that this CPU, the calling one, leaves its idle thread for `next`.
    pub(super) fn note_busy(&self, next: &Thread) {
        self.note_running(next);
        IDLE_COUNT.fetch_sub(1, SeqCst);
    }

    /// Returns when the current thread's slice or its group's runtime slice ends; `u64::MAX`: never. The idle thread has
    /// neither: the times are those of the thread before it. A timer set to them would interrupt at once, and again
    /// before the idle thread can look at the queue.
    #[inline]
    pub(super) fn next_resched_ns(&self) -> u64 {
        if self.is_idle() {
            return u64::MAX;
        }
        let slice_end_ns = if self.nr_queued() > 0 { self.slice_end_ns.load(Relaxed) } else { u64::MAX };
        slice_end_ns.min(self.runtime_end_ns.load(Relaxed))
    }

    /// Returns the idle thread.
    pub(super) fn idle_thread(&self) -> &'static Thread {
        table::get(Tid::new(self.idle.load(SeqCst)).expect("a started cpu has an idle thread"))
    }
}
