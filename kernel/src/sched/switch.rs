//! Switching: [`switch_to`] is the only place where a CPU goes from one thread to another.
//!
//! # Why no CPU waits for a stack
//!
//! A queued thread may still be leaving another CPU (`on_cpu`). No CPU ever waits for that. Such a thread is only put into
//! the queue of the CPU that it is leaving, which cannot take it before it has left its stack; and stealers pass over it.
//! (Two CPUs that waited for each other's previous thread would wait for ever.) A running thread that has to migrate is in
//! no queue until its CPU has left its stack; then that CPU queues it.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use runqueue::CpuMask;
use trace::{Event, EventClass, Why};

use super::cpus::{self, Cpu, here};
use super::place::{self, EnqueueReason};
use super::reap::push_dead;
use super::resched::{make_runnable, return_runtime, take_runtime};
use super::steal::steal;
use super::thread::{self, Thread};
use super::timer;
use crate::arch::percpu::{self, CpuId};
use crate::arch::spin_lock::debug_assert_no_locks;
use crate::arch::{context, tracepoint};

/// What is left to do for the previous thread once its stack is free.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum PrevState {
    /// Nothing: it is in this CPU's queue already, or a waker will queue it, or it is the idle thread.
    NoAction = 0,
    /// It is runnable, but not here.
    Migrating = 1,
    /// It has ended.
    Dead = 2,
}

impl PrevState {
    #[inline(always)]
    fn of(why: Why) -> Self {
        match why {
            Why::Moves => Self::Migrating,
            Why::Ended => Self::Dead,
            Why::Preempted | Why::Blocked | Why::Idle => Self::NoAction,
        }
    }
}

/// Bits of a thread's address that hold its [`PrevState`] while it is passed to the next thread on the CPU.
const PREV_STATE_MASK: usize = 0b11;
const _: () = assert!(align_of::<Thread>() > PREV_STATE_MASK);

/// Switches from the current thread to `next`, at `now_ns`; returns when the former runs again, perhaps on another CPU.
///
/// `cpu` is the calling CPU, numbered `id`; interrupts are off before and after. The caller has published whether a thread
/// or the idle one runs from now on ([`Cpu::note_running`] and its like).
///
/// Each instruction here and in what leads here is one more for every switch: rare cases are found by one comparison and
/// handled in a cold function.
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
    // 3. The next thread's `saved_sp` was written when it last stopped, or was prepared; and as `on_cpu` was false, its
    //    stack is this CPU's alone (invariant 3).
    let prev_and_state = unsafe { context::switch(prev.saved_sp(), *next.saved_sp(), passed) };
    finish_switch(prev_and_state);
}

/// Accounts for a switch between threads of different groups, or of a group with a quota.
#[cold]
fn switch_groups(cpu: &Cpu, id: CpuId, prev: &Thread, next: &Thread, now_ns: u64) {
    return_runtime(cpu, prev, now_ns);
    if !Arc::ptr_eq(prev.group(), next.group()) {
        prev.group().leave(id.index(), now_ns);
        next.group().enter(id.index(), now_ns);
    }
    take_runtime(cpu, next, now_ns);
    // At once, where nothing is left: a thread that wakes up for less time than the timer takes would never be stopped.
    timer::fire_by(cpu, cpu.runtime_end_ns.load(Relaxed));
}

/// Releases the previous thread of this CPU. Runs first on a thread's stack after a switch to it.
#[inline(always)]
pub(super) fn finish_switch(prev_and_state: usize) {
    let prev: *const Thread = core::ptr::with_exposed_provenance(prev_and_state & !PREV_STATE_MASK);
    // SAFETY: `switch_to` passed the address of a thread that is in the table until after `on_cpu` is cleared, below.
    let prev = unsafe { &*prev };
    if prev_and_state & PREV_STATE_MASK == PrevState::NoAction as usize && !cpus::is_any_idle() {
        // From here on another CPU may run `prev`, even to its end: `prev` is not used any more.
        prev.leave_cpu();
        // SeqCst: we store `on_cpu`, then load the idle count. A stealer raises the idle count, then loads `on_cpu`.
        // One of us sees the other.
        if cpus::is_any_idle() {
            // Which CPUs may run it is not known any more: all of them look.
            offer_queued(&CpuMask::ALL, usize::MAX);
        }
    } else {
        finish_switch_slowly(prev, prev_and_state & PREV_STATE_MASK);
    }
}

/// Does the same for a thread with another [`PrevState`], or where a CPU idles.
#[cold]
fn finish_switch_slowly(prev: &Thread, state: usize) {
    if state == PrevState::Dead as usize {
        prev.leave_cpu();
        push_dead(prev);
    } else if state == PrevState::Migrating as usize {
        prev.leave_cpu();
        make_runnable(prev, EnqueueReason::Moved);
    } else {
        // The idle thread says nothing about the threads queued here: all CPUs look.
        let (allowed, most) = if prev.is_idle() { (CpuMask::ALL, usize::MAX) } else { (prev.allowed(), 1) };
        prev.leave_cpu();
        offer_queued(&allowed, most);
    }
}

/// Has up to `most` idle CPUs among `allowed` look again, one for each thread that is queued on the calling CPU and may
/// start there: they may have passed over one that was leaving this CPU. Looks at a bounded number of threads. If there are
/// more, one idle CPU is told in any case, and searches on.
#[cold]
fn offer_queued(allowed: &CpuMask, most: usize) {
    let (cpu, _) = here();
    if cpu.nr_queued() == 0 || cpu.is_idle() {
        return;
    }
    let mut idle = CpuMask::EMPTY;
    for number in cpus::idle(allowed) {
        idle.insert(number);
    }
    if idle.is_empty() {
        return;
    }
    let mut left = most;
    let queue = cpu.lock_queue();
    queue.look(|thread| {
        if let Some(number) = (thread.allowed() & idle).iter().next() {
            idle.remove(number);
            cpus::send_reschedule(number);
            left -= 1;
        }
        left > 0 && !idle.is_empty()
    });
    if left == most && !queue.is_searched_whole() {
        idle.iter().take(1).for_each(cpus::send_reschedule);
    }
}

/// Switches to `own`, which was taken from this CPU's queue, else to a stolen thread, else to the idle thread.
#[inline(always)]
pub(super) fn run_next(cpu: &Cpu, id: CpuId, own: Option<&'static Thread>, why: Why, now_ns: u64) {
    let next = match own.or_else(|| steal(cpu, id)) {
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
