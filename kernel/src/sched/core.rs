//! Switching: [`switch_to`] is the only place where a CPU goes from one
//! thread to another. The idle loop, and how threads block, wake and end.
//!
//! # Why nobody waits for a stack
//!
//! A thread that was put into a queue may still be on its way off another CPU
//! (`on_cpu`). A CPU never waits for that: such a thread is only ever put into
//! the queue of the CPU that it is leaving, which cannot take it before it has
//! left it; and stealing passes over it. (Two CPUs that waited for each other's
//! previous thread would wait for ever.) A running thread that has to go elsewhere is
//! in no queue until its CPU has left its stack; then that CPU queues it.

use alloc::sync::Arc;
use core::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst};
use trace::{Event, EventClass, Why};

use runqueue::{CpuMask, List, ParkDecision, UnparkAction};

use super::cpus::{self, Cpu, here};
use super::place::{self, EnqueueReason};
use super::preempt::{make_runnable, return_runtime, take_runtime};
use super::spawn;
use super::table::{self, RunLinks};
use super::thread::{self, Thread};
use super::timer;
use crate::arch::irq::IrqGuard;
use crate::arch::lock_class::LockClass;
use crate::arch::percpu::{self, CpuId};
use crate::arch::spin_lock::{IrqSpinLock, debug_assert_no_locks};
use crate::arch::{apic, context, tracepoint, tsc};
use crate::mm::zero_pool;

/// Ended threads whose stacks no CPU uses any more.
static DEAD: IrqSpinLock<List> = IrqSpinLock::of(LockClass::DEAD_THREADS, List::new());

/// Makes the running code this CPU's idle thread, and the CPU one that threads
/// may be given to.
pub fn start_cpu() {
    let _irq = IrqGuard::new();
    let (cpu, id) = here();
    apic::local().start_timer();
    cpu.idle.store(spawn::adopt_idle(id).get(), SeqCst);
    cpu.note_idle();
    cpus::set_active(id.index());
    percpu::this_cpu().set_online();
}

/// The idle thread's life: run what can be run, else halt until an interrupt.
pub fn idle_forever() -> ! {
    loop {
        x86_64::instructions::interrupts::disable();
        let (cpu, id) = here();
        place::evict_misplaced(cpu, id);
        let is_active = cpus::is_active(id.index());
        if !is_active && cpu.nr_queued() > 0 {
            // Queued by who chose this CPU before it was closed, and has not said so yet: it is sent on.
            cpu.has_misplaced.store(true, SeqCst);
        } else if is_active && let Some(next) = take_next(cpu, id) {
            let now_ns = tsc::now_ns();
            cpu.note_busy(next, now_ns);
            switch_to(cpu, id, next, Why::Idle, now_ns);
            x86_64::instructions::interrupts::enable();
        } else if is_active && !DEAD.lock().is_empty() {
            x86_64::instructions::interrupts::enable();
            reap();
        } else if is_active && zero_pool::wants_page() {
            // Pre-zeroed pages for later, one at a time: a thread that is woken meanwhile waits for no more than that.
            x86_64::instructions::interrupts::enable();
            zero_pool::add_page();
        } else {
            if !is_active {
                // From here on it takes nothing that it could have chosen before: whoever sends it away waits for that.
                cpu.is_quiesced.store(true, SeqCst);
            }
            // An interrupt between the look and the halt is not lost: `sti` takes effect after `hlt` began.
            tracepoint::event_irqs_off(EventClass::Halt, || Event::HaltEnter);
            x86_64::instructions::interrupts::enable_and_hlt();
            tracepoint::event(EventClass::Halt, || Event::HaltExit);
        }
    }
}

/// The next thread for CPU `id`: the first of its own queue, else one from another's. Interrupts are off.
fn take_next(cpu: &Cpu, id: CpuId) -> Option<&'static Thread> {
    if cpu.nr_queued() > 0
        && let Some(next) = cpu.lock_queue().pop()
    {
        return Some(next);
    }
    place::steal(cpu, id)
}

/// How the running thread leaves its CPU.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum PrevState {
    /// It is in this CPU's queue already, or someone will wake it, or it is the idle thread.
    NoAction = 0,
    /// It still wants to run, but not here.
    Migrating = 1,
    /// It has ended.
    Dead = 2,
}

impl PrevState {
    /// Of a thread that leaves its CPU for this reason.
    #[inline(always)]
    fn of(why: Why) -> Self {
        match why {
            Why::Moves => Self::Migrating,
            Why::Ended => Self::Dead,
            Why::GaveWay | Why::Blocked | Why::Idle => Self::NoAction,
        }
    }
}

