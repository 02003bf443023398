//! Switching: [`switch_away`] is the only place where a CPU goes from one
//! thread to another; here is also what leads there.
//!
//! # Why nobody waits for a stack
//!
//! A thread that was put into a queue may still be on its way off another CPU
//! (`on_cpu`). A CPU never waits for that: such a thread is only ever put into
//! the queue of the CPU that it is leaving, which cannot take it before it has
//! left it; and stealing passes over it. (Two CPUs that waited for each other's
//! previous thread would wait for ever.) A running thread that has to go elsewhere is
//! in no queue until its CPU has left its stack; then that CPU queues it.

use ::trace::{Class, Event, Why};
use alloc::sync::Arc;
use core::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst};

use runqueue::fair::SLICE_NS;
use runqueue::{Arrival, List, Nice, ParkDecision, Reason, Tid, UnparkAction};

use super::cpus::{self, Cpu, here};
use super::place;
use super::thread::{self, AllThreads, RunLinks, Thread};
use super::timer;
use crate::arch::irq::{IrqGuard, IrqLock, debug_assert_no_locks};
use crate::arch::lock_class::LockClass;
use crate::arch::percpu::{self, CpuId};
use crate::arch::{context, tsc};
use crate::debug::trace;
use crate::mm::zero_pool;

/// The shortest time for which a thread is let run before its group's quota is looked at.
const QUOTA_GRAIN_NS: u64 = 100_000;

/// Ended threads whose stacks no CPU uses any more.
static ENDED: IrqLock<List> = IrqLock::of(LockClass::ENDED_THREADS, List::new());

/// Makes the running code this CPU's idle thread, and the CPU one that threads
/// may be given to.
pub fn start_cpu() {
    let _irq = IrqGuard::new();
    let (cpu, id) = here();
    cpu.idle.store(thread::adopt_idle(id).get(), SeqCst);
    cpus::count_idle(true);
    cpus::set_open(id.index());
    percpu::this_cpu().set_online();
}

/// The idle thread's life: run what can be run, else halt until an interrupt.
pub fn idle_forever() -> ! {
    loop {
        x86_64::instructions::interrupts::disable();
        let (cpu, id) = here();
        place::evict_misplaced(cpu, id);
        if let Some(next) = take_next(cpu, id) {
            switch_away(next, Leave::Idle, tsc::now_ns());
            x86_64::instructions::interrupts::enable();
        } else if !ENDED.lock().is_empty() {
            x86_64::instructions::interrupts::enable();
            reap();
        } else if zero_pool::wants_page() {
            // Clean pages for later, one at a time: a thread that is woken meanwhile waits for no more than that.
            x86_64::instructions::interrupts::enable();
            zero_pool::add_page();
        } else {
            // An interrupt between the look and the halt is not lost: `sti` takes effect after `hlt` began.
            trace::event_irqs_off(Class::Halt, || Event::HaltEnter);
            x86_64::instructions::interrupts::enable_and_hlt();
            trace::event(Class::Halt, || Event::HaltExit);
        }
    }
}

/// The next thread for CPU `id`: the first of its own queue, else one from another's. Interrupts are off.
fn take_next(cpu: &Cpu, id: CpuId) -> Option<&'static Thread> {
    if cpu.waiting() > 0
        && let Some(next) = cpu.lock_queue().take(|queue| queue.pop(&AllThreads))
    {
        return Some(next);
    }
    place::steal(cpu, id)
}

/// How the running thread leaves its CPU.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// It still wants to run, and is in this CPU's queue already.
    Queued,
    /// It still wants to run, but not here.
    Moves,
    /// Someone will wake it, or it has ended.
    Blocked,
    /// It is the idle thread.
    Idle,
}

impl Leave {
    /// As the trace calls it; of a thread that has not ended.
    fn why(self) -> Why {
        match self {
            Self::Queued => Why::GaveWay,
            Self::Moves => Why::Moves,
            Self::Blocked => Why::Blocked,
            Self::Idle => Why::Idle,
        }
    }
}

