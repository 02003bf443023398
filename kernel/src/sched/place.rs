//! On which CPU a thread is queued: the choice when it wakes up, and balance.
//!
//! The choices themselves are `runqueue::balance`; here they are carried out.

use core::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst, fence};

use runqueue::{CpuMask, choose_cpu, push_to};
use trace::{Event, EventClass};

use super::cpus::{self, Cpu, load_of};
use super::thread::Thread;
use crate::arch::irq::IrqGuard;
use crate::arch::percpu::{self, CpuId};
use crate::arch::{tracepoint, tsc};
use crate::platform::nodes;

/// Why a thread is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EnqueueReason {
    /// It is new.
    New,
    /// It was blocked.
    Woken,
    /// It comes from another CPU.
    Moved,
}

/// CPUs for which one timer interrupt looks for a thread.
const BALANCE_TRIES: usize = 2;
/// How often a CPU on which threads wait looks for one with less to do.
const BALANCE_INTERVAL_NS: u64 = 20_000_000;

/// Whether `thread` may run on CPU number `cpu`: the CPU is active, and allowed for the thread. If none of its allowed CPUs
/// is active, the thread may run on any active one.
#[inline]
pub(super) fn may_run_on(thread: &Thread, cpu: usize) -> bool {
    if !cpus::is_active(cpu) {
        return false;
    }
    thread.allowed.contains(cpu) || !cpus::is_any_active(&thread.allowed)
}

/// Returns the CPUs that `thread` may run on now.
fn eligible(thread: &Thread) -> CpuMask {
    let active = cpus::active();
    let eligible = thread.allowed() & active;
    if eligible.is_empty() { active } else { eligible }
}

/// Returns the CPUs of `node`, or else of the node that CPU number `cpu` is on.
pub(super) fn near(node: Option<usize>, cpu: usize) -> &'static CpuMask {
    nodes::cpus_of(node.unwrap_or_else(|| nodes::nodes().node_of_cpu(cpu)))
}

/// Chooses the CPU where a new thread starts that prefers `node`, if any.
pub(super) fn choose_cpu_for_new(allowed: &CpuMask, node: Option<usize>) -> Option<usize> {
    let here = percpu::this_cpu().id().index();
    choose_cpu(here, &(*allowed & cpus::active()), near(node, here), load_of)
}

/// Queues `thread`, which is in no queue and not running, on the CPU that suits it best, and returns that CPU. Interrupts
/// are off.
pub(super) fn enqueue(thread: &Thread, reason: EnqueueReason) -> usize {
    let last = thread.cpu.load(SeqCst);
    let choice = if thread.on_cpu.load(SeqCst) {
        // Still leaving its CPU, which will have left the stack before it looks at its queue again.
        CpuMask::EMPTY
    } else {
        eligible(thread)
    };
    let target = choose_cpu(last, &choice, near(thread.preferred_node(), last), load_of).unwrap_or(last);
    // Traced before the thread is queued: it may run at once on the other CPU.
    match reason {
        EnqueueReason::New | EnqueueReason::Woken => {
            let woken = || Event::Wake { thread: thread.tid().get(), cpu: target as u16 };
            tracepoint::event_irqs_off(EventClass::Wake, woken);
        }
        EnqueueReason::Moved => trace_move(thread, last, target),
    }
    let slept_here = reason == EnqueueReason::Woken && last == target;
    if reason == EnqueueReason::Woken && !slept_here {
        // Its sleep counts in the queue that it was detached from.
        cpus::get(last).lock_queue().wake(thread, tsc::now_ns());
    }
    push_to_cpu(target, thread, slept_here);
    // Store then load: we queued the thread, and load the idle count. A CPU that begins to idle raises the idle count, then
    // loads the queues. One of us sees the other. Likewise if the target has ceased to idle.
    fence(SeqCst);
    if !cpus::get(target).is_idle() {
        offer_to_idle(&choice);
    }
    target
}

/// Has an idle CPU of `allowed`, if there is one, look for a queued thread.
pub(super) fn offer_to_idle(allowed: &CpuMask) {
    let _irq = IrqGuard::new();
    cpus::idle(allowed).take(1).for_each(cpus::send_reschedule);
}

