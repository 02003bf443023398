//! What a thread is.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::SeqCst};

use runqueue::{CpuMask, Entity, HeapNode, Link, Nice, ParkState, SharedCpuMask, Tid};

use super::account::{Account, NO_CPU, Usage};
use super::completion::Completion;
use super::donee::{ChainLink, Donee};
use super::group::{ChargeTarget, Group};
#[cfg(debug_assertions)]
use super::thread_locks::ThreadLocks;
use super::turnstile::Turnstile;
use crate::arch::context::StackPointer;
use crate::arch::lock_class::LockClass;
use crate::arch::percpu;
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::tsc;
use crate::mm::stacks::Stack;

/// A kernel thread. What every switch touches comes first: a field at the beginning of the record needs no offset.
#[repr(C)]
pub struct Thread {
    /// Its weight and virtual runtime, and its place in a run queue.
    pub(super) entity: Entity,
    pub(super) account: Account,
    tid: Tid,
    name: String,
    /// Whether it is a CPU's idle thread, which runs on the stack that the CPU started on.
    is_idle: bool,
    /// Its stack, as long as it needs one.
    stack: IrqSpinLock<Option<Stack>>,
    /// Lowest address of the stack; 0 for an idle thread.
    stack_bottom: u64,
    /// Stack pointer of the stopped thread. Written by the CPU that switches away from it, read by the CPU that switches to
    /// it; `on_cpu` orders the two.
    saved_sp: UnsafeCell<StackPointer>,
    pub(super) park: ParkState,
    /// A CPU runs on this thread's stack, or has not left it yet.
    pub(super) on_cpu: AtomicBool,
    /// The CPU that runs it, ran it last, or has it in its run queue.
    pub(super) cpu: AtomicUsize,
    /// CPUs that it may run on.
    pub(super) allowed: SharedCpuMask,
    /// The memory node whose CPUs it prefers, or [`NO_NODE`]. Relaxed: a preference.
    preferred_node: AtomicUsize,
    /// Its place in a timer queue, by deadline.
    timer_node: HeapNode,
    /// The CPU in whose timer queue it is, or [`NO_CPU`]; changed under that queue's lock.
    pub(super) timer_cpu: AtomicUsize,
    /// Whether it is in the run queue of `cpu`; changed under that queue's lock.
    pub(super) is_queued: AtomicBool,
    /// Whether it waits, in a timer queue, for its group's next period.
    pub(super) is_throttled: AtomicBool,
    group: Arc<Group>,
    /// Mutexes that it holds, in debug builds.
    #[cfg(debug_assertions)]
    pub(super) locks: ThreadLocks,
    /// For a worker: the group that is charged for its work.
    charge_target: ChargeTarget,
    /// What it donates its weight to while it waits, and what it receives from threads that wait for it.
    pub(super) chain_link: ChainLink,
    /// Its turnstile, unless it lends that to a mutex for which it waits.
    pub(super) turnstile: IrqSpinLock<Option<Arc<dyn Donee>>>,
    pub(super) run_link: Link,
    pub(super) wait_link: Link,
    pub(super) entry: IrqSpinLock<Option<Box<dyn FnOnce() + Send>>>,
    /// Whether it has returned from its entry function: what is left is to leave its stack.
    pub(super) is_ending: AtomicBool,
    pub(super) has_ended: AtomicBool,
    pub(super) ended: Completion,
}

// SAFETY: `saved_sp` is guarded by the protocol of `on_cpu` (invariant 3): only the CPU that has set `on_cpu` touches
// it. Everything else is atomic, locked or constant.
unsafe impl Sync for Thread {}
// SAFETY: nothing in a thread record belongs to the thread that made it.
unsafe impl Send for Thread {}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thread({} {})", self.tid, self.name)
    }
}

/// No memory node is preferred.
const NO_NODE: usize = usize::MAX;

