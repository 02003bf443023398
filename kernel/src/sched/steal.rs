//! Stealing: a CPU that has nothing to run takes a thread that is queued on another CPU.
//!
//! It first looks at a few threads of each queue ([`steal`]). Behind those there may be others in a long queue. A CPU that
//! idles searches the table of all threads for them, in steps that let interrupts in ([`take_hidden`]).

use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use runqueue::{CpuMask, Load, steal_from};

use super::cpus::{self, Cpu, here, load_of};
use super::place::{EnqueueReason, may_run_on, near, take_movable, trace_move};
use super::resched::make_runnable;
use super::table;
use super::thread::Thread;
use crate::arch::irq::IrqGuard;
use crate::arch::percpu::CpuId;
use crate::arch::tsc;

/// Steals a thread for the calling CPU `id`, which has none: from the CPU with the most weight that has one to give, one of
/// the same node before others. Looks at a bounded number of threads of each CPU.
pub(super) fn steal(cpu: &Cpu, id: CpuId) -> Option<&'static Thread> {
    let mut candidates = cpus::active();
    if !candidates.contains(id.index()) {
        return None;
    }
    loop {
        let victim = steal_from(id.index(), &candidates, near(None, id.index()), load_of)?;
        if let Some(thread) = take_movable(victim, id.index(), u32::MAX) {
            return Some(receive(cpu, thread));
        }
        candidates.remove(victim);
    }
}

/// Has the calling CPU `cpu`, which idles, search all threads from now on. Interrupts are off.
pub(super) fn request_search(cpu: &Cpu) {
    // Relaxed, here and below: only this CPU uses it.
    cpu.wants_steal_search.store(true, Relaxed);
}

/// Goes one step on with the search of the calling CPU `id`, which idles, for a thread that [`steal`] does not see, and takes
/// that. The caller lets interrupts in and continues while the search [is not over](is_searching). Interrupts are off.
///
/// No thread is missed: one that can be taken after the search has passed it is announced by an interrupt, which requests a
/// new search.
pub(super) fn take_hidden(cpu: &Cpu, id: CpuId) -> Option<&'static Thread> {
    let mut search = cpu.steal_search.lock();
    if cpu.wants_steal_search.load(Relaxed) {
        cpu.wants_steal_search.store(false, Relaxed);
        search.request();
    }
    if search.is_over() {
        return None;
    }
    let others = cpus::active().without(CpuMask::single(id.index()));
    if !others.iter().any(hides_threads) {
        // `steal` has looked at all threads.
        search.end();
        return None;
    }
    let found = table::find(&mut search, |thread| {
        let from = thread.cpu.load(SeqCst);
        thread.is_queued.load(SeqCst) && from != id.index() && can_move(thread, id) && hides_threads(from)
    });
    drop(search);
    // It may have left the queue, or ended, meanwhile.
    let thread = table::at(found?.index())?;
    let from = thread.cpu.load(SeqCst);
    let taken = cpus::get(from).lock_queue().take_out(from, &thread, |thread| can_move(thread, id))?;
    trace_move(taken, from, id.index());
    Some(receive(cpu, taken))
}

/// Whether the search of the calling CPU `cpu` has to continue.
pub(super) fn is_searching(cpu: &Cpu) -> bool {
    !cpu.steal_search.lock().is_over()
}

/// Whether [`steal`] looks at only a part of the queue of CPU number `cpu`.
fn hides_threads(cpu: usize) -> bool {
    load_of(cpu).is_some_and(Load::hides_threads)
}

/// Whether `thread`, which is queued elsewhere, may run on CPU `to` now.
fn can_move(thread: &Thread, to: CpuId) -> bool {
    may_run_on(thread, to.index()) && !thread.on_cpu.load(SeqCst)
}

/// Lets `thread`, which was taken out of another queue, count as one of the calling CPU `cpu`, which runs it next.
fn receive(cpu: &Cpu, thread: &'static Thread) -> &'static Thread {
    let mut queue = cpu.lock_queue();
    let now_ns = tsc::now_ns();
    queue.attach(thread, now_ns);
    queue.start_charging(now_ns);
    thread
}

/// Does what an idle CPU does to find a thread, in the same steps, and queues a thread that it finds: how long interrupts are
/// off in them can be counted so. Interrupts are on.
pub fn search_as_idle() {
    let irq = IrqGuard::new();
    request_search(here().0);
    drop(irq);
    loop {
        let _irq = IrqGuard::new();
        let (cpu, id) = here();
        if let Some(thread) = steal(cpu, id).or_else(|| take_hidden(cpu, id)) {
            cpu.lock_queue().queue().detach(&thread.entity);
            return make_runnable(thread, EnqueueReason::Moved);
        }
        if !is_searching(cpu) {
            return;
        }
    }
}
