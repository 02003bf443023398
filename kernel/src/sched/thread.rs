//! Threads, and the table of them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::SeqCst,
};

use runqueue::{
    Arrival, CpuMask, Entities, Entity, HeapNode, HeapNodes, Links, Nice, ParkState, SharedCpuMask, Tid,
};

use ::trace::Named;

use super::account::{Account, Usage};
use super::core as scheduler;
use super::group::Group;
#[cfg(debug_assertions)]
use super::held::ThreadLocks;
use super::place;
use super::wait::Completion;
use crate::arch::context::{self, StackPointer};
use crate::arch::irq::IrqLock;
use crate::arch::lock_class::LockClass;
use crate::arch::percpu::{self, CpuId};
use crate::arch::tsc;
use crate::debug::trace;
use crate::mm::stacks::Stack;

/// Most threads at a time, idle threads among them.
pub const MAX_THREADS: usize = 8192;

/// A kernel thread.
pub struct Thread {
    tid: Tid,
    name: String,
    /// `None` for the idle threads, which run on the stacks that their CPUs started on.
    stack: Option<Stack>,
    /// Where the thread stopped. Written by the CPU that switches away from it, read by the one that switches to
    /// it; `on_cpu` orders the two.
    stopped_at: UnsafeCell<StackPointer>,
    pub(super) park: ParkState,
    /// Some CPU runs on this thread's stack, or has not quite left it.
    pub(super) on_cpu: AtomicBool,
    /// The CPU that runs it, ran it last, or has it in its run queue.
    pub(super) cpu: AtomicUsize,
    /// CPUs that it may run on.
    pub(super) allowed: SharedCpuMask,
    /// Its claim on CPU time, and its place in a run queue.
    pub(super) entity: Entity,
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
    /// To whom it lends weight while it waits, and how much.
    pub(super) lends: IrqLock<Option<(Arc<Thread>, u32)>>,
    run_link: AtomicU32,
    wait_link: AtomicU32,
    pub(super) account: Account,
    entry: IrqLock<Option<Box<dyn FnOnce() + Send>>>,
    has_ended: AtomicBool,
    ended: Completion,
}

// SAFETY: `stopped_at` is guarded by the protocol of `on_cpu` (invariant 3): only the CPU that has set `on_cpu` touches
// it. Everything else is atomic, locked or constant.
unsafe impl Sync for Thread {}
// SAFETY: nothing in a thread record belongs to the thread that made it.
unsafe impl Send for Thread {}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thread({} {})", self.tid, self.name)
    }
}

/// No CPU: where a thread's deadline is that has none.
pub(super) const NO_CPU: usize = usize::MAX;

/// Why a thread could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpawnError {
    /// [`MAX_THREADS`] exist.
    TooManyThreads,
    /// No memory for a stack.
    NoStack,
    /// The set of allowed CPUs has no CPU that is online.
    NoSuchCpu,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyThreads => write!(f, "there are {MAX_THREADS} threads already, the most"),
            Self::NoStack => write!(f, "no memory for a thread's stack"),
            Self::NoSuchCpu => write!(f, "none of the cpus that the thread may run on is online"),
        }
    }
}

/// Threads by number. A non-null entry holds one count of the thread's `Arc`,
/// given up when the thread has ended and left its stack.
static TABLE: [AtomicPtr<Thread>; MAX_THREADS] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_THREADS];
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Threads that have ended and are still in the table.
static ENDED_COUNT: AtomicUsize = AtomicUsize::new(0);
/// Where the search for a free number starts.
static NEXT: AtomicUsize = AtomicUsize::new(0);