/// Queues `thread`, which is in no queue and not running, on CPU number `target`; if it `slept_here`, its sleep ends now.
fn push_to_cpu(target: usize, thread: &Thread, slept_here: bool) {
    let mut queue = cpus::get(target).lock_queue();
    let now_ns = tsc::now_ns();
    if slept_here {
        queue.wake(thread, now_ns);
    }
    queue.push_arriving(target, thread, now_ns);
    // Under the lock, while no CPU can take the thread out: once it runs, it may be freed at any time.
    let is_misplaced = !may_run_on(thread, target);
    drop(queue);
    if is_misplaced {
        kick_affinity_check(target);
    }
}

/// Has CPU number `cpu`, where a thread may be that is not allowed there, look for such threads.
///
/// No affinity change is missed (invariant 18). The changer stores the mask, then loads the CPU; the placer stores the CPU,
/// then loads the mask. Whichever sees the other calls this.
pub(super) fn kick_affinity_check(cpu: usize) {
    cpus::get(cpu).has_misplaced.store(true, SeqCst);
    cpus::send_reschedule(cpu);
}

/// Whether `thread` was queued on CPU number `cpu` and ran there last: nothing is to be recorded when it runs there now.
#[inline(always)]
pub(super) fn is_recorded_on(thread: &Thread, cpu: usize) -> bool {
    // Relaxed: `cpu` was stored under the lock of the queue that the thread was taken from, or by this CPU.
    thread.cpu.load(Relaxed) == cpu && thread.account.ran_on(cpu)
}

/// Records that `thread`, which was queued or ran elsewhere, is about to run on the calling CPU, number `cpu`.
#[cold]
pub(super) fn record_cpu(thread: &Thread, cpu: usize) {
    if !thread.account.ran_on(cpu) {
        thread.account.note_cpu(cpu);
    }
    if thread.cpu.load(Relaxed) != cpu {
        thread.cpu.store(cpu, SeqCst);
        // After the store: see `kick_affinity_check`. Where a thread was queued here, `push_to_cpu` has looked.
        if !may_run_on(thread, cpu) {
            kick_affinity_check(cpu);
        }
    }
}

/// Traces that `thread`, which is in no queue, goes to another CPU. Interrupts are off.
#[inline(always)]
pub(super) fn trace_move(thread: &Thread, from: usize, to: usize) {
    let moved = || Event::Migrate { thread: thread.tid().get(), from: from as u16, to: to as u16 };
    tracepoint::event_irqs_off(EventClass::Migrate, moved);
}

/// Takes a thread lighter than `below_weight`, which may run on CPU `to`, out of CPU `from`'s queue. Looks at a bounded number
/// of threads.
pub(super) fn take_movable(from: usize, to: usize, below_weight: u32) -> Option<&'static Thread> {
    let taken = cpus::get(from).lock_queue().steal(|thread| {
        thread.entity.weight().get() < below_weight && may_run_on(thread, to) && !thread.on_cpu.load(SeqCst)
    });
    if let Some(thread) = taken {
        trace_move(thread, from, to);
    }
    taken
}

/// Gives a queued thread to the CPU that has least to do, one of the same node before others, if that evens things out. A
/// busy CPU's timer calls this; most calls do nothing.
pub(super) fn balance(cpu: &Cpu, id: CpuId) {
    let now_ns = tsc::now_ns();
    // Relaxed: only this CPU uses it.
    if cpu.nr_queued() == 0 || now_ns < cpu.next_balance_ns.load(Relaxed) {
        return;
    }
    cpu.next_balance_ns.store(now_ns + BALANCE_INTERVAL_NS, Relaxed);
    // Within the node, then across: if no thread is light enough for one CPU, one may be for a CPU further away.
    for _ in 0..BALANCE_TRIES {
        let candidates = cpus::active().without(cpu.balance_tried.load());
        let Some((target, difference)) = push_to(id.index(), &candidates, near(None, id.index()), load_of)
        else {
            return cpu.balance_tried.store(&CpuMask::EMPTY);
        };
        if let Some(thread) = take_movable(id.index(), target, difference) {
            cpu.balance_tried.store(&CpuMask::EMPTY);
            push_to_cpu(target, thread, false);
            return cpus::send_reschedule(target);
        }
        cpu.balance_tried.insert(target);
    }
    // The next timer interrupt tries the other CPUs: interrupts are off here.
    cpu.next_balance_ns.store(now_ns, Relaxed);
}
