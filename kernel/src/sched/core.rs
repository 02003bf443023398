//! The run queues, and switching.
//!
//! Every CPU has a queue of threads that wait for it, and an idle thread for
//! when none does. [`switch_away`] is the only place where a CPU goes from
//! one thread to another.
//!
//! # Why nobody waits for a stack
//!
//! A thread that was put into a queue may still be on its way off another CPU
//! (`on_cpu`). A CPU never waits for that: such a thread is only ever put into
//! the queue of the CPU that it is leaving, which cannot take it before it has
//! left it; and stealing passes over it. (Two CPUs that waited for each other's
//! previous thread would wait for ever.)

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};

use runqueue::{CpuMask, Load, ParkDecision, RunQueue, Tid, UnparkAction, choose_cpu, steal_from};

use super::thread::{self, RunLinks, Thread};
use super::timer;
use crate::arch::irq::{IrqGuard, IrqLock};
use crate::arch::percpu::{self, CpuId, MAX_CPUS};
use crate::arch::trap::VECTOR_RESCHEDULE;
use crate::arch::{apic, context, tsc};
use crate::mm::zero_pool;

/// How long a thread may run while others wait for its CPU.
pub const SLICE_NS: u64 = 5_000_000;

/// What the scheduler keeps for each CPU.
#[repr(align(128))]
struct Cpu {
    queue: IrqLock<RunQueue>,
    /// Length of the queue, readable without its lock; exact only under it.
    waiting: AtomicU32,
    /// A thread other than the idle thread runs.
    is_busy: AtomicBool,
    is_started: AtomicBool,
    idle: AtomicU32,
    /// The thread that is being switched away from; this CPU's own business.
    leaving: AtomicU32,
    /// When the running thread has to give way to one that waits.
    slice_end_ns: AtomicU64,
}

static CPUS: [Cpu; MAX_CPUS] = [const {
    Cpu {
        queue: IrqLock::new(RunQueue::new()),
        waiting: AtomicU32::new(0),
        is_busy: AtomicBool::new(false),
        is_started: AtomicBool::new(false),
        idle: AtomicU32::new(Tid::NONE_RAW),
        leaving: AtomicU32::new(Tid::NONE_RAW),
        slice_end_ns: AtomicU64::new(0),
    }
}; MAX_CPUS];

/// Ended threads whose stacks no CPU uses any more, linked like a run queue.
static ENDED: IrqLock<RunQueue> = IrqLock::new(RunQueue::new());

fn load_of(cpu: usize) -> Option<Load> {
    let cpu = &CPUS[cpu];
    cpu.is_started
        .load(SeqCst)
        .then(|| Load { waiting: cpu.waiting.load(SeqCst), running: cpu.is_busy.load(SeqCst) })
}

/// The running CPU's part. Interrupts must be off, or the answer may be stale.
fn here() -> (&'static Cpu, CpuId) {
    let id = percpu::this_cpu().id();
    (&CPUS[id.index()], id)
}

/// Makes the running code this CPU's idle thread, and the CPU one that threads
/// may be given to.
pub fn start_cpu() {
    let _irq = IrqGuard::new();
    let (cpu, id) = here();
    cpu.idle.store(thread::adopt_idle(id).get(), SeqCst);
    cpu.is_started.store(true, SeqCst);
    percpu::this_cpu().set_online();
}

/// The idle thread's life: run what can be run, else halt until an interrupt.
pub fn idle_forever() -> ! {
    loop {
        reap();
        x86_64::instructions::interrupts::disable();
        let (_, id) = here();
        match take_next(id) {
            Some(next) => {
                switch_away(next, Leave::Idle);
                x86_64::instructions::interrupts::enable();
            }
            // Clean pages for later, one at a time: a thread that is woken meanwhile waits for no more than that.
            None if zero_pool::wants_page() => {
                x86_64::instructions::interrupts::enable();
                zero_pool::add_page();
            }
            // An interrupt between the check and the halt is not lost: `sti` takes effect after `hlt` began.
            None => x86_64::instructions::interrupts::enable_and_hlt(),
        }
    }
}

/// Where a new thread should start.
pub(super) fn choose_cpu_for_new(allowed: &CpuMask) -> Option<usize> {
    choose_cpu(percpu::this_cpu().id().index(), allowed, load_of)
}

/// Puts a thread that is in no queue and not running into a run queue.
pub(super) fn make_runnable(thread: &Thread) {
    let _irq = IrqGuard::new();
    let last = thread.cpu.load(SeqCst);
    let target = if thread.on_cpu.load(SeqCst) {
        // Still leaving its CPU: that one will have left it before it looks at its queue again.
        last
    } else {
        choose_cpu(last, &thread.allowed, load_of).unwrap_or(last)
    };
    enqueue(target, thread);
    notify(target);
}