/// Switches from the running thread, charged up to `now_ns`, to `next`; returns when the former runs
/// again, perhaps on another CPU. Interrupts are off before and after.
#[inline]
fn switch_away(next: &'static Thread, how: Leave, now_ns: u64) {
    debug_assert_no_locks(25, "a thread gives up the cpu");
    let (cpu, id) = here();
    let previous = thread::current();
    debug_assert!(!core::ptr::eq(previous, next));
    let was_on_cpu = next.on_cpu.swap(true, SeqCst);
    assert!(!was_on_cpu, "thread {} ({}) would run on two cpus at once", next.tid(), next.name());

    trace::event_irqs_off(Class::Switch, || Event::Switch {
        next: next.tid().get(),
        why: if previous.has_ended() { Why::Ended } else { how.why() },
        waiting: cpu.waiting(),
    });
    previous.stop_clock(now_ns);
    next.start_clock(now_ns, id.index());
    let weight = if next.is_idle() { 0 } else { next.entity.weight().get() };
    cpu.running_weight.store(weight, SeqCst);
    if next.is_idle() != (how == Leave::Idle) {
        cpus::count_idle(next.is_idle());
    }
    // Relaxed, here and below: this CPU's own.
    cpu.slice_end_ns.store(now_ns + SLICE_NS, Relaxed);
    cpu.switches.store(cpu.switches.load(Relaxed) + 1, Relaxed);
    note_quota(cpu, next.group().left_ns(now_ns), now_ns);
    cpu.leaving.store(previous.tid().get(), Relaxed);
    cpu.leaving_moves.store(how == Leave::Moves, Relaxed);
    percpu::this_cpu().need_resched.store(false, Relaxed);
    percpu::set_current(core::ptr::from_ref(next).cast_mut().cast());
    // After `start_clock` has told where it runs: see `place::set_affinity`.
    if !next.is_idle() && !place::may_run_on(next, id.index()) {
        place::tell_misplaced(id.index());
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
#[inline]
pub(super) fn finish_switch() {
    let (cpu, _) = here();
    let Some(left) = Tid::new(cpu.leaving.load(Relaxed)) else { return };
    cpu.leaving.store(Tid::NONE_RAW, Relaxed);
    let left = thread::get(left);
    if left.has_ended() {
        left.on_cpu.store(false, SeqCst);
        ENDED.lock().push_back(&RunLinks, left.tid());
        return;
    }
    let moves = cpu.leaving_moves.load(Relaxed);
    if moves {
        left.on_cpu.store(false, SeqCst);
        make_runnable(left, Arrival::Moved);
        return;
    }
    let allowed = left.allowed();
    left.on_cpu.store(false, SeqCst);
    // From here on others may run `left`, even to its end: nothing of it is looked at. If it waits here while a CPU
    // idles that has passed it over, have that one come again. (That one says that it idles before it looks.)
    if cpu.waiting() > 0
        && !cpu.is_idle()
        && let Some(idle) = cpus::find_idle(&allowed)
    {
        cpus::send_reschedule(idle);
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

/// Puts a thread that is in no queue and not running into a run queue.
pub(super) fn make_runnable(thread: &Thread, arrival: Arrival) {
    let _irq = IrqGuard::new();
    let target = place::enqueue(thread, arrival);
    let (cpu, id) = here();
    if target != id.index() {
        cpus::send_reschedule(target);
    } else if !cpu.is_idle() && must_reschedule(cpu, id) {
        // In thread context nothing looks at `need_resched` before the next interrupt: have one.
        cpus::send_reschedule(target);
    }
}

/// Whether the running thread, not the idle one, has to make room; sets the timer. Interrupts are off.
fn must_reschedule(cpu: &Cpu, id: CpuId) -> bool {
    let running = thread::current();
    let now_ns = tsc::now_ns();
    let slice_is_over = now_ns >= cpu.slice_end_ns.load(Relaxed);
    let why = if slice_is_over { Reason::SliceOver } else { Reason::WakeUp };
    let mut queue = cpu.lock_queue();
    queue.charge(running, now_ns);
    let must = queue.queue().must_give_way(&AllThreads, &running.entity, why);
    drop(queue);
    if slice_is_over && !must {
        cpu.slice_end_ns.store(now_ns + SLICE_NS, Relaxed);
    }
    let left_ns = running.group().left_ns(now_ns);
    note_quota(cpu, left_ns, now_ns);
    let must = must || left_ns == Some(0);
    percpu::this_cpu().need_resched.store(must, Relaxed);
    timer::program(id);
    must
}

/// Has the timer come when the running thread's group has used up what it may.
#[inline]
fn note_quota(cpu: &Cpu, left_ns: Option<u64>, now_ns: u64) {
    let end_ns = left_ns.map_or(u64::MAX, |left_ns| now_ns + left_ns.max(QUOTA_GRAIN_NS));
    cpu.quota_end_ns.store(end_ns, Relaxed);
}

/// Gives the CPU to the first that waits for it, if `why` is reason enough. Interrupts are off.
#[inline]
fn give_way(cpu: &Cpu, why: Reason) {
    let running = thread::current();
    let now_ns = tsc::now_ns();
    let mut queue = cpu.lock_queue();
    queue.charge(running, now_ns);
    let Some(next) = queue.take(|queue| queue.pop_instead_of(&AllThreads, &running.entity, why)) else {
        return;
    };
    queue.push(running, now_ns);
    drop(queue);
    switch_away(next, Leave::Queued, now_ns);
}

/// Gives the CPU to a thread that waits for it, if one does that is not far
/// ahead of its share.
pub fn yield_now() {
    debug_assert_no_locks(25, "a thread yields");
    let _irq = IrqGuard::new();
    let (cpu, _) = here();
    if cpu.waiting() > 0 {
        give_way(cpu, Reason::Yield);
    }
}

/// Blocks the running thread, if `really` still wants to once it is off its
/// queue's clock. Interrupts are off.
fn block_if(really: impl FnOnce(&Thread) -> bool) {
    let running = thread::current();
    let (cpu, id) = here();
    let now_ns = tsc::now_ns();
    let mut queue = cpu.lock_queue();
    queue.charge(running, now_ns);
    queue.queue().detach(&running.entity);
    running.note_blocked(now_ns);
    // Under the lock: a waker that finds the thread parked queues it here, after it has left its clock.
    if !really(running) {
        queue.queue().attach(&running.entity, Arrival::Moved);
        return;
    }
    let own = queue.take(|queue| queue.pop(&AllThreads));
    drop(queue);
    let next = own.or_else(|| place::steal(cpu, id)).unwrap_or_else(|| cpu.idle_thread());
    switch_away(next, Leave::Blocked, now_ns);
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
    if let Some(deadline_ns) = deadline_ns {
        timer::add(thread, deadline_ns);
    }
    block_if(|thread| thread.park.prepare_park() == ParkDecision::Sleep);
    if deadline_ns.is_some() {
        timer::remove(thread);
    }
    drop(irq);
}

/// Has the running thread wait for its group's next period. Interrupts are off.
fn throttle(running: &Thread) {
    // It was interrupted, so it is not in `park`, and has no other deadline.
    let until_ns = running.group().throttle(tsc::now_ns());
    running.is_throttled.store(true, SeqCst);
    timer::add(running, until_ns);
    block_if(|_| true);
}

/// Ends the calling thread: it never comes back.
/// Interrupts are off.
pub(super) fn leave_for_good() -> ! {
    block_if(|_| true);
    unreachable!("an ended thread was run again");
}

/// Lets `thread`'s [`park`] return. Harmless when it has ended.
pub fn unpark(thread: &Thread) {
    if thread.park.unpark() == UnparkAction::Wake {
        make_runnable(thread, thread.awake());
    }
}

/// The timer interrupt: wakes sleepers, ends slices.
pub fn timer_interrupt() {
    let (cpu, id) = here();
    timer::expire(id, |thread| {
        let target = place::enqueue(thread, thread.awake());
        if target != id.index() {
            cpus::send_reschedule(target);
        }
    });
    if cpu.is_idle() {
        // The idle loop looks at all queues once the interrupt returns.
        timer::program(id);
    } else {
        place::balance(cpu, id);
        must_reschedule(cpu, id);
    }
}

/// The reschedule interrupt: something was put into this CPU's queue, can be
/// fetched from another's, or may not be here any more.
pub fn reschedule_interrupt() {
    let (cpu, id) = here();
    if !cpu.is_idle() {
        place::evict_misplaced(cpu, id);
        must_reschedule(cpu, id);
    }
}

/// On the way out of every interrupt: the preemption point.
pub fn interrupt_return() {
    let (cpu, id) = here();
    if cpu.is_idle() {
        return;
    }
    let running = thread::current();
    if !place::may_run_on(running, id.index()) {
        move_away(cpu, id, running);
    } else if percpu::this_cpu().need_resched.load(Relaxed) {
        percpu::this_cpu().need_resched.store(false, Relaxed);
        match running.group().left_ns(tsc::now_ns()) {
            Some(0) => throttle(running),
            _ => give_way(cpu, Reason::SliceOver),
        }
    }
}

/// Moves the calling thread, if it may not be on its CPU.
pub(super) fn leave_if_misplaced() {
    let _irq = IrqGuard::new();
    let (cpu, id) = here();
    let running = thread::current();
    if !place::may_run_on(running, id.index()) {
        move_away(cpu, id, running);
    }
}

/// Sends the running thread, which may not be here, to another CPU. Interrupts are off.
fn move_away(cpu: &Cpu, id: CpuId, running: &Thread) {
    let now_ns = tsc::now_ns();
    let mut queue = cpu.lock_queue();
    queue.charge(running, now_ns);
    queue.queue().detach(&running.entity);
    let own = queue.take(|queue| queue.pop(&AllThreads));
    drop(queue);
    let next = own.or_else(|| place::steal(cpu, id)).unwrap_or_else(|| cpu.idle_thread());
    switch_away(next, Leave::Moves, now_ns);
}

/// When the running CPU wants its timer next: the end of the slice if somebody
/// waits for it. `None`: no tick.
#[inline]
pub(super) fn next_slice_end(id: CpuId) -> Option<u64> {
    let cpu = cpus::get(id.index());
    let slice_end_ns = if cpu.waiting() > 0 { cpu.slice_end_ns.load(Relaxed) } else { u64::MAX };
    let quota_end_ns = if cpu.is_idle() { u64::MAX } else { cpu.quota_end_ns.load(Relaxed) };
    Some(slice_end_ns.min(quota_end_ns)).filter(|end_ns| *end_ns != u64::MAX)
}

/// Lets a change of `thread`'s weight count at once, if it waits for a CPU; if it runs, from when it is next charged.
pub(super) fn reweigh(thread: &Thread) {
    let _irq = IrqGuard::new();
    let cpu = thread.cpu.load(SeqCst);
    cpus::get(cpu).lock_queue().requeue(cpu, thread);
    // It may come before the running one now.
    cpus::send_reschedule(cpu);
}

/// Changes `thread`'s claim on CPU time.
pub fn set_nice(thread: &Thread, nice: Nice) {
    thread.entity.set_nice(nice);
    reweigh(thread);
}

/// A weight that is passed on no further than this: a circle of threads that wait for each other is no reason to hang here.
const MOST_LENDERS_IN_A_ROW: usize = 32;

/// Lets `thread` run at the calling thread's weight if that is larger, until [`take_weight_back`]; and
/// whomever `thread` itself lends to. One at a time: what was lent before is taken back.
pub fn lend_weight(thread: &Arc<Thread>) {
    let lender = thread::current();
    move_loan(lender, Some(thread));
    // Who is lent something while it waits passes it on.
    let mut via = thread.clone();
    for _ in 0..MOST_LENDERS_IN_A_ROW {
        let mut loan = via.lends.lock();
        let Some((to, lent)) = loan.as_mut() else { return };
        let more = via.entity.weight().get().saturating_sub(to.entity.weight().get());
        *lent += more;
        to.entity.borrow(more);
        let to = to.clone();
        drop(loan);
        reweigh(&to);
        via = to;
    }
}

/// Takes back what `lender` has lent, and lends to `to`, if anybody, what `lender` weighs more.
pub(super) fn move_loan(lender: &Thread, to: Option<&Arc<Thread>>) {
    let old = lender.lends.lock().take();
    if let Some((borrower, weight)) = old {
        borrower.entity.give_back(weight);
        reweigh(&borrower);
    }
    if let Some(to) = to {
        let weight = lender.entity.weight().get().saturating_sub(to.entity.weight().get());
        to.entity.borrow(weight);
        *lender.lends.lock() = Some((to.clone(), weight));
        reweigh(to);
    }
}

/// Takes back what the calling thread has lent.
pub fn take_weight_back() {
    move_loan(thread::current(), None);
}
