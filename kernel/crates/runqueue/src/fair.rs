//! The run queue of one CPU: weighted fair by virtual runtime.
//!
//! Every thread has a clock of its own, its *virtual runtime*, which advances
//! while it runs, slower the larger its weight. The thread whose clock is
//! furthest behind runs next; so over time all clocks advance together, and each
//! thread gets CPU time in proportion to its weight. Below the fair class is the
//! idle class: its threads, fair among themselves, run only when no other wants to.
//!
//! A queue's *floor* is the clock of its rearmost thread, and never goes back. A thread
//! that leaves a queue's CPU (it blocks, or moves) takes along only its distance to
//! the floor, its *lag*, and joins the next queue at the same distance. While it sleeps the floor goes on without it:
//! by that much, and not by the time it slept, it is further behind when it wakes up. (Paid by the time slept, two
//! threads that take turns in sleeping would never be ahead of a third, which would starve.)

use core::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};

use crate::heap::{Heap, HeapNode, HeapNodes, is_before};
use crate::list::Tid;
use crate::weight::{Nice, Weight};

/// How long a thread may run while others of its weight wait. A power of two: turns end where a clock comes to a multiple.
pub const SLICE_NS: u64 = 1 << 22;
/// How far beyond the end of its slice a thread may have run and still count as having stopped there; the rest counts in
/// its next turn, which is shorter by that. So threads that take whole slices keep their order, whatever the jitter of the
/// timer: a hair less than the others would otherwise be reason enough for another turn before them.
const JITTER_NS: u64 = SLICE_NS / 16;
/// The shortest turn that is worth a switch.
pub const SHORTEST_TURN_NS: u64 = 1 << 14;
/// How much further behind than the running thread a waking one has to be to take the CPU from it at once: less and
/// threads that wake often would do nothing but switch.
const WAKE_UP_GRANULARITY_NS: u64 = 1_000_000;
/// How far behind the floor a thread may be placed that wakes up: enough to be next, not enough to hold up others.
const SLEEPER_CREDIT_NS: u64 = SLICE_NS / 2;
/// How far ahead of the floor a new thread starts: who starts threads all the time gains less by it than who runs on.
const NEWCOMER_DEBIT_NS: u64 = SLICE_NS / 2;
/// How far ahead another thread may be for a yielding one to let it go first.
const YIELD_SLACK_NS: u64 = SLICE_NS;
/// The most that a thread can be ahead of or behind a queue that it joins.
const LAG_LIMIT_NS: u64 = 2_000_000_000;
/// Threads that a search for one to move looks at.
const SEARCH_LIMIT: usize = 32;

/// Which threads go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Shares the CPU by weight.
    Fair,
    /// Runs when no thread of the fair class wants to.
    Idle,
}

/// What a run queue keeps in each thread.
///
/// Atomics for sharing, Relaxed: `node`, `lag` and what the thread was queued with belong
/// to whoever holds the lock of its queue or runs it, or, of a thread that sleeps, to the one who wakes it; the rest are
/// settings that anyone may read, and that count from the thread's next turn on.
#[derive(Debug)]
pub struct Entity {
    /// Key: virtual runtime, without `carry_ns`.
    node: HeapNode,
    /// Virtual runtime beyond the end of the last slice, see [`JITTER_NS`].
    carry_ns: AtomicU32,
    /// What is left of the slice.
    turn_ns: AtomicU32,
    /// Distance to the floor that the thread left, while it is with no CPU.
    lag_ns: AtomicI64,
    /// What had passed for the sleepers of the queue that it left, then.
    left_at_ns: AtomicU64,
    own_weight: AtomicU32,
    lent_weight: AtomicU32,
    is_idle_class: AtomicBool,
    /// The settings above have changed, and do not count yet.
    has_changed: AtomicBool,
    /// By which weight the key was reckoned last.
    clock_weight: AtomicU32,
    /// Whose floor the key is measured from; follows the class when the thread runs or is queued next.
    is_on_idle_clock: AtomicBool,
}

