//! Where threads run: the choice of a CPU when they wake up, idle CPUs that
//! fetch work, the balance between busy ones, and affinity.
//!
//! The choices themselves are `runqueue::balance`; here they are carried out.

use core::fmt;
use core::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst, fence};

use runqueue::{CpuMask, choose_cpu, push_to, steal_from};
use trace::{Event, EventClass};

use super::cpus::{self, Cpu, load_of};
use super::preempt::{leave_if_misplaced, make_runnable};
use super::table::{self, AllThreads};
use super::thread::{self, Thread};
use crate::arch::percpu::{self, CpuId};
use crate::arch::{tracepoint, tsc};
use crate::platform::nodes;

/// Why a thread joins a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EnqueueReason {
    /// It is new.
    New,
    /// It was blocked.
    Woken,
    /// It comes from another CPU.
    Moved,
}

/// How often a CPU on which threads wait looks whether another has less to do.
const BALANCE_INTERVAL_NS: u64 = 20_000_000;

/// Whether `thread` may run on CPU number `cpu`: it is allowed to, and the CPU is open. When no
/// CPU that it is allowed on is open, any will do.
#[inline]
pub(super) fn may_run_on(thread: &Thread, cpu: usize) -> bool {
    if !cpus::is_active(cpu) {
        return false;
    }
    thread.allowed.contains(cpu) || (thread.allowed() & cpus::active()).is_empty()
}

/// CPUs that `thread` may run on now.
fn eligible(thread: &Thread) -> CpuMask {
    let active = cpus::active();
    let eligible = thread.allowed() & active;
    if eligible.is_empty() { active } else { eligible }
}

/// The CPUs of `node`, or else of the node that CPU number `cpu` is on.
fn near(node: Option<usize>, cpu: usize) -> &'static CpuMask {
    nodes::cpus_of(node.unwrap_or_else(|| nodes::nodes().node_of_cpu(cpu)))
}

/// Where a new thread should start that prefers `node`, if any.
pub(super) fn choose_cpu_for_new(allowed: &CpuMask, node: Option<usize>) -> Option<usize> {
    let here = percpu::this_cpu().id().index();
    choose_cpu(here, &(*allowed & cpus::active()), near(node, here), load_of)
}

/// Has `thread` prefer the CPUs of memory node `node` when it wakes up, as far as it may use them and they are idle; or,
/// with `None`, those of the node that it is on. A wish: a thread that would have to wait goes elsewhere. One that
/// runs or waits stays where it is until it has slept.
pub fn set_node_preference(thread: &Thread, node: Option<usize>) {
    thread.set_preferred_node(node);
}

/// Puts `thread`, which is in no queue and not running, into the queue of the
/// CPU that suits it best, which is returned. Interrupts are off.
pub(super) fn enqueue(thread: &Thread, reason: EnqueueReason) -> usize {
    let last = thread.cpu.load(SeqCst);
    let choice = if thread.on_cpu.load(SeqCst) {
        // Still leaving its CPU: that one will have left it before it looks at its queue again.
        CpuMask::EMPTY
    } else {
        eligible(thread)
    };
    let target = choose_cpu(last, &choice, near(thread.preferred_node(), last), load_of).unwrap_or(last);
    // Before it is queued, and may run at once on the other CPU.
    match reason {
        EnqueueReason::New | EnqueueReason::Woken => {
            let woken = || Event::Wake { thread: thread.tid().get(), cpu: target as u16 };
            tracepoint::event_irqs_off(EventClass::Wake, woken);
        }
        EnqueueReason::Moved => trace_move(thread, last, target),
    }
    let slept_here = reason == EnqueueReason::Woken && last == target;
    if reason == EnqueueReason::Woken && !slept_here {
        // Its sleep counts where it left off.
        cpus::get(last).lock_queue().wake(thread, tsc::now_ns());
    }
    push_to_cpu(target, thread, slept_here);
    // A CPU may have begun to idle after it was looked at: it counts itself before it looks at the queues, so either
    // it sees the thread there, or we see that it idles. Or the target has ceased to.
    fence(SeqCst);
    if !cpus::get(target).is_idle() {
        cpus::idle(&choice).take(1).for_each(cpus::send_reschedule);
    }
    target
}

/// Queues `thread`, which is in no queue and not running, with CPU number `target`; if it `slept_here`, that ends now.
fn push_to_cpu(target: usize, thread: &Thread, slept_here: bool) {
    let mut queue = cpus::get(target).lock_queue();
    let now_ns = tsc::now_ns();
    if slept_here {
        queue.wake(thread, now_ns);
    }
    queue.push_arriving(target, thread, now_ns);
    // While nobody can take it out: once it runs, it may be gone at any time.
    let is_misplaced = !may_run_on(thread, target);
    drop(queue);
    if is_misplaced {
        kick_affinity_check(target);
    }
}

/// CPU number `cpu` has a thread that may not be there: has it look.
///
/// A thread's affinity changes without any lock, in this order: the mask, then a look at
/// where the thread is, here by `set_affinity`; and on the other side: where the thread is, then a
/// look at the mask, by who queues or runs it. So at least one of the two sees the other.
pub(super) fn kick_affinity_check(cpu: usize) {
    cpus::get(cpu).has_misplaced.store(true, SeqCst);
    cpus::send_reschedule(cpu);
}

