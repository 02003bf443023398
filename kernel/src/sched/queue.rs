//! A CPU's run queue under its lock (invariant 4): what changes it also publishes its length and weight.
//!
//! Which thread runs next, and what the current one is charged, is [`FairQueue`]'s matter.

use core::sync::atomic::{Ordering::Relaxed, Ordering::Release, Ordering::SeqCst};

use runqueue::{FairQueue, PreemptReason, Tid};

use super::cpus::Cpu;
use super::table::{self, AllThreads, TableSearch};
use super::thread::Thread;
use crate::arch::irq::IrqGuard;
use crate::arch::spin_lock::IrqSpinLockGuard;
use crate::arch::tsc;

impl Cpu {
    /// Locks the run queue.
    #[inline]
    pub(super) fn lock_queue(&self) -> QueueGuard<'_> {
        QueueGuard { queue: self.queue.lock(), cpu: self }
    }

    /// Locks the run queue, where `irq` keeps interrupts off.
    #[inline(always)]
    pub(super) fn lock_queue_under<'a>(&'a self, irq: &'a IrqGuard) -> QueueGuard<'a> {
        QueueGuard { queue: self.queue.lock_under(irq), cpu: self }
    }
}

/// A locked run queue.
pub(super) struct QueueGuard<'a> {
    queue: IrqSpinLockGuard<'a, FairQueue>,
    cpu: &'a Cpu,
}

impl QueueGuard<'_> {
    /// Read access.
    #[inline]
    pub(super) fn queue(&self) -> &FairQueue {
        &self.queue
    }

    /// Starts charging at `now_ns`: the CPU leaves its idle thread for another.
    #[inline]
    pub(super) fn start_charging(&mut self, now_ns: u64) {
        self.queue.start_charging(now_ns);
    }

    /// Charges the current thread, `running`, for the contended time up to `now_ns`.
    #[inline]
    pub(super) fn charge(&mut self, running: &Thread, now_ns: u64) {
        self.queue.charge(&AllThreads, &running.entity, now_ns);
    }

    /// Charges the current thread; if the first queued thread preempts it, takes the latter out and queues `running` instead.
    #[inline(always)]
    pub(super) fn charge_and_pick_next(
        &mut self,
        running: &Thread,
        now_ns: u64,
        why: PreemptReason,
    ) -> Option<&'static Thread> {
        let weight = self.queue.weight();
        let (tid, entity) = (running.tid(), &running.entity);
        let next = self.queue.charge_and_pick_next(&AllThreads, tid, entity, now_ns, why)?;
        // The length is the same as before.
        if self.queue.weight() != weight {
            self.publish();
        }
        Self::note_queued(running, now_ns);
        Some(Self::note_taken(next))
    }

    /// Applies a change of the weight of `thread` at once, if it is in this queue, that of CPU number `cpu`.
    pub(super) fn requeue(&mut self, cpu: usize, thread: &Thread) {
        if thread.is_queued.load(SeqCst) && thread.cpu.load(SeqCst) == cpu {
            self.queue.requeue(&AllThreads, thread.tid());
            self.publish();
        }
    }

    /// Queues `thread`, which is in no queue and comes from elsewhere, on CPU number `cpu`: this one.
    pub(super) fn push_arriving(&mut self, cpu: usize, thread: &Thread, now_ns: u64) {
        thread.cpu.store(cpu, SeqCst);
        self.attach(thread, now_ns);
        Self::note_queued(thread, now_ns);
        self.queue.push(&AllThreads, thread.tid());
        self.publish();
    }

    #[inline(always)]
    fn note_queued(thread: &Thread, now_ns: u64) {
        thread.account.note_queued(now_ns);
        // Release, here and below, pairs with the SeqCst loads: a CPU that finds the thread queued sees since when, and
        // where.
        thread.is_queued.store(true, Release);
    }

    #[inline(always)]
    fn note_taken(tid: Tid) -> &'static Thread {
        let thread = table::get(tid);
        thread.is_queued.store(false, Release);
        thread
    }

    /// Applies the sleep of `thread`, which blocked on this CPU and wakes up at `now_ns`.
    pub(super) fn wake(&mut self, thread: &Thread, now_ns: u64) {
        self.queue.wake(&thread.entity, now_ns);
    }

    /// Makes the virtual runtime of `thread`, which is in no queue and comes from elsewhere, relative to this queue.
    pub(super) fn attach(&mut self, thread: &Thread, now_ns: u64) {
        self.queue.attach(&thread.entity, now_ns);
    }

    /// Takes out the thread that runs next; the one that ran here has left.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<&'static Thread> {
        let next = self.queue.pop(&AllThreads)?;
        self.publish();
        Some(Self::note_taken(next))
    }

    /// Takes out a thread that `may_move` allows, for another CPU to run. Looks at a bounded number.
    pub(super) fn steal(&mut self, may_move: impl Fn(&Thread) -> bool) -> Option<&'static Thread> {
        let taken = self.queue.steal(&AllThreads, tsc::now_ns(), |tid| may_move(table::get(tid)))?;
        self.publish();
        Some(Self::note_taken(taken))
    }

    /// Calls `visit` for queued threads as long as it returns true, at most for those that [`steal`](Self::steal) looks at.
    pub(super) fn look(&self, mut visit: impl FnMut(&Thread) -> bool) {
        self.queue.look(&AllThreads, |tid| visit(table::get(tid)));
    }

    /// Takes out a thread of this queue, that of CPU number `cpu`, which `must_move` accepts, for another CPU to run. Looks at
    /// a bounded number of threads: at those of the queue while they are few, else on with `search` at a few of all threads.
    /// Those of the queue are not looked at in turn, because their order changes between two looks.
    pub(super) fn evict(
        &mut self,
        cpu: usize,
        search: &mut TableSearch,
        must_move: impl Fn(&Thread) -> bool,
    ) -> Option<&'static Thread> {
        if self.queue.is_searched_whole() {
            let taken = self.steal(must_move);
            if taken.is_none() {
                search.end();
            }
            return taken;
        }
        let is_here = |thread: &Thread| thread.is_queued.load(SeqCst) && thread.cpu.load(SeqCst) == cpu;
        let found = table::find(search, |thread| is_here(thread) && must_move(thread))?;
        Some(self.take_queued(found))
    }

    /// Takes out `thread`, for another CPU to run, if it is in this queue, that of CPU number `cpu`, and `may_move` allows it.
    pub(super) fn take_out(
        &mut self,
        cpu: usize,
        thread: &Thread,
        may_move: impl Fn(&Thread) -> bool,
    ) -> Option<&'static Thread> {
        let is_here = thread.is_queued.load(SeqCst) && thread.cpu.load(SeqCst) == cpu;
        (is_here && may_move(thread)).then(|| self.take_queued(thread.tid()))
    }

    fn take_queued(&mut self, tid: Tid) -> &'static Thread {
        self.queue.evict(&AllThreads, tsc::now_ns(), tid);
        self.publish();
        Self::note_taken(tid)
    }

    /// Whether [`steal`](Self::steal) and [`look`](Self::look) look at all queued threads.
    pub(super) fn is_searched_whole(&self) -> bool {
        self.queue.is_searched_whole()
    }

    #[inline]
    fn publish(&self) {
        // Relaxed: under the lock; SeqCst readers without it get a hint that may be stale anyway.
        self.cpu.nr_queued.store(self.queue.len() as u32, Relaxed);
        let weight = u32::try_from(self.queue.weight()).unwrap_or(u32::MAX);
        self.cpu.queued_weight.store(weight, Relaxed);
    }
}