impl Thread {
    pub(super) fn new(
        tid: Tid,
        name: String,
        stack: Option<Stack>,
        allowed: CpuMask,
        cpu: usize,
        group: Arc<Group>,
    ) -> Self {
        Self {
            tid,
            name,
            is_idle: stack.is_none(),
            stack_bottom: stack.as_ref().map_or(0, Stack::bottom),
            stack: IrqSpinLock::of(LockClass::THREAD_ENTRY, stack),
            saved_sp: UnsafeCell::new(StackPointer::NONE),
            park: ParkState::new(),
            on_cpu: AtomicBool::new(false),
            cpu: AtomicUsize::new(cpu),
            allowed: SharedCpuMask::new(allowed),
            preferred_node: AtomicUsize::new(NO_NODE),
            entity: Entity::new(),
            timer_node: HeapNode::new(),
            timer_cpu: AtomicUsize::new(NO_CPU),
            is_queued: AtomicBool::new(false),
            is_throttled: AtomicBool::new(false),
            group,
            #[cfg(debug_assertions)]
            locks: ThreadLocks::new(),
            charge_target: ChargeTarget::new(),
            chain_link: ChainLink::new(),
            turnstile: IrqSpinLock::of(LockClass::TURNSTILE, Some(Arc::new(Turnstile::new()))),
            run_link: Link::new(),
            wait_link: Link::new(),
            account: Account::new(tsc::now_ns()),
            entry: IrqSpinLock::of(LockClass::THREAD_ENTRY, None),
            is_ending: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            ended: Completion::new(),
        }
    }

    /// Returns an `Arc` of the thread. The thread has to be in the table until this has returned, as running and queued
    /// threads are.
    pub(super) fn arc(&self) -> Arc<Self> {
        let thread: *const Self = self;
        // SAFETY: every thread lives in an `Arc`, of which the table holds a count while the thread runs or is queued.
        unsafe {
            Arc::increment_strong_count(thread);
            Arc::from_raw(thread)
        }
    }

    /// Returns the thread's number, unique among living threads.
    #[inline]
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// Returns the thread's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is a CPU's idle thread.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Returns the lowest address of its stack; 0 for an idle thread.
    pub fn stack_bottom(&self) -> u64 {
        self.stack_bottom
    }

    /// Takes the stack of a dead thread. What is left of the thread may be dropped anywhere: that takes no lock but the heap's.
    pub(super) fn take_stack(&self) -> Option<Stack> {
        self.stack.lock().take()
    }

    /// Returns the group that the thread belongs to.
    #[inline]
    pub fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// Returns the group that is charged for what the thread does: its own, or, for a worker, that of the submitter.
    pub fn charged_group(&self) -> Arc<Group> {
        self.charge_target.group().unwrap_or_else(|| self.group.clone())
    }

    /// Charges what the calling thread does from now on to `group`, or to its own group, after flushing what it has used for
    /// the last one.
    pub(super) fn charge_to(&self, group: Option<Arc<Group>>) {
        self.charge_target.change(group, &self.group, self.cpu_time_ns());
    }

    /// Charges what the calling thread has used up to now to the group that it works for.
    pub fn flush_charges(&self) {
        self.charge_target.flush_charges(&self.group, self.cpu_time_ns());
    }

    /// Returns the level at which the thread runs now, with donations; `None` in the idle class.
    pub fn level(&self) -> Option<Nice> {
        self.entity.level()
    }

    /// Returns the CPUs that the thread may run on.
    pub fn allowed(&self) -> CpuMask {
        self.allowed.load()
    }

    /// Returns the memory node whose CPUs it prefers, if any.
    pub fn preferred_node(&self) -> Option<usize> {
        Some(self.preferred_node.load(Relaxed)).filter(|node| *node != NO_NODE)
    }

    pub(super) fn set_preferred_node(&self, node: Option<usize>) {
        self.preferred_node.store(node.unwrap_or(NO_NODE), Relaxed);
    }

