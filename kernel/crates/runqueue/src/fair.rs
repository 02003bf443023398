//! The run queue of one CPU: weighted fair by virtual runtime.
//!
//! Every thread has a *virtual runtime*, which grows while the thread runs, slower the larger its weight. The thread with
//! the smallest one runs next. So over time all virtual runtimes grow together, and each thread gets CPU time in
//! proportion to its weight. Below the fair class is the idle class: its threads, fair among themselves, run only when no
//! thread of the fair class is runnable.
//!
//! A queue's *minimum* is the smallest virtual runtime of its threads, and never goes back. A thread that leaves a queue's
//! CPU (it blocks, or migrates) takes along only its distance to the minimum, the *offset*, and joins the next queue at the
//! same distance. While it sleeps the minimum goes on without it: by that much, and not by the time slept, it is further
//! behind when it wakes up. (If the time slept counted, two threads that take turns in sleeping would never be ahead of a
//! third, which would starve.)
//!
//! *Uncontended* time, in which no thread waits, is free: the current thread is not charged for it, and it counts as time
//! slept for all sleepers. The queue itself keeps up to when the current thread is charged; callers only say what time it is.

use core::sync::atomic::{Ordering::Acquire, Ordering::Relaxed};

use crate::class_queue::ClassQueue;
use crate::entity::{Entity, SLICE_NS, SchedClass};
use crate::heap::{HeapNode, HeapNodes, is_before};
use crate::list::Tid;
use crate::weight::Weight;

/// How far behind the current thread a waking one has to be to preempt it at once. With less, threads that wake often would
/// do nothing but switch.
const WAKE_UP_GRANULARITY_NS: u64 = 1_000_000;
/// How far behind the minimum a waking thread may be placed: enough to be next, not enough to hold up others.
const SLEEPER_CREDIT_NS: u64 = SLICE_NS / 2;
/// How far ahead another thread may be for a yielding one to let it go first.
const YIELD_SLACK_NS: u64 = SLICE_NS;
/// The most that a thread can be ahead of or behind a queue that it joins.
const VRUNTIME_OFFSET_LIMIT_NS: u64 = 2_000_000_000;
/// Threads that a search for one to migrate looks at.
pub(crate) const SEARCH_LIMIT: usize = 32;

/// Where the entities are kept: one in each thread.
pub trait Entities {
    /// The entity of `tid`.
    fn entity(&self, tid: Tid) -> &Entity;
}

/// The heap's view of entities.
struct Nodes<'a, E>(&'a E);

impl<E: Entities> HeapNodes for Nodes<'_, E> {
    #[inline(always)]
    fn node(&self, tid: Tid) -> &HeapNode {
        &self.0.entity(tid).node
    }
}

/// Why the current thread may have to be preempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreemptReason {
    /// Its slice is over.
    SliceOver,
    /// Another thread has woken up.
    WakeUp,
    /// It yields.
    Yield,
}

impl PreemptReason {
    /// Returns the largest virtual runtime of `first`, the first queued thread, for which it preempts a current thread at
    /// `running_ns`.
    #[inline(always)]
    fn threshold_ns(self, running_ns: u64, first: &Entity) -> u64 {
        match self {
            Self::SliceOver => running_ns,
            // A heavy thread's virtual runtime grows slowly: it need not be far behind.
            Self::WakeUp => running_ns.wrapping_sub(first.weight().virtual_ns(WAKE_UP_GRANULARITY_NS)),
            Self::Yield => running_ns.wrapping_add(YIELD_SLACK_NS),
        }
    }
}

/// The threads that wait for one CPU. The current thread is not in the queue, but its virtual runtime is relative to it.
///
/// Times of different CPUs may be apart: one before the last is taken for the last.
#[derive(Debug)]
pub struct FairQueue {
    fair: ClassQueue,
    idle: ClassQueue,
    /// Sum of the weights of the queued threads.
    weight: u64,
    /// Time up to which the current thread is charged; uncontended time is free.
    charged_until_ns: u64,
    /// Time at which the last queued thread went elsewhere: up to then the current one is charged.
    contended_until_ns: u64,
}