fn enqueue(target: usize, thread: &Thread) {
    thread.cpu.store(target, SeqCst);
    let mut queue = CPUS[target].queue.lock();
    queue.push_back(&RunLinks, thread.tid());
    CPUS[target].waiting.store(queue.len() as u32, SeqCst);
}

/// Has the CPU look at its queue soon.
fn notify(target: usize) {
    let (_, id) = here();
    if target == id.index() {
        // An idle CPU looks at its queue by itself as soon as the interrupt that brought us here returns.
        timer::program(id);
    } else {
        send_reschedule(target);
    }
}

fn send_reschedule(target: usize) {
    if let Some(cpu) = CpuId::new(target) {
        apic::local().send_ipi(percpu::get(cpu).apic_id(), VECTOR_RESCHEDULE);
    }
}

impl Cpu {
    fn is_idle(&self) -> bool {
        !self.is_busy.load(SeqCst)
    }
}

/// Takes the next thread for CPU `id`: its own longest waiting, else one from
/// the CPU with the most. Interrupts are off.
fn take_next(id: CpuId) -> Option<&'static Thread> {
    let own = take_from(id.index(), |queue| queue.pop_front(&RunLinks));
    own.or_else(|| {
        let victim = steal_from(id.index(), &CpuMask::ALL, load_of)?;
        take_from(victim, |queue| {
            queue.steal(&RunLinks, |tid| {
                let thread = thread::get(tid);
                thread.allowed.contains(id.index()) && !thread.on_cpu.load(SeqCst)
            })
        })
    })
}

fn take_from(cpu: usize, take: impl FnOnce(&mut RunQueue) -> Option<Tid>) -> Option<&'static Thread> {
    if CPUS[cpu].waiting.load(SeqCst) == 0 {
        return None;
    }
    let mut queue = CPUS[cpu].queue.lock();
    let tid = take(&mut queue);
    CPUS[cpu].waiting.store(queue.len() as u32, SeqCst);
    tid.map(thread::get)
}

/// How the running thread leaves its CPU.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// It still wants to run: to the end of the queue.
    Ready,
    /// Someone will wake it, or it has ended.
    Blocked,
    /// It is the idle thread.
    Idle,
}

/// Switches from the running thread to `next`; returns when the former runs
/// again, perhaps on another CPU. Interrupts are off before and after.
fn switch_away(next: &'static Thread, how: Leave) {
    let (cpu, id) = here();
    let previous = thread::current();
    debug_assert!(!core::ptr::eq(previous, next));
    let was_on_cpu = next.on_cpu.swap(true, SeqCst);
    assert!(!was_on_cpu, "thread {} ({}) would run on two cpus at once", next.tid(), next.name());

    let now_ns = tsc::now_ns();
    previous.stop_clock(now_ns);
    next.start_clock(now_ns);
    next.cpu.store(id.index(), SeqCst);
    cpu.is_busy.store(!next.is_idle(), SeqCst);
    cpu.slice_end_ns.store(now_ns + SLICE_NS, SeqCst);
    cpu.leaving.store(previous.tid().get(), SeqCst);
    percpu::this_cpu().need_resched.store(false, SeqCst);
    percpu::set_current(core::ptr::from_ref(next).cast_mut().cast());
    if how == Leave::Ready {
        enqueue(id.index(), previous);
    }
    timer::program(id);
    // SAFETY:
    // 1. Interrupts are off.
    // 2. `stopped_at` of the previous thread is this CPU's to write: its `on_cpu` is set, by this CPU.
    // 3. The next thread's was saved when it last stopped (or prepared), and swapping `on_cpu` from false made
    //    its stack this CPU's alone (invariant 3).
    unsafe { context::switch(previous.stopped_at(), *next.stopped_at()) };
    finish_switch();
}

/// First thing on a thread's stack after a switch to it: lets go of the thread
/// that ran before on this CPU.
pub(super) fn finish_switch() {
    let (cpu, id) = here();
    let left = cpu.leaving.swap(Tid::NONE_RAW, SeqCst);
    let Some(left) = Tid::new(left) else { return };
    let left = thread::get(left);
    if left.has_ended() {
        left.on_cpu.store(false, SeqCst);
        ENDED.lock().push_back(&RunLinks, left.tid());
        return;
    }
    left.on_cpu.store(false, SeqCst);
    // From here on others may run `left`. If threads wait here while a CPU idles, have it fetch one.
    if cpu.waiting.load(SeqCst) > 0 && !cpu.is_idle() {
        let idle = CpuMask::ALL
            .iter_from(id.index())
            .take(percpu::cpu_count())
            .find(|other| load_of(*other).is_some_and(Load::is_idle));
        if let Some(idle) = idle {
            send_reschedule(idle);
        }
    }
}