    /// Returns the CPU time that the thread has used up to now, in nanoseconds. For a thread that another CPU is about to
    /// stop the answer may be ahead by as long as that takes, and smaller the next time.
    pub fn cpu_time_ns(&self) -> u64 {
        self.account.cpu_time.read()
    }

    /// Returns what the thread has used up to now.
    pub fn usage(&self) -> Usage {
        self.account.usage(&self.is_queued)
    }

    /// Whether a CPU runs it at this moment.
    pub(super) fn is_running(&self) -> bool {
        self.account.cpu_time.is_running()
    }

    /// Marks the thread as running, before the calling CPU switches to it.
    #[inline(always)]
    pub(super) fn enter_cpu(&self) {
        // Acquire pairs with the store by the CPU that ran it last, in `leave_cpu`: the stack is as that CPU left it.
        let was_on_cpu = self.on_cpu.load(Acquire);
        assert!(!was_on_cpu, "thread {} ({}) would run on two cpus at once", self.tid, self.name);
        // Relaxed: no other CPU has the thread (invariant 4), and others learn of it through the queue's lock or the park
        // state that it goes through next.
        self.on_cpu.store(true, Relaxed);
    }

    /// Marks the thread as stopped, after the calling CPU has left its stack.
    #[inline(always)]
    pub(super) fn leave_cpu(&self) {
        // SeqCst: see `finish_switch`.
        self.on_cpu.store(false, SeqCst);
    }

    /// Whether it has ended and no CPU uses its stack any more: the record does not change from here on.
    pub fn has_left(&self) -> bool {
        self.has_ended() && !self.on_cpu.load(SeqCst)
    }

    pub(super) fn timer_node(&self) -> &HeapNode {
        &self.timer_node
    }

    #[inline]
    pub(super) fn saved_sp(&self) -> *mut StackPointer {
        self.saved_sp.get()
    }

    /// Notes that the calling thread has returned from its entry function. It keeps its stack until it has run once more: not
    /// behind threads that outweigh it, nor until the next period of its group's quota.
    pub(super) fn begin_to_end(&self) {
        if self.entity.nice().is_none_or(|nice| nice > Nice::DEFAULT) {
            self.entity.set_nice(Nice::DEFAULT);
        }
        // Relaxed: only the CPU that runs it looks.
        self.is_ending.store(true, Relaxed);
    }

    /// Whether it runs on where nothing is left of its group's quota: another thread waits for it, or it is about to end.
    #[inline]
    pub(super) fn is_beyond_quota(&self) -> bool {
        self.entity.receives_weight() || self.is_ending.load(Relaxed)
    }

    /// Whether it has ended, and runs no code of its client any more.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(SeqCst)
    }
}

/// Returns the current thread.
#[inline]
pub fn current() -> &'static Thread {
    let thread = percpu::current().cast::<Thread>();
    debug_assert!(!thread.is_null(), "no thread runs here yet");
    // SAFETY: the scheduler set the pointer to a thread that the table keeps while it runs. The `'static` is not quite true:
    // the reference is valid as long as this thread runs, and no other thread gets it.
    unsafe { &*thread }
}

/// Returns the current thread's name, also where none runs yet: for panics.
pub fn current_name() -> &'static str {
    if !percpu::is_active() || percpu::current().is_null() {
        return "boot";
    }
    current().name()
}

/// Returns the name of the thread that another CPU runs.
///
/// # Safety
/// That CPU does not switch threads meanwhile: it is stopped, or hangs.
pub unsafe fn name_of_current_on(cpu: &percpu::PerCpu) -> &'static str {
    let thread = cpu.current().cast::<Thread>();
    if thread.is_null() {
        return "boot";
    }
    // SAFETY: a CPU's current thread is in the table as long as it is the current one, which the caller promises.
    unsafe { (*thread).name() }
}

/// Returns an `Arc` of the current thread.
pub fn current_arc() -> Arc<Thread> {
    current().arc()
}
