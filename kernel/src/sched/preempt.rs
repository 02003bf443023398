//! When the running thread has to make room: another one woke up, its slice or its group's quota is over, it may not be
//! on this CPU any more, or it wants to.

use runqueue::{PreemptReason, RuntimeSlice};

use ::trace::Why;

use super::core::{block_if, run_next, switch_to};
use super::cpus::{self, Cpu, here};
use super::place::{self, EnqueueReason};
use super::table::AllThreads;
use super::thread::{self, Thread};
use super::timer;
use crate::arch::irq::IrqGuard;
use crate::arch::percpu::CpuId;
use crate::arch::spin_lock::debug_assert_no_locks;
use crate::arch::tsc;
use core::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst};

/// Puts a thread that is in no queue and not running into a run queue.
pub(super) fn make_runnable(thread: &Thread, reason: EnqueueReason) {
    let _irq = IrqGuard::new();
    let target = place::enqueue(thread, reason);
    let (cpu, id) = here();
    if target != id.index() {
        cpus::send_reschedule(target);
    } else if !cpu.is_idle() && must_reschedule(cpu) {
        // In thread context nothing looks at `need_resched` before the next interrupt: have one.
        cpus::send_reschedule(target);
    }
}

/// Whether the running thread, not the idle one, has to make room; sets the timer. Interrupts are off.
fn must_reschedule(cpu: &Cpu) -> bool {
    let running = thread::current();
    let now_ns = tsc::now_ns();
    let slice_is_over = now_ns >= cpu.slice_end_ns.load(Relaxed);
    let why = if slice_is_over { PreemptReason::SliceOver } else { PreemptReason::WakeUp };
    let mut queue = cpu.lock_queue();
    queue.charge(running, now_ns);
    let must = queue.queue().should_preempt(&AllThreads, &running.entity, why);
    drop(queue);
    if slice_is_over && !must {
        cpu.count_kept_slice();
        cpu.slice_end_ns.store(now_ns + running.entity.slice_left_ns(), Relaxed);
    }
    let is_left = renew_runtime(cpu, running, now_ns);
    let must = must || !is_left;
    cpu.need_resched.store(must, Relaxed);
    timer::program(cpu);
    must
}

/// Takes a slice of the quota of `running`'s group, if it has one, for `running` to be let run until that is used up; whether
/// any was left. The last slice was [returned](return_runtime).
pub(super) fn take_runtime(cpu: &Cpu, running: &Thread, now_ns: u64) -> bool {
    let Some(slice) = running.group().take_runtime(now_ns) else {
        cpu.runtime_end_ns.store(u64::MAX, Relaxed);
        return true;
    };
    cpu.runtime_slice_ns.store(slice.len_ns, Relaxed);
    cpu.runtime_taken_at_ns.store(slice.taken_at_ns, Relaxed);
    cpu.runtime_end_ns.store(slice.end_ns(), Relaxed);
    slice.len_ns > 0
}

/// Counts what `running` used here against its group's quota, instead of the slice that was taken for it.
pub(super) fn return_runtime(cpu: &Cpu, running: &Thread, now_ns: u64) {
    if cpu.runtime_end_ns.load(Relaxed) != u64::MAX {
        let (len_ns, taken_at_ns) =
            (cpu.runtime_slice_ns.load(Relaxed), cpu.runtime_taken_at_ns.load(Relaxed));
        running.group().return_runtime(RuntimeSlice { len_ns, taken_at_ns }, now_ns);
        // Once.
        cpu.runtime_end_ns.store(u64::MAX, Relaxed);
    }
}

/// [Returns](return_runtime) the slice that was taken for `running`, and [takes](take_runtime) the next; whether any was left.
fn renew_runtime(cpu: &Cpu, running: &Thread, now_ns: u64) -> bool {
    return_runtime(cpu, running, now_ns);
    take_runtime(cpu, running, now_ns)
}

/// Gives the CPU to the first that waits for it, if `why` is reason enough. `irq` keeps interrupts off.
#[inline(always)]
fn preempt_current(irq: &IrqGuard, cpu: &Cpu, id: CpuId, why: PreemptReason) {
    let now_ns = tsc::now_ns();
    let mut queue = cpu.lock_queue_under(irq);
    let next = queue.charge_and_pick_next(thread::current(), now_ns, why);
    drop(queue);
    if let Some(next) = next {
        cpu.note_running(next);
        switch_to(cpu, id, next, Why::GaveWay, now_ns);
    }
}

/// Gives the CPU to a thread that waits for it, if one does that is not far
/// ahead of its share.
pub fn yield_now() {
    debug_assert_no_locks(25, "a thread yields");
    let irq = IrqGuard::new();
    let (cpu, id) = here();
    if cpu.nr_queued() > 0 {
        preempt_current(&irq, cpu, id, PreemptReason::Yield);
    }
}

/// Whether the quota of `running`'s group, if it has one, lets it run on.
fn may_go_on(cpu: &Cpu, running: &Thread, now_ns: u64) -> bool {
    if now_ns < cpu.runtime_end_ns.load(Relaxed) {
        return true;
    }
    let is_left = renew_runtime(cpu, running, now_ns);
    timer::program(cpu);
    is_left
}

/// Has the running thread wait for its group's next period. Interrupts are off.
fn throttle(running: &Thread, now_ns: u64) {
    // It was interrupted, so it is not in `park`, and has no other deadline.
    let until_ns = running.group().throttle(now_ns);
    block_if(Why::Blocked, |thread| {
        // Under the queue's lock, as in `park`: who wakes it, on whichever CPU, queues it once this one has left it out.
        thread.is_throttled.store(true, SeqCst);
        timer::add(thread, until_ns);
        true
    });
}

/// The timer interrupt: wakes sleepers, ends slices.
pub fn timer_interrupt() {
    let (cpu, id) = here();
    timer::expire(cpu, |thread| {
        let target = place::enqueue(thread, EnqueueReason::Woken);
        if target != id.index() {
            cpus::send_reschedule(target);
        }
    });
    if cpu.is_idle() {
        // The idle loop looks at all queues once the interrupt returns.
        timer::program(cpu);
    } else {
        place::balance(cpu, id);
        must_reschedule(cpu);
    }
}

/// The reschedule interrupt: something was put into this CPU's queue, can be
/// fetched from another's, or may not be here any more.
pub fn reschedule_interrupt() {
    let (cpu, id) = here();
    if !cpu.is_idle() {
        place::evict_misplaced(cpu, id);
        must_reschedule(cpu);
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
    } else if cpu.need_resched.load(Relaxed) {
        cpu.need_resched.store(false, Relaxed);
        let now_ns = tsc::now_ns();
        if may_go_on(cpu, running, now_ns) {
            preempt_current(&IrqGuard::new(), cpu, id, PreemptReason::SliceOver);
        } else {
            throttle(running, now_ns);
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
    let own = queue.pop();
    drop(queue);
    run_next(cpu, id, own, Why::Moves, now_ns);
}

/// Lets a change of `thread`'s weight count at once, if it waits for a CPU or runs where others wait; else from when
/// somebody comes.
pub(super) fn reweigh(thread: &Thread) {
    let _irq = IrqGuard::new();
    let number = thread.cpu.load(SeqCst);
    let cpu = cpus::get(number);
    cpu.lock_queue().requeue(number, thread);
    // It may come before the running one now, or that one before it. Alone it runs on, whatever it weighs.
    if cpu.nr_queued() > 0 {
        cpus::send_reschedule(number);
    }
}