impl Thread {
    fn new(
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
            stack,
            stopped_at: UnsafeCell::new(StackPointer::NONE),
            park: ParkState::new(),
            on_cpu: AtomicBool::new(false),
            cpu: AtomicUsize::new(cpu),
            allowed: SharedCpuMask::new(allowed),
            entity: Entity::new(),
            timer_node: HeapNode::new(),
            timer_cpu: AtomicUsize::new(NO_CPU),
            is_queued: AtomicBool::new(false),
            is_throttled: AtomicBool::new(false),
            group,
            #[cfg(debug_assertions)]
            locks: ThreadLocks::new(),
            lends: IrqLock::of(LockClass::LOAN, None),
            run_link: AtomicU32::new(Tid::NONE_RAW),
            wait_link: AtomicU32::new(Tid::NONE_RAW),
            account: Account::new(tsc::now_ns()),
            entry: IrqLock::of(LockClass::THREAD_ENTRY, None),
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
        self.stack.is_none()
    }

    /// The group that it is accounted to.
    #[inline]
    pub fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// CPUs that the thread may run on.
    pub fn allowed(&self) -> CpuMask {
        self.allowed.load()
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

    /// How the thread, which is blocked, comes back into a run queue.
    pub(super) fn awake(&self) -> Arrival {
        Arrival::Awake { slept_ns: self.account.slept_ns() }
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
    pub(super) fn stopped_at(&self) -> *mut StackPointer {
        self.stopped_at.get()
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

/// The name of the thread numbered `tid`, if there is one: for telling what a broken machine did.
///
/// # Safety
/// Every other CPU is stopped for good, and the calling one frees no threads any more.
pub unsafe fn name_while_stopped(tid: u32) -> Option<&'static str> {
    let thread = TABLE.get(tid as usize)?.load(SeqCst);
    // SAFETY: an entry is null, or marks a number as taken, or points to a thread of which the table holds a count;
    // by the caller's promise nobody takes it out any more. One who was stopped while at it has emptied the entry first.
    (!thread.is_null() && thread != placeholder()).then(|| unsafe { &*thread }.name())
}

/// The running thread as something to keep.
pub fn current_arc() -> Arc<Thread> {
    current().arc()
}

/// The thread numbered `tid`, which must be in a queue or run: such threads are
/// in the table.
#[inline]
pub(super) fn get(tid: Tid) -> &'static Thread {
    let thread = TABLE[tid.index()].load(SeqCst);
    assert!(!thread.is_null(), "thread {tid} is in a queue but has ended");
    // SAFETY: as in `current`: queued threads have not ended, so the table keeps them.
    unsafe { &*thread }
}

/// Held while a thread's record leaves the table, and while somebody finds one there who has no other hold on it.
static LEAVING: IrqLock<()> = IrqLock::of(LockClass::LEAVING_THREADS, ());

/// The thread numbered `index`, if there is one.
pub(super) fn at(index: usize) -> Option<Arc<Thread>> {
    let _nobody_leaves = LEAVING.lock();
    let thread = TABLE.get(index)?.load(SeqCst);
    // SAFETY: an entry is null, or marks a number as taken, or points to a thread of which the table holds a count:
    // that stays until `forget` takes the pointer out, which waits for the lock.
    (!thread.is_null() && thread != placeholder()).then(|| unsafe { &*thread }.arc())
}

/// The thread that the CPU of `block` runs; `None` if it runs none yet.
pub(super) fn current_on(block: &percpu::PerCpu) -> Option<Arc<Thread>> {
    let _nobody_leaves = LEAVING.lock();
    let thread = block.current().cast::<Thread>();
    // SAFETY: a CPU's current thread is in the table, and whoever is to take it out after it has ended (it is not
    // the current one then) waits for the lock.
    (!thread.is_null()).then(|| unsafe { &*thread }.arc())
}

/// Marks a number as taken while its thread is being built.
fn placeholder() -> *mut Thread {
    core::ptr::dangling_mut()
}

/// Threads that exist, idle ones among them.
pub fn thread_count() -> usize {
    COUNT.load(SeqCst)
}

/// Threads that have ended and were not freed yet.
pub fn ended_count() -> usize {
    ENDED_COUNT.load(SeqCst)
}

/// Links of the list of ended threads.
pub(super) struct RunLinks;
/// Links of wait queues.
pub(super) struct WaitLinks;

/// All threads, for run queues.
pub(super) struct AllThreads;
/// All threads, for timer queues.
pub(super) struct TimerNodes;

impl Entities for AllThreads {
    #[inline(always)]
    fn entity(&self, tid: Tid) -> &Entity {
        &get(tid).entity
    }
}

impl HeapNodes for TimerNodes {
    #[inline(always)]
    fn node(&self, tid: Tid) -> &HeapNode {
        &get(tid).timer_node
    }
}

impl Links for RunLinks {
    fn next(&self, tid: Tid) -> Option<Tid> {
        Tid::new(get(tid).run_link.load(SeqCst))
    }
    fn set_next(&self, tid: Tid, next: Option<Tid>) {
        get(tid).run_link.store(Tid::to_raw(next), SeqCst);
    }
}

impl Links for WaitLinks {
    fn next(&self, tid: Tid) -> Option<Tid> {
        Tid::new(get(tid).wait_link.load(SeqCst))
    }
    fn set_next(&self, tid: Tid, next: Option<Tid>) {
        get(tid).wait_link.store(Tid::to_raw(next), SeqCst);
    }
}

/// Finds a free number and enters the thread that `make` builds for it.
fn enter(make: impl FnOnce(Tid) -> Thread) -> Result<Arc<Thread>, SpawnError> {
    let start = NEXT.fetch_add(1, SeqCst);
    let free = (0..MAX_THREADS).map(|step| (start + step) % MAX_THREADS).find(|index| {
        TABLE[*index].compare_exchange(core::ptr::null_mut(), placeholder(), SeqCst, SeqCst).is_ok()
    });
    let index = free.ok_or(SpawnError::TooManyThreads)?;
    let tid = Tid::new(index as u32).expect("the table is smaller than the largest number");
    let thread = Arc::new(make(tid));
    TABLE[index].store(Arc::into_raw(thread.clone()).cast_mut(), SeqCst);
    COUNT.fetch_add(1, SeqCst);
    Ok(thread)
}

/// Gives up the table's hold on an ended thread that no CPU runs on any more.
pub(super) fn forget(tid: Tid) {
    let thread = {
        let _nobody_looks = LEAVING.lock();
        TABLE[tid.index()].swap(core::ptr::null_mut(), SeqCst)
    };
    COUNT.fetch_sub(1, SeqCst);
    // SAFETY: `enter` put the count of one `Arc` there, and the swap took it out exactly once.
    drop(unsafe { Arc::from_raw(thread.cast_const()) });
    ENDED_COUNT.fetch_sub(1, SeqCst);
}

/// A running or ended thread that can be waited for. Dropped, the thread goes
/// on by itself.
#[derive(Clone)]
pub struct JoinHandle {
    thread: Arc<Thread>,
}

impl JoinHandle {
    /// Blocks until the thread has ended. Clones may be joined as well, at any time: they return at once then.
    ///
    /// # Panics
    /// In debug builds, when the calling thread is the one: it would wait for itself.
    pub fn join(self) {
        debug_assert!(
            !core::ptr::eq(&*self.thread, current()),
            "invariant 27: thread {} joins itself",
            self.thread.name
        );
        self.thread.ended.wait();
    }

    /// The thread.
    pub fn thread(&self) -> &Arc<Thread> {
        &self.thread
    }
}

/// Starts a thread that may run on any CPU.
pub fn spawn(name: &str, entry: impl FnOnce() + Send + 'static) -> Result<JoinHandle, SpawnError> {
    Spawn::new(name).start(entry)
}

/// Starts a thread that runs only on the CPUs of `allowed`.
pub fn spawn_on(
    allowed: CpuMask,
    name: &str,
    entry: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle, SpawnError> {
    Spawn::new(name).on(allowed).start(entry)
}

/// A thread to be started: what it is allowed, and how much it counts.
#[derive(Debug, Clone, Copy)]
pub struct Spawn<'a> {
    name: &'a str,
    allowed: CpuMask,
    nice: Nice,
    is_idle_class: bool,
    group: Option<&'a Arc<Group>>,
}

impl<'a> Spawn<'a> {
    /// A thread of default weight that may run on any CPU.
    pub const fn new(name: &'a str) -> Self {
        Self { name, allowed: CpuMask::ALL, nice: Nice::DEFAULT, is_idle_class: false, group: None }
    }

    /// Only on the CPUs of `allowed`.
    pub const fn on(self, allowed: CpuMask) -> Self {
        Self { allowed, ..self }
    }

    /// With the weight of `nice`.
    pub const fn nice(self, nice: Nice) -> Self {
        Self { nice, ..self }
    }

    /// Only when no other thread wants to run.
    pub const fn idle_class(self) -> Self {
        Self { is_idle_class: true, ..self }
    }

    /// In `group`, not its creator's.
    #[inline]
    pub const fn group(self, group: &'a Arc<Group>) -> Self {
        Self { group: Some(group), ..self }
    }

    /// Starts the thread.
    pub fn start(self, entry: impl FnOnce() + Send + 'static) -> Result<JoinHandle, SpawnError> {
        scheduler::reap();
        let stack = Stack::new().ok_or(SpawnError::NoStack)?;
        let top = stack.top();
        let cpu = place::choose_cpu_for_new(&self.allowed).ok_or(SpawnError::NoSuchCpu)?;
        let creator = current();
        let inherited = if creator.is_idle() { Group::root() } else { &creator.group };
        let group = self.group.unwrap_or(inherited).clone();
        let thread = enter(|tid| Thread::new(tid, self.name.into(), Some(stack), self.allowed, cpu, group))?;
        match self.is_idle_class {
            true => thread.entity.set_idle_class(),
            false => thread.entity.set_nice(self.nice),
        }
        *thread.entry.lock() = Some(Box::new(entry));
        // SAFETY:
        // 1. The stack is new (or its last thread has ended), mapped, and 16-aligned at its top.
        // 2. The thread is in no queue yet, so no CPU touches `stopped_at`.
        unsafe {
            *thread.stopped_at.get() = context::prepare(top, thread_main, Arc::as_ptr(&thread) as usize);
        }
        trace::name(Named::Thread, thread.tid().get(), self.name);
        scheduler::make_runnable(&thread, Arrival::Awake { slept_ns: 0 });
        Ok(JoinHandle { thread })
    }
}

/// Where every thread begins.
extern "C" fn thread_main(thread: usize, passed: usize) -> ! {
    scheduler::finish_switch(passed);
    x86_64::instructions::interrupts::enable();
    // SAFETY: `spawn_on` passed the thread's own address; the table keeps it while it runs.
    let thread = unsafe { &*(thread as *const Thread) };
    let entry = thread.entry.lock().take();
    if let Some(entry) = entry {
        entry();
    }
    // Before anybody knows that it has ended: see `ended_count`.
    ENDED_COUNT.fetch_add(1, SeqCst);
    thread.ended.complete();
    // No preemption from here on: a thread that has ended must not be put into a run queue again, for whoever
    // switches away from it takes it for one to be freed.
    x86_64::instructions::interrupts::disable();
    thread.has_ended.store(true, SeqCst);
    scheduler::leave_for_good()
}

/// Makes the code that runs on this CPU its idle thread.
pub(super) fn adopt_idle(cpu: CpuId) -> Tid {
    let name = alloc::format!("idle/{cpu}");
    let (number, group) = (cpu.index(), Group::of_idle_threads());
    let make = |tid| Thread::new(tid, name, None, CpuMask::single(number), number, group.clone());
    let thread = enter(make).unwrap_or_else(|error| panic!("idle thread of cpu {cpu}: {error}"));
    let now_ns = tsc::now_ns();
    thread.enter_cpu();
    thread.account.note_queued(now_ns);
    thread.account.note_running(now_ns);
    thread.account.note_cpu(number);
    group.enter(number, now_ns);
    percpu::set_current(Arc::as_ptr(&thread).cast_mut().cast());
    thread.tid
}