/// Room for a [`PrevState`] in the address of a thread: together they are what a thread that leaves its CPU passes to the
/// next one there.
const PREV_STATE_MASK: usize = 0b11;
const _: () = assert!(align_of::<Thread>() > PREV_STATE_MASK);

/// Switches from the running thread to `next`, at `now_ns`; returns when the former runs
/// again, perhaps on another CPU. `cpu` is the running one, numbered `id`; interrupts are off before and after. The
/// caller has told the CPU's part whether a thread or the idle one runs from now on.
///
/// Every instruction here and in what leads here is one more for every switch: where something is rare, it is asked
/// for with one comparison and done elsewhere.
#[inline(always)]
pub(super) fn switch_to(cpu: &Cpu, id: CpuId, next: &'static Thread, why: Why, now_ns: u64) {
    debug_assert_no_locks(25, "a thread gives up the cpu");
    let prev = thread::current();
    debug_assert!(!core::ptr::eq(prev, next));
    next.enter_cpu();
    tracepoint::event_irqs_off(EventClass::Switch, || Event::Switch {
        next: next.tid().get(),
        why,
        waiting: cpu.nr_queued(),
    });
    prev.account.cpu_time.stop(now_ns);
    next.account.note_running(now_ns);
    if !place::is_recorded_on(next, id.index()) {
        place::record_cpu(next, id.index());
    }
    let has_quota = cpu.runtime_end_ns.load(Relaxed) != u64::MAX;
    if has_quota || !Arc::ptr_eq(prev.group(), next.group()) {
        switch_groups(cpu, id, prev, next, now_ns);
    }
    let slice_end_ns = now_ns.wrapping_add(next.entity.slice_left_ns());
    cpu.slice_end_ns.store(slice_end_ns, Relaxed);
    cpu.need_resched.store(false, Relaxed);
    cpu.count_switch();
    if cpu.nr_queued() > 0 {
        timer::fire_by(cpu, slice_end_ns);
    }
    percpu::set_current(core::ptr::from_ref(next).cast_mut().cast(), next.tid().get());
    let passed = core::ptr::from_ref(prev).expose_provenance() | PrevState::of(why) as usize;
    // SAFETY:
    // 1. Interrupts are off.
    // 2. `saved_sp` of the previous thread is this CPU's to write: its `on_cpu` is set, by this CPU.
    // 3. The next thread's was saved when it last stopped (or prepared), and finding `on_cpu` false made
    //    its stack this CPU's alone (invariant 3).
    let prev_and_state = unsafe { context::switch(prev.saved_sp(), *next.saved_sp(), passed) };
    finish_switch(prev_and_state);
}

/// The running CPU goes from a thread of one group to one of another, or what they use is limited.
#[cold]
fn switch_groups(cpu: &Cpu, id: CpuId, prev: &Thread, next: &Thread, now_ns: u64) {
    return_runtime(cpu, prev, now_ns);
    if !Arc::ptr_eq(prev.group(), next.group()) {
        prev.group().leave(id.index(), now_ns);
        next.group().enter(id.index(), now_ns);
    }
    take_runtime(cpu, next, now_ns);
    // At once, where nothing is left: who wakes up for less time than the timer takes would else never be stopped.
    timer::fire_by(cpu, cpu.runtime_end_ns.load(Relaxed));
}

/// First thing on a thread's stack after a switch to it: lets go of the thread
/// that ran before on this CPU, as `prev_and_state` says.
#[inline(always)]
pub(super) fn finish_switch(prev_and_state: usize) {
    let prev: *const Thread = core::ptr::with_exposed_provenance(prev_and_state & !PREV_STATE_MASK);
    // SAFETY: `switch_to` passed the address of a thread that is in the table until after `on_cpu` is cleared, below.
    let prev = unsafe { &*prev };
    if prev_and_state & PREV_STATE_MASK == PrevState::NoAction as usize && !cpus::is_any_idle() {
        // From here on others may run `prev`, even to its end: nothing of it is looked at.
        prev.leave_cpu();
        // SeqCst, that and this: a CPU that has passed `prev` over says that it idles before it looks; so either
        // it sees that `prev` can be had, or we see that it idles.
        if cpus::is_any_idle() {
            // It is not known any more who may run it: all have a look.
            offer_waiting(&CpuMask::ALL, usize::MAX);
        }
    } else {
        finish_switch_slowly(prev, prev_and_state & PREV_STATE_MASK);
    }
}

