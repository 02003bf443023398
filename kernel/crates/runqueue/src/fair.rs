//! The run queue of one CPU: weighted fair by virtual runtime.
//!
//! Every thread has a clock of its own, its *virtual runtime*, which advances
//! while it runs, slower the larger its weight. The thread whose clock is
//! furthest behind runs next; so over time all clocks advance together, and each
//! thread gets CPU time in proportion to its weight. Below the fair class is the
//! idle class: its threads, fair among themselves, run only when no other wants to.
//!
//! A queue's *minimum vruntime* is the smallest vruntime of its threads, and never goes back. A thread
//! that leaves a queue's CPU (it blocks, or moves) takes along only its distance to
//! the minimum, and joins the next queue at the same distance. While it sleeps the minimum goes on without it:
//! by that much, and not by the time it slept, it is further behind when it wakes up. (Paid by the time slept, two
//! threads that take turns in sleeping would never be ahead of a third, which would starve.)

use core::sync::atomic::{Ordering::Acquire, Ordering::Relaxed};

use crate::entity::{Entity, SLICE_NS, SchedClass};
use crate::heap::{Heap, HeapNode, HeapNodes, is_before};
use crate::list::Tid;
use crate::weight::Weight;

/// How much further behind than the running thread a waking one has to be to take the CPU from it at once: less and
/// threads that wake often would do nothing but switch.
const WAKE_UP_GRANULARITY_NS: u64 = 1_000_000;
/// How far behind the minimum a thread may be placed that wakes up: enough to be next, not enough to hold up others.
const SLEEPER_CREDIT_NS: u64 = SLICE_NS / 2;
/// How far ahead another thread may be for a yielding one to let it go first.
const YIELD_SLACK_NS: u64 = SLICE_NS;
/// The most that a thread can be ahead of or behind a queue that it joins.
const VRUNTIME_OFFSET_LIMIT_NS: u64 = 2_000_000_000;
/// Threads that a search for one to move looks at.
const SEARCH_LIMIT: usize = 32;

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

/// Why the running thread may have to give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreemptReason {
    /// Its slice is over.
    SliceOver,
    /// Another one has woken up.
    WakeUp,
    /// It wants to.
    Yield,
}

impl PreemptReason {
    /// Up to where the clock of `first`, which waits, may be for a running thread whose clock is at `running_ns` to
    /// give way to it.
    #[inline(always)]
    fn threshold_ns(self, running_ns: u64, first: &Entity) -> u64 {
        match self {
            Self::SliceOver => running_ns,
            // A heavy thread's clock is slow: it need not be far behind.
            Self::WakeUp => running_ns.wrapping_sub(first.weight().virtual_ns(WAKE_UP_GRANULARITY_NS)),
            Self::Yield => running_ns.wrapping_add(YIELD_SLACK_NS),
        }
    }
}

#[derive(Debug)]
struct ClassQueue {
    heap: Heap,
    min_vruntime_ns: u64,
    /// Time in which no thread of the class waited, and which none of their clocks counts.
    uncontended_ns: u64,
}

impl ClassQueue {
    const fn new() -> Self {
        Self { heap: Heap::new(), min_vruntime_ns: 0, uncontended_ns: 0 }
    }

    /// The running thread's clock has advanced to `running_ns`; that of the first which waits stands at `first_ns`.
    #[inline(always)]
    fn advance_min_vruntime(&mut self, running_ns: u64, first_ns: Option<u64>) {
        let smallest_ns = first_ns.filter(|first_ns| is_before(*first_ns, running_ns)).unwrap_or(running_ns);
        if is_before(self.min_vruntime_ns, smallest_ns) {
            self.min_vruntime_ns = smallest_ns;
        }
    }

    /// `ns` have passed, at the expense of no thread of the class.
    #[inline]
    fn add_uncontended(&mut self, ns: u64) {
        self.uncontended_ns = self.uncontended_ns.wrapping_add(ns);
    }

    /// Time that has passed for those who sleep, each as one thread among those that ran.
    #[inline]
    fn sleep_clock_ns(&self) -> u64 {
        self.min_vruntime_ns.wrapping_add(self.uncontended_ns)
    }
}

