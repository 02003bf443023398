//! What a thread is.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{
    AtomicBool, AtomicU32, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::SeqCst,
};

use runqueue::{CpuMask, Entity, HeapNode, Nice, ParkState, SharedCpuMask, Tid};
use waiting::{Loan, Loans};

use super::account::{Account, Usage};
use super::group::{ChargeTarget, Group};
#[cfg(debug_assertions)]
use super::held::ThreadLocks;
use super::wait::Completion;
use crate::arch::context::StackPointer;
use crate::arch::lock_class::LockClass;
use crate::arch::percpu;
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::tsc;
use crate::mm::stacks::Stack;

/// A kernel thread. First what every switch touches: where a part begins the record, its address costs nothing.
#[repr(C)]
pub struct Thread {
    /// Its claim on CPU time, and its place in a run queue.
    pub(super) entity: Entity,
    pub(super) account: Account,
    tid: Tid,
    name: String,
    /// A CPU's idle thread, which runs on the stack that the CPU started on.
    is_idle: bool,
    /// Its stack, for as long as it needs one.
    stack: IrqSpinLock<Option<Stack>>,
    /// Lowest address of that; 0 for an idle thread.
    stack_bottom: u64,
    /// Where the thread stopped. Written by the CPU that switches away from it, read by the one that switches to
    /// it; `on_cpu` orders the two.
    saved_sp: UnsafeCell<StackPointer>,
    pub(super) park: ParkState,
    /// Some CPU runs on this thread's stack, or has not quite left it.
    pub(super) on_cpu: AtomicBool,
    /// The CPU that runs it, ran it last, or has it in its run queue.
    pub(super) cpu: AtomicUsize,
    /// CPUs that it may run on.
    pub(super) allowed: SharedCpuMask,
    /// The memory node whose CPUs it prefers, or [`NO_NODE`]. Relaxed: a wish.
    preferred_node: AtomicUsize,
    /// Its place in a timer queue, by deadline.
    timer_node: HeapNode,
    /// The CPU in whose timer queue it is, or [`NO_CPU`]; changed under that queue's lock.
    pub(super) timer_cpu: AtomicUsize,
    /// It is in a run queue, that of `cpu`; changed under that queue's lock.
    pub(super) is_queued: AtomicBool,
    /// It waits, in a timer queue, for its group's next period.
    pub(super) is_throttled: AtomicBool,
    group: Arc<Group>,
    /// Mutexes that it holds, in debug builds.
    #[cfg(debug_assertions)]
    pub(super) locks: ThreadLocks,
    /// For a worker: at whose expense it works.
    charge_target: ChargeTarget,
    /// To whom it lends weight while it waits.
    pub(super) loan: IrqSpinLock<Option<Loan<Arc<Thread>>>>,
    /// What those lend it that wait for it.
    pub(super) loans: IrqSpinLock<Loans>,
    pub(super) run_link: AtomicU32,
    pub(super) wait_link: AtomicU32,
    pub(super) entry: IrqSpinLock<Option<Box<dyn FnOnce() + Send>>>,
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

/// No memory node is preferred to others.
const NO_NODE: usize = usize::MAX;
/// No CPU: where a thread's deadline is that has none.
pub(super) const NO_CPU: usize = usize::MAX;

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
            loan: IrqSpinLock::of(LockClass::DONATION, None),
            loans: IrqSpinLock::of(LockClass::DONATIONS, Loans::new()),
            run_link: AtomicU32::new(Tid::NONE_RAW),
            wait_link: AtomicU32::new(Tid::NONE_RAW),
            account: Account::new(tsc::now_ns()),
            entry: IrqSpinLock::of(LockClass::THREAD_ENTRY, None),
            has_ended: AtomicBool::new(false),
            ended: Completion::new(),
        }
    }

    /// The thread as something to keep. It has to be in the table, as those are that run or are in a queue, until this
    /// has returned.
    pub(super) fn arc(&self) -> Arc<Self> {
        let thread: *const Self = self;
        // SAFETY: every thread lives in an `Arc`, of which the table holds a count while the thread runs or is queued.
        unsafe {
            Arc::increment_strong_count(thread);
            Arc::from_raw(thread)
        }
    }

    /// The thread's number, unique among living threads.
    #[inline]
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// The thread's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is a CPU's idle thread.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Lowest address of its stack; 0 for an idle thread.
    pub fn stack_bottom(&self) -> u64 {
        self.stack_bottom
    }

    /// The stack of a thread that has left it for good. What is left of the thread may be dropped anywhere: that takes no lock
    /// but the heap's.
    pub(super) fn take_stack(&self) -> Option<Stack> {
        self.stack.lock().take()
    }

    /// The group that it is accounted to.
    #[inline]
    pub fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// The group at whose expense it runs: its own, or, for a worker, that of whoever asked for the work.
    pub fn charged_group(&self) -> Arc<Group> {
        self.charge_target.group().unwrap_or_else(|| self.group.clone())
    }

    /// The calling thread works at the expense of `group` from now on, or of its own. What it has used for the last one is
    /// paid for.
    pub(super) fn charge_to(&self, group: Option<Arc<Group>>) {
        self.charge_target.change(group, &self.group, self.cpu_time_ns());
    }

    /// Has the group for which the calling thread works pay for what was used up to now.
    pub fn flush_charges(&self) {
        self.charge_target.flush_charges(&self.group, self.cpu_time_ns());
    }

    /// The level at which the thread runs now, with what those lend it that wait for it; none in the idle class.
    pub fn level(&self) -> Option<Nice> {
        self.entity.level()
    }

    /// CPUs that the thread may run on.
    pub fn allowed(&self) -> CpuMask {
        self.allowed.load()
    }

    /// The memory node whose CPUs it prefers, if any.
    pub fn preferred_node(&self) -> Option<usize> {
        Some(self.preferred_node.load(Relaxed)).filter(|node| *node != NO_NODE)
    }

    pub(super) fn set_preferred_node(&self, node: Option<usize>) {
        self.preferred_node.store(node.unwrap_or(NO_NODE), Relaxed);
    }

    /// CPU time that the thread has used up to now, in nanoseconds. Asked about a thread that another CPU is just
    /// about to stop, it may be ahead by as long as that takes, and less the next time.
    pub fn cpu_time_ns(&self) -> u64 {
        self.account.cpu_time.read()
    }

    /// What the thread has had so far, up to now.
    pub fn usage(&self) -> Usage {
        self.account.usage(&self.is_queued)
    }

    /// Whether a CPU runs it, at this moment.
    pub(super) fn is_running(&self) -> bool {
        self.account.cpu_time.is_running()
    }

    /// The running CPU is about to switch to the thread.
    #[inline(always)]
    pub(super) fn enter_cpu(&self) {
        // Acquire pairs with the release by the CPU that ran it last, in `leave_cpu`: its stack is as that one left it.
        let was_on_cpu = self.on_cpu.load(Acquire);
        assert!(!was_on_cpu, "thread {} ({}) would run on two cpus at once", self.tid, self.name);
        // Relaxed: nobody else has the thread (invariant 4), and others learn of it through the lock of the queue
        // or the park state that it goes through next.
        self.on_cpu.store(true, Relaxed);
    }

    /// The running CPU has left the thread's stack.
    #[inline(always)]
    pub(super) fn leave_cpu(&self) {
        // SeqCst: `finish_switch` says why.
        self.on_cpu.store(false, SeqCst);
    }

    /// Whether it has ended and no CPU runs on its stack any more: nothing of it changes from here on.
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

    /// It has ended, and runs no code of its own any more.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(SeqCst)
    }
}

/// The running thread.
#[inline]
pub fn current() -> &'static Thread {
    let thread = percpu::current().cast::<Thread>();
    debug_assert!(!thread.is_null(), "no thread runs here yet");
    // SAFETY: the scheduler set the pointer to a thread that the table keeps while it runs. The `'static` is not
    // quite true: it holds for as long as this thread runs, and nobody else sees it.
    unsafe { &*thread }
}

/// The running thread's name, also where none runs yet: for panics.
pub fn current_name() -> &'static str {
    if !percpu::is_active() || percpu::current().is_null() {
        return "boot";
    }
    current().name()
}

/// The name of the thread that another CPU runs.
///
/// # Safety
/// That CPU does not switch threads meanwhile: it is stopped, or stuck.
pub unsafe fn name_of_current_on(cpu: &percpu::PerCpu) -> &'static str {
    let thread = cpu.current().cast::<Thread>();
    if thread.is_null() {
        return "boot";
    }
    // SAFETY: a CPU's current thread is in the table for as long as it is the current one, which the caller promises.
    unsafe { (*thread).name() }
}

/// The running thread as something to keep.
pub fn current_arc() -> Arc<Thread> {
    current().arc()
}