impl Entity {
    /// Of a new thread of default weight.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            node: HeapNode::new(),
            carry_ns: AtomicU32::new(0),
            turn_ns: AtomicU32::new(SLICE_NS as u32),
            lag_ns: AtomicI64::new(NEWCOMER_DEBIT_NS as i64),
            left_at_ns: AtomicU64::new(0),
            own_weight: AtomicU32::new(Weight::UNIT.get()),
            lent_weight: AtomicU32::new(0),
            is_idle_class: AtomicBool::new(false),
            has_changed: AtomicBool::new(false),
            clock_weight: AtomicU32::new(Weight::UNIT.get()),
            is_on_idle_clock: AtomicBool::new(false),
        }
    }

    /// Puts the thread into the fair class with the weight of `nice`.
    pub fn set_nice(&self, nice: Nice) {
        self.own_weight.store(nice.weight().get(), Relaxed);
        self.is_idle_class.store(false, Relaxed);
        self.note_change();
    }

    /// As [`set_nice`](Self::set_nice), if that changes anything; whether it did.
    #[inline]
    pub fn set_nice_if_other(&self, nice: Nice) -> bool {
        let is_other =
            self.own_weight.load(Relaxed) != nice.weight().get() || self.is_idle_class.load(Relaxed);
        if is_other {
            self.set_nice(nice);
        }
        is_other
    }

    /// Puts the thread into the idle class.
    pub fn set_idle_class(&self) {
        self.own_weight.store(Weight::IDLE.get(), Relaxed);
        self.is_idle_class.store(true, Relaxed);
        self.note_change();
    }

    /// Adds to the thread's weight what another lends it while that one waits for it.
    pub fn borrow(&self, weight: u32) {
        self.lent_weight.fetch_add(weight, Relaxed);
        self.note_change();
    }

    /// Takes back what was lent.
    pub fn give_back(&self, weight: u32) {
        self.lent_weight.fetch_sub(weight, Relaxed);
        self.note_change();
    }

    fn note_change(&self) {
        // Release pairs with the Acquire in `follow_settings`: who sees the mark sees the change.
        self.has_changed.store(true, Release);
    }

    /// The thread's weight now, with what was lent to it.
    #[inline]
    #[must_use]
    pub fn weight(&self) -> Weight {
        Weight::clamped(self.own_weight.load(Relaxed).saturating_add(self.lent_weight.load(Relaxed)))
    }

    /// The nice level last set, whatever others lend; `None` for the idle class.
    #[must_use]
    pub fn nice(&self) -> Option<Nice> {
        if self.is_idle_class.load(Relaxed) {
            return None;
        }
        Nice::of_weight(Weight::clamped(self.own_weight.load(Relaxed)))
    }

    /// The thread's class now: who is lent weight does not idle.
    #[inline]
    #[must_use]
    pub fn class(&self) -> Class {
        let is_idle = self.is_idle_class.load(Relaxed) && self.lent_weight.load(Relaxed) == 0;
        if is_idle { Class::Idle } else { Class::Fair }
    }

    /// Virtual runtime, on the clock of the CPU that it runs or waits on.
    #[must_use]
    pub fn virtual_runtime_ns(&self) -> u64 {
        self.node.key().wrapping_add(self.carry_ns.load(Relaxed).into())
    }

    /// How long the thread may run before others of its weight have their turn: to the end of the slice of which
    /// it has had a part.
    #[inline(always)]
    #[must_use]
    pub fn turn_ns(&self) -> u64 {
        self.turn_ns.load(Relaxed).into()
    }

    /// The weight by which the thread's clock goes, and which it counts with in its queue.
    #[inline]
    #[must_use]
    pub fn clock_weight(&self) -> u32 {
        self.clock_weight.load(Relaxed)
    }

    /// Advances the clock by `ran_ns` of real time; returns where it is then.
    #[inline(always)]
    fn advance(&self, ran_ns: u64) -> u64 {
        let weight = self.clock_weight();
        let is_unit = weight == Weight::UNIT.get();
        let virtual_ns = if is_unit { ran_ns } else { Weight::clamped(weight).virtual_ns(ran_ns) };
        self.set_clock(self.virtual_runtime_ns().wrapping_add(virtual_ns), is_unit)
    }

    /// Sets the clock, of a thread that `is_unit`, of unit weight; returns the key then.
    #[inline(always)]
    fn set_clock(&self, clock_ns: u64, is_unit: bool) -> u64 {
        let beyond_ns = clock_ns % SLICE_NS;
        let carry_ns = if beyond_ns < JITTER_NS { beyond_ns } else { 0 };
        // The slices of others are as long in real time, not on their clocks.
        let turn_ns = if is_unit { (SLICE_NS - beyond_ns).max(SHORTEST_TURN_NS) } else { SLICE_NS };
        let key = clock_ns.wrapping_sub(carry_ns);
        self.carry_ns.store(carry_ns as u32, Relaxed);
        self.turn_ns.store(turn_ns as u32, Relaxed);
        self.node.set_key(key);
        key
    }

    #[inline]
    fn clock_class(&self) -> Class {
        if self.is_on_idle_clock.load(Relaxed) { Class::Idle } else { Class::Fair }
    }

    #[inline]
    fn set_clock_class(&self, class: Class) {
        self.is_on_idle_clock.store(class == Class::Idle, Relaxed);
    }
}

impl Default for Entity {
    fn default() -> Self {
        Self::new()
    }
}

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
pub enum Reason {
    /// Its slice is over.
    SliceOver,
    /// Another one has woken up.
    WakeUp,
    /// It wants to.
    Yield,
}