/// The threads that wait for one CPU. The thread that runs is not in the queue,
/// but its clock is on the queue's time.
#[derive(Debug)]
pub struct FairQueue {
    fair: ClassQueue,
    idle: ClassQueue,
    /// Sum of what the waiting threads weigh.
    weight: u64,
}

impl FairQueue {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { fair: ClassQueue::new(), idle: ClassQueue::new(), weight: 0 }
    }

    /// Number of threads that wait.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.fair.heap.len() + self.idle.heap.len()
    }

    /// Whether no thread waits.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.fair.heap.is_empty() && self.idle.heap.is_empty()
    }

    /// Sum of the weights of the threads that wait.
    #[inline]
    #[must_use]
    pub const fn weight(&self) -> u64 {
        self.weight
    }

    /// Advances the clock of the thread that runs here by `ran_ns` of real time.
    #[inline]
    pub fn charge<E: Entities>(&mut self, entities: &E, running: &Entity, ran_ns: u64) {
        if running.applied_class() == SchedClass::Idle {
            // Nobody of the fair class wanted it.
            self.fair.add_uncontended(ran_ns);
        }
        running.advance(ran_ns);
        self.apply_settings(running);
        let queue = self.class_mut(running.applied_class());
        let first_ns = queue.heap.first_key(&Nodes(entities));
        queue.advance_min_vruntime(running.node.key(), first_ns);
    }

    /// [Charges](Self::charge) thread `tid`, which runs here, whose entity is `running`, for `ran_ns` of real time; then, if
    /// it has to give way to the first that waits, takes that one out and queues the running one instead. O(log n).
    ///
    /// What a CPU does that has several threads, and nothing else: one look at each, no more.
    #[inline(always)]
    pub fn charge_and_pick_next<E: Entities>(
        &mut self,
        entities: &E,
        tid: Tid,
        running: &Entity,
        ran_ns: u64,
        why: PreemptReason,
    ) -> Option<Tid> {
        // Acquire: as in `apply_settings`.
        let is_plain = !running.has_changed.load(Acquire) && !running.is_applied_idle.load(Relaxed);
        match self.fair.heap.first() {
            Some(first) if is_plain => {
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
            _ => self.charge_and_pick_next_slowly(entities, tid, running, ran_ns, why),
        }
    }

    /// As above where a class or a setting makes a difference.
    #[cold]
    fn charge_and_pick_next_slowly<E: Entities>(
        &mut self,
        entities: &E,
        tid: Tid,
        running: &Entity,
        ran_ns: u64,
        why: PreemptReason,
    ) -> Option<Tid> {
        self.charge(entities, running, ran_ns);
        let next = self.pop_instead_of(entities, running, why)?;
        self.push(entities, tid);
        Some(next)
    }

    /// Nobody has waited for `ns` of real time, which the running thread, if any, is not charged for.
    #[inline]
    pub fn add_uncontended(&mut self, ns: u64) {
        self.fair.add_uncontended(ns);
        self.idle.add_uncontended(ns);
    }

    /// Lets the sleep of the thread behind `entity` count, which ends now and began when it was
    /// [detached](Self::detach) from this queue: what the others had meanwhile pays its debts, and earns it a bounded
    /// credit.
    #[inline]
    pub fn wake(&self, entity: &Entity) {
        let class = self.class(entity.applied_class());
        let slept_ns = class.sleep_clock_ns().wrapping_sub(entity.sleep_clock_at_detach_ns.load(Relaxed));
        let vruntime_offset_ns = entity.vruntime_offset_ns.load(Relaxed).saturating_sub_unsigned(slept_ns);
        entity.vruntime_offset_ns.store(vruntime_offset_ns.max(-(SLEEPER_CREDIT_NS as i64)), Relaxed);
    }

    /// Puts the thread behind `entity` on this queue's time: it is new, or has run or waited on none since
    /// [`detach`](Self::detach).
    #[inline]
    pub fn attach(&self, entity: &Entity) {
        self.join_at_offset(entity, entity.class(), entity.vruntime_offset_ns.load(Relaxed));
    }

    /// Puts a thread on this queue's time, `vruntime_offset_ns` from the minimum as reckoned by its weight until now: what it is
    /// ahead or behind in CPU time stays what it is, and counts by its weight from now on.
    fn join_at_offset(&self, entity: &Entity, class: SchedClass, vruntime_offset_ns: i64) {
        let (old, new) = (entity.applied_weight(), entity.weight().get());
        let vruntime_offset_ns = if old == new {
            vruntime_offset_ns
        } else {
            vruntime_offset_ns * i64::from(old) / i64::from(new)
        };
        let limit_ns = VRUNTIME_OFFSET_LIMIT_NS as i64;
        entity.applied_weight.store(new, Relaxed);
        entity.set_applied_class(class);
        let min_vruntime_ns = self.class(class).min_vruntime_ns;
        let vruntime_ns = min_vruntime_ns.wrapping_add_signed(vruntime_offset_ns.clamp(-limit_ns, limit_ns));
        entity.set_vruntime(vruntime_ns, new == Weight::UNIT.get());
    }

    /// Lets a change of class or weight count.
    #[inline]
    fn apply_settings(&self, entity: &Entity) {
        // Acquire pairs with the Release in `note_change`. A swap, for the settings must not be read before the mark is gone: a
        // change that comes in between would lose its own.
        if entity.has_changed.load(Relaxed) && entity.has_changed.swap(false, Acquire) {
            self.detach(entity);
            self.join_at_offset(entity, entity.class(), entity.vruntime_offset_ns.load(Relaxed));
        }
    }

    /// Takes the thread behind `entity`, which runs here or was just taken out of this
    /// queue, off this queue's time.
    #[inline]
    pub fn detach(&self, entity: &Entity) {
        let limit_ns = VRUNTIME_OFFSET_LIMIT_NS as i64;
        let class = self.class(entity.applied_class());
        let vruntime_offset_ns = entity.vruntime_ns().wrapping_sub(class.min_vruntime_ns) as i64;
        entity.vruntime_offset_ns.store(vruntime_offset_ns.clamp(-limit_ns, limit_ns), Relaxed);
        entity.sleep_clock_at_detach_ns.store(class.sleep_clock_ns(), Relaxed);
    }

    /// Queues `tid`, which is in no run queue and on this queue's time: attached, or charged just now. O(log n).
    #[inline]
    pub fn push<E: Entities>(&mut self, entities: &E, tid: Tid) {
        let entity = entities.entity(tid);
        self.weight += u64::from(entity.applied_weight());
        self.class_mut(entity.applied_class()).heap.push(&Nodes(entities), tid);
    }

    /// Lets a change of the class or weight of `tid`, which is in this queue, count at
    /// once. O(log n).
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

    /// Takes out the thread that runs next, for the one that ran here has left. O(log n).
    #[inline]
    pub fn pop<E: Entities>(&mut self, entities: &E) -> Option<Tid> {
        let (class, tid) = self.first()?;
        self.remove(entities, tid);
        // Its vruntime is the smallest now: alone, it owes nobody anything.
        self.class_mut(class).advance_min_vruntime(entities.entity(tid).node.key(), None);
        Some(tid)
    }

    /// Takes out the thread that should run next, if the running thread has to give way to it. O(log n).
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

    /// Whether the running thread has to give way to the first that waits.
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

    /// Takes out a thread that `may_move` allows, off this queue's time: what another
    /// CPU does that has less to run. Looks at a bounded number.
    pub fn steal<E: Entities>(&mut self, entities: &E, mut may_move: impl FnMut(Tid) -> bool) -> Option<Tid> {
        let nodes = Nodes(entities);
        let found = self.fair.heap.find(&nodes, SEARCH_LIMIT, &mut may_move);
        let tid = found.or_else(|| self.idle.heap.find(&nodes, SEARCH_LIMIT, &mut may_move))?;
        self.remove(entities, tid);
        self.detach(entities.entity(tid));
        Some(tid)
    }

    /// The first thread that `wanted` accepts, which stays. O(n).
    #[must_use]
    pub fn find<E: Entities>(&self, entities: &E, mut wanted: impl FnMut(Tid) -> bool) -> Option<Tid> {
        let nodes = Nodes(entities);
        let found = self.fair.heap.find(&nodes, usize::MAX, &mut wanted);
        found.or_else(|| self.idle.heap.find(&nodes, usize::MAX, &mut wanted))
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