/// Frees threads that have ended.
pub fn reap() {
    loop {
        let ended = ENDED.lock().pop_front(&RunLinks);
        match ended {
            Some(tid) => thread::forget(tid),
            None => return,
        }
    }
}

/// Gives the CPU to a thread that waits for it, if one does.
pub fn yield_now() {
    let _irq = IrqGuard::new();
    let (_, id) = here();
    if let Some(next) = take_from(id.index(), |queue| queue.pop_front(&RunLinks)) {
        switch_away(next, Leave::Ready);
    }
}

/// Blocks the calling thread until [`unpark`] is called for it, or `deadline_ns`
/// (on the clock of [`tsc::now_ns`]) has come. An `unpark` from before is used
/// up and returns at once. May return without reason.
pub fn park(deadline_ns: Option<u64>) {
    let irq = IrqGuard::new();
    let thread = thread::current();
    debug_assert!(!thread.is_idle(), "the idle thread must not block");
    match thread.park.prepare_park() {
        ParkDecision::Consumed => return,
        ParkDecision::Sleep => {}
    }
    let (_, id) = here();
    if let Some(deadline_ns) = deadline_ns {
        timer::add(id, deadline_ns, thread.tid());
    }
    block();
    if deadline_ns.is_some() {
        timer::remove(id, thread.tid());
    }
    drop(irq);
}

/// Gives the CPU away; the calling thread is in no queue, or somebody else has
/// just put it into one. Interrupts are off.
fn block() {
    let (cpu, id) = here();
    let next = take_next(id).unwrap_or_else(|| idle_thread(cpu));
    if core::ptr::eq(next, thread::current()) {
        // Woken already, and first in the queue: go on as if switched.
        return;
    }
    switch_away(next, Leave::Blocked);
}

fn idle_thread(cpu: &Cpu) -> &'static Thread {
    thread::get(Tid::new(cpu.idle.load(SeqCst)).expect("a started cpu has an idle thread"))
}

/// Ends the calling thread: it never comes back.
pub(super) fn leave_for_good() -> ! {
    x86_64::instructions::interrupts::disable();
    block();
    unreachable!("an ended thread was run again");
}

/// Lets `thread`'s [`park`] return. Harmless when it has ended.
pub fn unpark(thread: &Thread) {
    if thread.park.unpark() == UnparkAction::Wake {
        make_runnable(thread);
    }
}

/// The timer interrupt: wakes sleepers, ends slices.
pub fn timer_interrupt() {
    let (cpu, id) = here();
    timer::expire(id, |tid| {
        let thread = thread::get(tid);
        if thread.park.cancel_park() == UnparkAction::Wake {
            make_runnable(thread);
        }
    });
    let slice_is_over = tsc::now_ns() >= cpu.slice_end_ns.load(SeqCst);
    if cpu.waiting.load(SeqCst) > 0 && (slice_is_over || cpu.is_idle()) {
        percpu::this_cpu().need_resched.store(true, SeqCst);
    }
    timer::program(id);
}

/// The reschedule interrupt: something was put into this CPU's queue, or can be
/// fetched from another's.
pub fn reschedule_interrupt() {
    let (cpu, id) = here();
    // The idle loop looks at all queues once the interrupt returns; a busy CPU starts its slice timer.
    if !cpu.is_idle() {
        timer::program(id);
    }
}

/// On the way out of every interrupt: the preemption point.
pub fn interrupt_return() {
    let (cpu, id) = here();
    if cpu.is_idle() || !percpu::this_cpu().need_resched.load(SeqCst) {
        return;
    }
    percpu::this_cpu().need_resched.store(false, SeqCst);
    if let Some(next) = take_from(id.index(), |queue| queue.pop_front(&RunLinks)) {
        switch_away(next, Leave::Ready);
    }
}

/// When the running CPU wants its timer next: the end of the slice if somebody
/// waits for it. `None`: no tick.
pub(super) fn next_slice_end(id: CpuId) -> Option<u64> {
    let cpu = &CPUS[id.index()];
    (cpu.waiting.load(SeqCst) > 0).then(|| cpu.slice_end_ns.load(SeqCst))
}