impl Reason {
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
    floor_ns: u64,
    /// Time in which no thread of the class waited, and which none of their clocks counts.
    unclaimed_ns: u64,
}

impl ClassQueue {
    const fn new() -> Self {
        Self { heap: Heap::new(), floor_ns: 0, unclaimed_ns: 0 }
    }

    /// The running thread's clock has advanced to `running_ns`; that of the first which waits stands at `first_ns`.
    #[inline(always)]
    fn raise_floor(&mut self, running_ns: u64, first_ns: Option<u64>) {
        let rearmost_ns = first_ns.filter(|first_ns| is_before(*first_ns, running_ns)).unwrap_or(running_ns);
        if is_before(self.floor_ns, rearmost_ns) {
            self.floor_ns = rearmost_ns;
        }
    }

    /// `ns` have passed, at the expense of no thread of the class.
    #[inline]
    fn pass(&mut self, ns: u64) {
        self.unclaimed_ns = self.unclaimed_ns.wrapping_add(ns);
    }

    /// Time that has passed for those who sleep, each as one thread among those that ran.
    #[inline]
    fn passed_ns(&self) -> u64 {
        self.floor_ns.wrapping_add(self.unclaimed_ns)
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
        if running.clock_class() == Class::Idle {
            // Nobody of the fair class wanted it.
            self.fair.pass(ran_ns);
        }
        running.advance(ran_ns);
        self.follow_settings(running);
        let queue = self.class_mut(running.clock_class());
        let first_ns = queue.heap.first_key(&Nodes(entities));
        queue.raise_floor(running.node.key(), first_ns);
    }

    /// [Charges](Self::charge) thread `tid`, which runs here, whose entity is `running`, for `ran_ns` of real time; then, if
    /// it has to give way to the first that waits, takes that one out and queues the running one instead. O(log n).
    ///
    /// What a CPU does that has several threads, and nothing else: one look at each, no more.
    #[inline(always)]
    pub fn charge_and_take_turns<E: Entities>(
        &mut self,
        entities: &E,
        tid: Tid,
        running: &Entity,
        ran_ns: u64,
        why: Reason,
    ) -> Option<Tid> {
        // Acquire: as in `follow_settings`.
        let is_plain = !running.has_changed.load(Acquire) && !running.is_on_idle_clock.load(Relaxed);
        match self.fair.heap.first() {
            Some(first) if is_plain => {
                let first = entities.entity(first);
                let (running_ns, first_ns) = (running.advance(ran_ns), first.node.key());
                self.fair.raise_floor(running_ns, Some(first_ns));
                if is_before(why.threshold_ns(running_ns, first), first_ns) {
                    return None;
                }
                let (entering, leaving) = (running.clock_weight(), first.clock_weight());
                if entering != leaving {
                    self.weight = self.weight + u64::from(entering) - u64::from(leaving);
                }
                self.fair.heap.replace_first(&Nodes(entities), tid, &running.node)
            }
            _ => self.charge_and_take_turns_slowly(entities, tid, running, ran_ns, why),
        }
    }

    /// As above where a class or a setting makes a difference.
    #[cold]
    fn charge_and_take_turns_slowly<E: Entities>(
        &mut self,
        entities: &E,
        tid: Tid,
        running: &Entity,
        ran_ns: u64,
        why: Reason,
    ) -> Option<Tid> {
        self.charge(entities, running, ran_ns);
        let next = self.pop_instead_of(entities, running, why)?;
        self.push(entities, tid);
        Some(next)
    }

    /// Nobody has waited for `ns` of real time, which the running thread, if any, is not charged for.
    #[inline]
    pub fn pass(&mut self, ns: u64) {
        self.fair.pass(ns);
        self.idle.pass(ns);
    }

    /// Lets the sleep of the thread behind `entity` count, which ends now and began when it was
    /// [detached](Self::detach) from this queue: what the others had meanwhile pays its debts, and earns it a bounded
    /// credit.
    #[inline]
    pub fn wake(&self, entity: &Entity) {
        let left_at_ns = entity.left_at_ns.load(Relaxed);
        let passed_ns = self.class(entity.clock_class()).passed_ns().wrapping_sub(left_at_ns);
        let lag_ns = entity.lag_ns.load(Relaxed).saturating_sub_unsigned(passed_ns);
        entity.lag_ns.store(lag_ns.max(-(SLEEPER_CREDIT_NS as i64)), Relaxed);
    }

    /// Puts the thread behind `entity` on this queue's time: it is new, or has run or waited on none since
    /// [`detach`](Self::detach).
    #[inline]
    pub fn attach(&self, entity: &Entity) {
        self.join_clock(entity, entity.class(), entity.lag_ns.load(Relaxed));
    }