impl FairQueue {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        let (fair, idle) = (ClassQueue::new(), ClassQueue::new());
        Self { fair, idle, weight: 0, charged_until_ns: 0, contended_until_ns: 0 }
    }

    /// Number of queued threads.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.fair.heap.len() + self.idle.heap.len()
    }

    /// Whether no thread is queued.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.fair.heap.is_empty() && self.idle.heap.is_empty()
    }

    /// Sum of the weights of the queued threads.
    #[inline]
    #[must_use]
    pub const fn weight(&self) -> u64 {
        self.weight
    }

    /// Starts charging at `now_ns`: the CPU leaves its idle thread for another.
    #[inline]
    pub fn start_charging(&mut self, now_ns: u64) {
        self.charged_until_ns = now_ns;
    }

    /// Charges the current thread, whose entity is `running`, up to `now_ns`, for the time in which threads waited.
    #[inline]
    pub fn charge<E: Entities>(&mut self, entities: &E, running: &Entity, now_ns: u64) {
        self.skip_uncontended(now_ns);
        let ran_ns = self.take_uncharged_ns(now_ns);
        if running.applied_class() == SchedClass::Idle {
            // No thread of the fair class was runnable.
            self.fair.add_uncontended(ran_ns);
        }
        running.advance(ran_ns);
        self.apply_settings(running);
        let queue = self.class_mut(running.applied_class());
        let first_ns = queue.heap.first_key(&Nodes(entities));
        queue.advance_min_vruntime(running.node.key(), first_ns);
    }

    #[inline(always)]
    fn take_uncharged_ns(&mut self, now_ns: u64) -> u64 {
        // Uncontended time may have been skipped by another CPU, whose clock is ahead of this one's.
        let ran_ns = now_ns.saturating_sub(self.charged_until_ns);
        self.charged_until_ns = now_ns;
        ran_ns
    }

    /// Skips uncontended time up to `now_ns`, if the queue is empty. What the current thread had while the queue was not
    /// empty is still to be charged.
    #[inline]
    fn skip_uncontended(&mut self, now_ns: u64) {
        if self.is_empty() {
            let uncontended_since_ns = self.charged_until_ns.max(self.contended_until_ns);
            let uncontended_ns = now_ns.saturating_sub(uncontended_since_ns);
            self.charged_until_ns += uncontended_ns;
            self.fair.add_uncontended(uncontended_ns);
            self.idle.add_uncontended(uncontended_ns);
        }
    }

    /// [Charges](Self::charge) the current thread `tid` up to `now_ns`; then, if the first queued thread preempts it, takes
    /// the latter out and queues `tid` instead. O(log n).
    ///
    /// All that a CPU with several threads does: one look at each, no more.
    #[inline(always)]
    pub fn charge_and_pick_next<E: Entities>(
        &mut self,
        entities: &E,
        tid: Tid,
        running: &Entity,
        now_ns: u64,
        why: PreemptReason,
    ) -> Option<Tid> {
        // Acquire: as in `apply_settings`.
        let is_plain = !running.has_changed.load(Acquire) && !running.is_applied_idle.load(Relaxed);
        match self.fair.heap.first() {
            Some(first) if is_plain => {
                let ran_ns = self.take_uncharged_ns(now_ns);
                let first = entities.entity(first);
                let (running_ns, first_ns) = (running.advance(ran_ns), first.node.key());
                self.fair.advance_min_vruntime(running_ns, Some(first_ns));
                if is_before(why.threshold_ns(running_ns, first), first_ns) {
                    return None;
                }
                let (entering, leaving) = (running.applied_weight(), first.applied_weight());
                if entering != leaving {
                    self.weight = self.weight + u64::from(entering) - u64::from(leaving);
                }
                self.fair.heap.replace_first(&Nodes(entities), tid, &running.node)
            }
            _ => self.charge_and_pick_next_slowly(entities, tid, running, now_ns, why),
        }
    }

    /// Does the same where a class or a setting makes a difference.
    #[cold]
    fn charge_and_pick_next_slowly<E: Entities>(
        &mut self,
        entities: &E,
        tid: Tid,
        running: &Entity,
        now_ns: u64,
        why: PreemptReason,
    ) -> Option<Tid> {
        self.charge(entities, running, now_ns);
        let next = self.pop_instead_of(entities, running, why)?;
        self.push(entities, tid);
        Some(next)
    }

    /// Applies the sleep of the thread behind `entity`, which ends at `now_ns` and began when the thread was
    /// [detached](Self::detach) from this queue. What the others had meanwhile pays its debts, and earns it a bounded
    /// credit.
    #[inline]
    pub fn wake(&mut self, entity: &Entity, now_ns: u64) {
        self.skip_uncontended(now_ns);
        let class = self.class(entity.applied_class());
        let slept_ns = class.sleep_clock_ns().wrapping_sub(entity.sleep_clock_at_detach_ns.load(Relaxed));
        let vruntime_offset_ns = entity.vruntime_offset_ns.load(Relaxed).saturating_sub_unsigned(slept_ns);
        entity.vruntime_offset_ns.store(vruntime_offset_ns.max(-(SLEEPER_CREDIT_NS as i64)), Relaxed);
    }

    /// Makes the virtual runtime of the thread behind `entity` relative to this queue at `now_ns`: the thread is new, or has
    /// neither run nor been queued since [`detach`](Self::detach).
    #[inline]
    pub fn attach(&mut self, entity: &Entity, now_ns: u64) {
        self.skip_uncontended(now_ns);
        self.join_at_offset(entity, entity.class(), entity.vruntime_offset_ns.load(Relaxed));
    }

    /// Sets a thread's virtual runtime to `offset_ns` from the minimum, as reckoned by its weight until now. What the thread
    /// is ahead or behind in CPU time stays, and counts by its weight from now on.
    fn join_at_offset(&self, entity: &Entity, class: SchedClass, offset_ns: i64) {
        let (old, new) = (entity.applied_weight(), entity.weight().get());
        let offset_ns = if old == new { offset_ns } else { offset_ns * i64::from(old) / i64::from(new) };
        let limit_ns = VRUNTIME_OFFSET_LIMIT_NS as i64;
        entity.applied_weight.store(new, Relaxed);
        entity.set_applied_class(class);
        let min_vruntime_ns = self.class(class).min_vruntime_ns;
        let vruntime_ns = min_vruntime_ns.wrapping_add_signed(offset_ns.clamp(-limit_ns, limit_ns));
        entity.set_vruntime(vruntime_ns, new == Weight::UNIT.get());
    }

    /// Applies a change of class or weight.
    #[inline]
    fn apply_settings(&self, entity: &Entity) {
        // Acquire pairs with the Release in `note_change`. A swap: the settings must not be read before the mark is cleared,
        // or a change in between would lose its own mark.
        if entity.has_changed.load(Relaxed) && entity.has_changed.swap(false, Acquire) {
            self.detach(entity);
            self.join_at_offset(entity, entity.class(), entity.vruntime_offset_ns.load(Relaxed));
        }
    }

    /// Reduces the virtual runtime of the thread behind `entity`, which runs here or was just taken out of this queue, to
    /// its offset from the minimum.
    #[inline]
    pub fn detach(&self, entity: &Entity) {
        let limit_ns = VRUNTIME_OFFSET_LIMIT_NS as i64;
        let class = self.class(entity.applied_class());
        let offset_ns = entity.vruntime_ns().wrapping_sub(class.min_vruntime_ns) as i64;
        entity.vruntime_offset_ns.store(offset_ns.clamp(-limit_ns, limit_ns), Relaxed);
        entity.sleep_clock_at_detach_ns.store(class.sleep_clock_ns(), Relaxed);
    }

    /// Queues `tid`, which is in no run queue and was attached here, or charged here just now. O(log n).
    #[inline]
    pub fn push<E: Entities>(&mut self, entities: &E, tid: Tid) {
        let entity = entities.entity(tid);
        self.weight += u64::from(entity.applied_weight());
        self.class_mut(entity.applied_class()).heap.push(&Nodes(entities), tid);
    }

    /// Applies a change of the class or weight of `tid`, which is in this queue, at once. O(log n).
    pub fn requeue<E: Entities>(&mut self, entities: &E, tid: Tid) {
        self.remove(entities, tid);
        self.apply_settings(entities.entity(tid));
        self.push(entities, tid);
    }

    /// Takes out `tid`, which is in this queue. O(log n).
    #[inline]
    pub fn remove<E: Entities>(&mut self, entities: &E, tid: Tid) {
        let entity = entities.entity(tid);
        self.weight -= u64::from(entity.applied_weight());
        self.class_mut(entity.applied_class()).heap.remove(&Nodes(entities), tid);
    }

    /// Takes out the thread that runs next; the one that ran here has left. O(log n).
    #[inline]
    pub fn pop<E: Entities>(&mut self, entities: &E) -> Option<Tid> {
        let (class, tid) = self.first()?;
        self.remove(entities, tid);
        // Its virtual runtime is the smallest now: a thread that is alone owes nothing.
        self.class_mut(class).advance_min_vruntime(entities.entity(tid).node.key(), None);
        Some(tid)
    }

    /// Takes out the thread that should run next, if it preempts the current one. O(log n).
    #[inline]
    pub fn pop_instead_of<E: Entities>(
        &mut self,
        entities: &E,
        running: &Entity,
        why: PreemptReason,
    ) -> Option<Tid> {
        if !self.should_preempt(entities, running, why) {
            return None;
        }
        let (_, tid) = self.first()?;
        self.remove(entities, tid);
        Some(tid)
    }

    /// Whether the first queued thread preempts the current one.
    #[inline]
    #[must_use]
    pub fn should_preempt<E: Entities>(&self, entities: &E, running: &Entity, why: PreemptReason) -> bool {
        let Some((class, tid)) = self.first() else { return false };
        let first = entities.entity(tid);
        if class != running.applied_class() {
            return class < running.applied_class();
        }
        !is_before(why.threshold_ns(running.node.key(), first), first.node.key())
    }

    /// Takes out and detaches, at `now_ns`, a thread that `may_move` allows, for a CPU that has less to run. Looks at a
    /// bounded number.
    pub fn steal<E: Entities>(
        &mut self,
        entities: &E,
        now_ns: u64,
        mut may_move: impl FnMut(Tid) -> bool,
    ) -> Option<Tid> {
        let nodes = Nodes(entities);
        let found = self.fair.heap.find(&nodes, SEARCH_LIMIT, &mut may_move);
        let tid = found.or_else(|| self.idle.heap.find(&nodes, SEARCH_LIMIT, &mut may_move))?;
        self.evict(entities, now_ns, tid);
        Some(tid)
    }

    /// Calls `visit` for threads as long as it returns true, at most for those that [`steal`](Self::steal) looks at.
    pub fn look<E: Entities>(&self, entities: &E, mut visit: impl FnMut(Tid) -> bool) {
        let nodes = Nodes(entities);
        let stops_at = self.fair.heap.find(&nodes, SEARCH_LIMIT, |tid| !visit(tid));
        if stops_at.is_none() {
            self.idle.heap.find(&nodes, SEARCH_LIMIT, |tid| !visit(tid));
        }
    }

    /// Whether [`steal`](Self::steal) and [`look`](Self::look) look at all queued threads.
    #[must_use]
    pub const fn is_searched_whole(&self) -> bool {
        self.len() <= SEARCH_LIMIT
    }

    /// Takes out and detaches `tid`, which is in this queue, at `now_ns`, for another CPU. O(log n).
    pub fn evict<E: Entities>(&mut self, entities: &E, now_ns: u64, tid: Tid) {
        self.remove(entities, tid);
        self.detach(entities.entity(tid));
        if self.is_empty() {
            self.contended_until_ns = now_ns;
        }
    }

    #[inline]
    fn first(&self) -> Option<(SchedClass, Tid)> {
        let fair = self.fair.heap.first().map(|tid| (SchedClass::Fair, tid));
        fair.or_else(|| self.idle.heap.first().map(|tid| (SchedClass::Idle, tid)))
    }

    #[inline]
    fn class(&self, class: SchedClass) -> &ClassQueue {
        match class {
            SchedClass::Fair => &self.fair,
            SchedClass::Idle => &self.idle,
        }
    }

    #[inline]
    fn class_mut(&mut self, class: SchedClass) -> &mut ClassQueue {
        match class {
            SchedClass::Fair => &mut self.fair,
            SchedClass::Idle => &mut self.idle,
        }
    }
}

impl Default for FairQueue {
    fn default() -> Self {
        Self::new()
    }
}
