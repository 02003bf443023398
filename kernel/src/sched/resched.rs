//! What changes which thread should run: a thread that becomes runnable, a group's quota, a misplaced thread, a changed
//! weight. Nothing here switches; a CPU that has to is sent a reschedule interrupt.

use core::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst, fence};

use runqueue::{PreemptReason, RuntimeSlice, UnparkAction};

use super::cpus::{self, Cpu, here};
use super::place::{self, EnqueueReason};
use super::table::AllThreads;
use super::thread::{self, Thread};
use super::timer;
use crate::arch::chaos::{self, Point};
use crate::arch::irq::IrqGuard;
use crate::arch::tsc;

/// Queues a thread that is in no queue and not running.
pub(super) fn make_runnable(thread: &Thread, reason: EnqueueReason) {
    let _irq = IrqGuard::new();
    let target = place::enqueue(thread, reason);
    let (cpu, id) = here();
    if target != id.index() {
        cpus::send_reschedule(target);
    } else if !cpu.is_idle() && must_reschedule(cpu) {
        // In thread context `need_resched` is not looked at before the next interrupt: have one.
        cpus::send_reschedule(target);
    }
}

/// Lets `thread`'s [`park`](super::park) return, and says whether it slept. Has no effect on a thread that has ended.
pub fn unpark(thread: &Thread) -> bool {
    chaos::point(Point::Wake);
    let slept = thread.park.unpark() == UnparkAction::Wake;
    if slept {
        make_runnable(thread, EnqueueReason::Woken);
    }
    slept
}

/// Whether the current thread, which is not the idle one, has to leave the CPU; sets the timer. Interrupts are off.
pub(super) fn must_reschedule(cpu: &Cpu) -> bool {
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

/// Time for which a thread that others wait for, or one about to end, runs on where nothing is left of its group's quota, again
/// and again until it has released what they wait for. It is charged: the group waits for longer.
const OVERDRAFT_NS: u64 = 1_000_000;

/// Takes a runtime slice of the quota of `running`'s group, if it has one, and says whether any was left. The last slice
/// was [returned](return_runtime).
pub(super) fn take_runtime(cpu: &Cpu, running: &Thread, now_ns: u64) -> bool {
    let Some(slice) = running.group().take_runtime(now_ns) else {
        cpu.runtime_end_ns.store(u64::MAX, Relaxed);
        return true;
    };
    cpu.runtime_slice_ns.store(slice.len_ns, Relaxed);
    cpu.runtime_taken_at_ns.store(slice.taken_at_ns, Relaxed);
    let overdraft_ns = if slice.len_ns == 0 && running.is_beyond_quota() { OVERDRAFT_NS } else { 0 };
    cpu.runtime_end_ns.store(slice.end_ns() + overdraft_ns, Relaxed);
    slice.len_ns + overdraft_ns > 0
}

/// Returns what is left of the runtime slice that was taken for `running`, once: its group's quota counts what was used.
pub(super) fn return_runtime(cpu: &Cpu, running: &Thread, now_ns: u64) {
    if cpu.runtime_end_ns.load(Relaxed) != u64::MAX {
        let (len_ns, taken_at_ns) =
            (cpu.runtime_slice_ns.load(Relaxed), cpu.runtime_taken_at_ns.load(Relaxed));
        running.group().return_runtime(RuntimeSlice { len_ns, taken_at_ns }, now_ns);
        cpu.runtime_end_ns.store(u64::MAX, Relaxed);
    }
}

/// [Returns](return_runtime) the runtime slice that was taken for `running`, [takes](take_runtime) the next, and says
/// whether any was left.
pub(super) fn renew_runtime(cpu: &Cpu, running: &Thread, now_ns: u64) -> bool {
    return_runtime(cpu, running, now_ns);
    take_runtime(cpu, running, now_ns)
}

/// Wakes `thread` if it was throttled and another thread waits for it now.
pub(super) fn end_throttle_if_waited_for(thread: &Thread) {
    // Store then load, with `preempt::throttle`: the donor stores the level, then we load whether the thread is throttled; the
    // thread stores that, then loads the level. One of us sees the other.
    fence(SeqCst);
    if thread.is_beyond_quota() && timer::take_throttled(thread) {
        make_runnable(thread, EnqueueReason::Woken);
    }
}

/// Applies a change of `thread`'s weight at once, if it is queued or runs where others are queued; else from when another
/// thread is queued.
pub(super) fn reweigh(thread: &Thread) {
    let _irq = IrqGuard::new();
    let number = thread.cpu.load(SeqCst);
    let cpu = cpus::get(number);
    cpu.lock_queue().requeue(number, thread);
    // It may preempt the current thread now, or be preempted. Alone it runs on, whatever its weight.
    if cpu.nr_queued() > 0 {
        cpus::send_reschedule(number);
    }
}