    /// Puts a thread on this queue's time, `lag_ns` from the floor as reckoned by its weight until now: what it is
    /// ahead or behind in CPU time stays what it is, and counts by its weight from now on.
    fn join_clock(&self, entity: &Entity, class: Class, lag_ns: i64) {
        let (old, new) = (entity.clock_weight(), entity.weight().get());
        let lag_ns = if old == new { lag_ns } else { lag_ns * i64::from(old) / i64::from(new) };
        let limit_ns = LAG_LIMIT_NS as i64;
        entity.clock_weight.store(new, Relaxed);
        entity.set_clock_class(class);
        let floor_ns = self.class(class).floor_ns;
        let clock_ns = floor_ns.wrapping_add_signed(lag_ns.clamp(-limit_ns, limit_ns));
        entity.set_clock(clock_ns, new == Weight::UNIT.get());
    }

    /// Lets a change of class or weight count.
    #[inline]
    fn follow_settings(&self, entity: &Entity) {
        // Acquire pairs with the Release in `note_change`. A swap, for the settings must not be read before the mark is gone: a
        // change that comes in between would lose its own.
        if entity.has_changed.load(Relaxed) && entity.has_changed.swap(false, Acquire) {
            self.detach(entity);
            self.join_clock(entity, entity.class(), entity.lag_ns.load(Relaxed));
        }
    }

    /// Takes the thread behind `entity`, which runs here or was just taken out of this
    /// queue, off this queue's time.
    #[inline]
    pub fn detach(&self, entity: &Entity) {
        let limit_ns = LAG_LIMIT_NS as i64;
        let class = self.class(entity.clock_class());
        let lag_ns = entity.virtual_runtime_ns().wrapping_sub(class.floor_ns) as i64;
        entity.lag_ns.store(lag_ns.clamp(-limit_ns, limit_ns), Relaxed);
        entity.left_at_ns.store(class.passed_ns(), Relaxed);
    }

    /// Queues `tid`, which is in no run queue and on this queue's time: attached, or charged just now. O(log n).
    #[inline]
    pub fn push<E: Entities>(&mut self, entities: &E, tid: Tid) {
        let entity = entities.entity(tid);
        self.weight += u64::from(entity.clock_weight());
        self.class_mut(entity.clock_class()).heap.push(&Nodes(entities), tid);
    }

    /// Lets a change of the class or weight of `tid`, which is in this queue, count at
    /// once. O(log n).
    pub fn requeue<E: Entities>(&mut self, entities: &E, tid: Tid) {
        self.remove(entities, tid);
        self.follow_settings(entities.entity(tid));
        self.push(entities, tid);
    }

    /// Takes out `tid`, which is in this queue. O(log n).
    #[inline]
    pub fn remove<E: Entities>(&mut self, entities: &E, tid: Tid) {
        let entity = entities.entity(tid);
        self.weight -= u64::from(entity.clock_weight());
        self.class_mut(entity.clock_class()).heap.remove(&Nodes(entities), tid);
    }

    /// Takes out the thread that runs next, for the one that ran here has left. O(log n).
    #[inline]
    pub fn pop<E: Entities>(&mut self, entities: &E) -> Option<Tid> {
        let (class, tid) = self.first()?;
        self.remove(entities, tid);
        // Now it is the rearmost: alone, it owes nobody anything.
        self.class_mut(class).raise_floor(entities.entity(tid).node.key(), None);
        Some(tid)
    }

    /// Takes out the thread that should run next, if the running thread has to give way to it. O(log n).
    #[inline]
    pub fn pop_instead_of<E: Entities>(
        &mut self,
        entities: &E,
        running: &Entity,
        why: Reason,
    ) -> Option<Tid> {
        if !self.must_give_way(entities, running, why) {
            return None;
        }
        let (_, tid) = self.first()?;
        self.remove(entities, tid);
        Some(tid)
    }

    /// Whether the running thread has to give way to the first that waits.
    #[inline]
    #[must_use]
    pub fn must_give_way<E: Entities>(&self, entities: &E, running: &Entity, why: Reason) -> bool {
        let Some((class, tid)) = self.first() else { return false };
        let first = entities.entity(tid);
        if class != running.clock_class() {
            return class < running.clock_class();
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
    fn first(&self) -> Option<(Class, Tid)> {
        let fair = self.fair.heap.first().map(|tid| (Class::Fair, tid));
        fair.or_else(|| self.idle.heap.first().map(|tid| (Class::Idle, tid)))
    }

    #[inline]
    fn class(&self, class: Class) -> &ClassQueue {
        match class {
            Class::Fair => &self.fair,
            Class::Idle => &self.idle,
        }
    }

    #[inline]
    fn class_mut(&mut self, class: Class) -> &mut ClassQueue {
        match class {
            Class::Fair => &mut self.fair,
            Class::Idle => &mut self.idle,
        }
    }
}

impl Default for FairQueue {
    fn default() -> Self {
        Self::new()
    }
}
