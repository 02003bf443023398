//! When the current thread leaves its CPU without blocking: another one woke up, its slice or its group's quota is over, it
//! is not allowed on this CPU any more, or it yields.

use core::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst, fence};

use runqueue::PreemptReason;
use trace::Why;

use super::cpus::{self, Cpu, here};
use super::misplaced;
use super::park::block_if;
use super::place::{self, EnqueueReason};
use super::resched::{must_reschedule, renew_runtime};
use super::steal::request_search;
use super::switch::{run_next, switch_to};
use super::thread::{self, Thread};
use super::timer;
use crate::arch::irq::IrqGuard;
use crate::arch::percpu::CpuId;
use crate::arch::spin_lock::debug_assert_no_locks;
use crate::arch::tsc;

/// Gives the CPU to the first queued thread, if it preempts the current one for reason `why`. `irq` keeps interrupts off.
#[inline(always)]
fn preempt_current(irq: &IrqGuard, cpu: &Cpu, id: CpuId, why: PreemptReason) {
    let now_ns = tsc::now_ns();
    let mut queue = cpu.lock_queue_under(irq);
    let next = queue.charge_and_pick_next(thread::current(), now_ns, why);
    drop(queue);
    if let Some(next) = next {
        cpu.note_running(next);
        switch_to(cpu, id, next, Why::Preempted, now_ns);
    }
}

/// Gives the CPU to a queued thread, if there is one that is not far ahead of its share.
pub fn yield_now() {
    debug_assert_no_locks(25, "a thread yields");
    let irq = IrqGuard::new();
    let (cpu, id) = here();
    if cpu.nr_queued() > 0 {
        preempt_current(&irq, cpu, id, PreemptReason::Yield);
    }
}

/// Gives the CPU to a queued thread, as [`yield_now`] does, at a switch point. There the thread may be about to take a lock, or
/// the CPU may be idle.
#[cfg(debug_assertions)]
pub fn preempt_by_chaos() {
    let irq = IrqGuard::new();
    let (cpu, id) = here();
    if !cpu.is_idle() && cpu.nr_queued() > 0 {
        preempt_current(&irq, cpu, id, PreemptReason::Yield);
    }
}

/// Whether the quota of `running`'s group, if it has one, lets `running` continue.
fn may_continue(cpu: &Cpu, running: &Thread, now_ns: u64) -> bool {
    if now_ns < cpu.runtime_end_ns.load(Relaxed) {
        return true;
    }
    let is_left = renew_runtime(cpu, running, now_ns);
    timer::program(cpu);
    is_left
}

/// Blocks the current thread until its group's next period. Interrupts are off.
fn throttle(running: &Thread, now_ns: u64) {
    // The thread was interrupted, so it is not in `park`, and has no other deadline.
    let until_ns = running.group().throttle(now_ns);
    block_if(Why::Blocked, |thread| {
        // Under the queue's lock, as in `park`: a waker on another CPU queues the thread after it was detached here.
        thread.is_throttled.store(true, SeqCst);
        timer::add(thread, until_ns);
        // Store then load: see `resched::end_throttle_if_waited_for`. If the donor was faster, it queues the thread.
        fence(SeqCst);
        !(thread.is_beyond_quota() && timer::take_throttled(thread))
    });
}

/// Wakes sleepers and ends slices: the timer interrupt.
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

/// Looks at the queues again: the reschedule interrupt. A thread was queued here, can be stolen from another CPU, or may not
/// be allowed here any more.
pub fn reschedule_interrupt() {
    let (cpu, id) = here();
    if cpu.is_idle() {
        request_search(cpu);
    } else {
        if misplaced::evict_some(cpu, id) {
            // The next step comes after other interrupts.
            cpus::send_reschedule(id.index());
        }
        must_reschedule(cpu);
    }
}

/// Preempts the current thread, if that is due: on the way out of every interrupt.
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
        if may_continue(cpu, running, now_ns) {
            preempt_current(&IrqGuard::new(), cpu, id, PreemptReason::SliceOver);
        } else {
            throttle(running, now_ns);
        }
    }
}

/// Migrates the calling thread, if it is not allowed on its CPU.
pub(super) fn leave_if_misplaced() {
    let _irq = IrqGuard::new();
    let (cpu, id) = here();
    let running = thread::current();
    if !place::may_run_on(running, id.index()) {
        move_away(cpu, id, running);
    }
}

/// Migrates the current thread, which is not allowed here, to another CPU. Interrupts are off.
fn move_away(cpu: &Cpu, id: CpuId, running: &Thread) {
    let now_ns = tsc::now_ns();
    let mut queue = cpu.lock_queue();
    queue.charge(running, now_ns);
    queue.queue().detach(&running.entity);
    let own = queue.pop();
    drop(queue);
    run_next(cpu, id, own, Why::Moves, now_ns);
}