/// Whether `thread` was placed on CPU number `cpu`, and ran there last: nothing about its place changes when it runs
/// there now.
#[inline(always)]
pub(super) fn is_recorded_on(thread: &Thread, cpu: usize) -> bool {
    // Relaxed: set by who queued the thread here, under the queue's lock, or by this CPU.
    thread.cpu.load(Relaxed) == cpu && thread.account.ran_on(cpu)
}

/// `thread`, which the running CPU number `cpu` is about to run, was placed elsewhere or ran elsewhere.
#[cold]
pub(super) fn record_cpu(thread: &Thread, cpu: usize) {
    if !thread.account.ran_on(cpu) {
        thread.account.note_cpu(cpu);
    }
    if thread.cpu.load(Relaxed) != cpu {
        thread.cpu.store(cpu, SeqCst);
        // After it was told where the thread is: see `kick_affinity_check`. Where it was queued, that was looked at then.
        if !may_run_on(thread, cpu) {
            kick_affinity_check(cpu);
        }
    }
}

/// Sends threads that may not be in the running CPU `id`'s queue where they may be. Interrupts are off, and no
/// thread is on its way off this CPU.
pub(super) fn evict_misplaced(cpu: &Cpu, id: CpuId) {
    if !cpu.has_misplaced.swap(false, SeqCst) {
        return;
    }
    loop {
        let misplaced = cpu.lock_queue().take(|queue| {
            let tid = queue.find(&AllThreads, |tid| !may_run_on(table::get(tid), id.index()))?;
            queue.remove(&AllThreads, tid);
            queue.detach(&table::get(tid).entity);
            Some(tid)
        });
        match misplaced {
            Some(thread) => make_runnable(thread, EnqueueReason::Moved),
            None => return,
        }
    }
}

/// Fetches a thread for the running CPU `id`, which has none: from the CPU with the most that has one to give, one of its
/// own node before others.
pub(super) fn steal(cpu: &Cpu, id: CpuId) -> Option<&'static Thread> {
    let mut candidates = cpus::active();
    if !candidates.contains(id.index()) {
        return None;
    }
    loop {
        let victim = steal_from(id.index(), &candidates, near(None, id.index()), load_of)?;
        if let Some(thread) = take_movable(victim, id.index(), u32::MAX) {
            cpu.lock_queue().attach(thread, tsc::now_ns());
            return Some(thread);
        }
        candidates.remove(victim);
    }
}

/// Traces that `thread`, which is in no queue, goes to another CPU. Interrupts are off.
#[inline(always)]
fn trace_move(thread: &Thread, from: usize, to: usize) {
    let moved = || Event::Migrate { thread: thread.tid().get(), from: from as u16, to: to as u16 };
    tracepoint::event_irqs_off(EventClass::Migrate, moved);
}

/// Takes a waiting thread lighter than `below_weight` out of CPU `from`'s queue that may run on CPU `to`.
fn take_movable(from: usize, to: usize, below_weight: u32) -> Option<&'static Thread> {
    let taken = cpus::get(from).lock_queue().take(|queue| {
        queue.steal(&AllThreads, |tid| {
            let thread = table::get(tid);
            thread.entity.weight().get() < below_weight
                && may_run_on(thread, to)
                && !thread.on_cpu.load(SeqCst)
        })
    });
    if let Some(thread) = taken {
        trace_move(thread, from, to);
    }
    taken
}

/// Once in a while, by a busy CPU's timer: gives a waiting thread to the CPU that has least to do, of its own node before
/// others, if that evens things out.
pub(super) fn balance(cpu: &Cpu, id: CpuId) {
    let now_ns = tsc::now_ns();
    // Relaxed: this CPU's own.
    if cpu.nr_queued() == 0 || now_ns < cpu.next_balance_ns.load(Relaxed) {
        return;
    }
    cpu.next_balance_ns.store(now_ns + BALANCE_INTERVAL_NS, Relaxed);
    let mut candidates = cpus::active();
    // Within the node, then across: where nobody would be better off on the next CPU, on one further away somebody may.
    while let Some((target, difference)) = push_to(id.index(), &candidates, near(None, id.index()), load_of) {
        if let Some(thread) = take_movable(id.index(), target, difference) {
            push_to_cpu(target, thread, false);
            cpus::send_reschedule(target);
            return;
        }
        candidates.remove(target);
    }
}

/// Why a thread's CPUs could not be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AffinityError {
    /// No CPU of the set takes threads.
    NoSuchCpu(CpuMask),
}

impl fmt::Display for AffinityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchCpu(mask) => {
                write!(f, "none of the cpus {{{mask}}} is online; a thread needs one of {}", cpus::active())
            }
        }
    }
}

/// Lets `thread` run only on the CPUs of `allowed`. One that runs or waits
/// elsewhere moves at once: the calling thread before this returns, another one
/// as soon as its CPU has taken the interrupt that tells it.
pub fn set_affinity(thread: &Thread, allowed: &CpuMask) -> Result<(), AffinityError> {
    if (*allowed & cpus::active()).is_empty() {
        return Err(AffinityError::NoSuchCpu(*allowed));
    }
    thread.allowed.store(allowed);
    // After the mask: see `kick_affinity_check`. A sleeping thread is placed anew when it wakes up.
    let cpu = thread.cpu.load(SeqCst);
    if !may_run_on(thread, cpu) {
        kick_affinity_check(cpu);
    }
    if core::ptr::eq(thread, thread::current()) {
        leave_if_misplaced();
    }
    Ok(())
}