/// As above, for who does not simply stay, or where a CPU idles.
#[cold]
fn finish_switch_slowly(prev: &Thread, state: usize) {
    if state == PrevState::Dead as usize {
        prev.leave_cpu();
        DEAD.lock().push_back(&RunLinks, prev.tid());
    } else if state == PrevState::Migrating as usize {
        prev.leave_cpu();
        make_runnable(prev, EnqueueReason::Moved);
    } else {
        // Others that wait here are not those that left has to do with, where that is the idle thread: all have a look.
        let (allowed, most) = if prev.is_idle() { (CpuMask::ALL, usize::MAX) } else { (prev.allowed(), 1) };
        prev.leave_cpu();
        offer_waiting(&allowed, most);
    }
}

/// If threads wait for the running CPU while others of `allowed` idle, which may have passed them over, has `most` of those
/// look again.
#[cold]
fn offer_waiting(allowed: &CpuMask, most: usize) {
    let (cpu, _) = here();
    if cpu.nr_queued() > 0 && !cpu.is_idle() {
        cpus::idle(allowed).take(most).for_each(cpus::send_reschedule);
    }
}

/// Frees threads that have ended.
pub fn reap() {
    loop {
        let ended = DEAD.lock().pop_front(&RunLinks);
        match ended {
            Some(tid) => table::forget(tid),
            None => return,
        }
    }
}

/// Blocks the running thread, if `really` still wants to once it is off its
/// queue's clock. Interrupts are off.
#[inline(always)]
pub(super) fn block_if(why: Why, really: impl FnOnce(&Thread) -> bool) {
    let running = thread::current();
    let (cpu, id) = here();
    let now_ns = tsc::now_ns();
    let mut queue = cpu.lock_queue();
    queue.charge(running, now_ns);
    queue.queue().detach(&running.entity);
    // Under the lock: a waker that finds the thread parked queues it here, after it has left its clock.
    if !really(running) {
        queue.queue().attach(&running.entity);
        return;
    }
    let own = queue.pop();
    drop(queue);
    run_next(cpu, id, own, why, now_ns);
}

/// Switches to `own`, which was taken from this CPU's queue, else to whatever can be had.
#[inline(always)]
pub(super) fn run_next(cpu: &Cpu, id: CpuId, own: Option<&'static Thread>, why: Why, now_ns: u64) {
    let next = match own.or_else(|| place::steal(cpu, id)) {
        Some(next) => {
            cpu.note_running(next);
            next
        }
        None => {
            let idle = cpu.idle_thread();
            idle.account.note_queued(now_ns);
            cpu.note_idle();
            idle
        }
    };
    switch_to(cpu, id, next, why, now_ns);
}

/// Panics, in debug builds, where a thread must not block: while it holds a spin lock, or with interrupts off.
/// `doing` is what it is about to do.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub fn debug_assert_may_block(doing: &str) {
    debug_assert_no_locks(19, doing);
    debug_assert!(
        x86_64::instructions::interrupts::are_enabled(),
        "invariant 19: {doing} with interrupts off, in thread {}",
        thread::current_name()
    );
}

/// Blocks the calling thread until [`unpark`] is called for it, or `deadline_ns`
/// (on the clock of [`tsc::now_ns`]) has come. An `unpark` from before is used
/// up and returns at once. May return without reason.
pub fn park(deadline_ns: Option<u64>) {
    debug_assert_may_block("a thread blocks");
    let irq = IrqGuard::new();
    let thread = thread::current();
    debug_assert!(!thread.is_idle(), "the idle thread must not block");
    block_if(Why::Blocked, |thread| {
        if thread.park.prepare_park() == ParkDecision::Consumed {
            return false;
        }
        // Not before the thread counts as parked: another CPU may take this one's deadlines over (`timer::move_all`), and
        // one that passed there too early would wake nobody.
        if let Some(deadline_ns) = deadline_ns {
            timer::add(thread, deadline_ns);
        }
        true
    });
    if deadline_ns.is_some() {
        timer::remove(thread);
    }
    drop(irq);
}

/// Ends the calling thread: it never comes back.
/// Interrupts are off.
pub(super) fn exit_current() -> ! {
    block_if(Why::Ended, |_| true);
    unreachable!("an ended thread was run again");
}

/// Lets `thread`'s [`park`] return. Harmless when it has ended. Whether it slept.
pub fn unpark(thread: &Thread) -> bool {
    let slept = thread.park.unpark() == UnparkAction::Wake;
    if slept {
        make_runnable(thread, EnqueueReason::Woken);
    }
    slept
}
