//! The queue and the workers of one pool.
//!
//! A worker is a number below the pool's capacity; it may or may not have a thread. All methods are called under the
//! pool's lock. They return what the caller has to do after it has released the lock.
//!
//! Items wait in order of their level, and within a level in order of arrival. A thread that waits for an item
//! [raises](Pool::raise) it to its own level. A heavy item does not wait until lighter ones end: while there are workers that
//! run lighter items, as many further workers may run heavier ones, up to the maximum. They run no more than that: a worker
//! beyond the limit parks, though lighter items wait. Light items wait for as long as heavier ones keep coming. They do not
//! age: a thread to which one matters waits for it, which raises it.
//!
//! Items stay in the queue until a worker takes them. A new item *calls* an idle worker, but a busy worker that finishes
//! earlier may take the item. The idle worker that worked last is called, because its stack is warm. So surplus workers
//! stay at the bottom of the idle stack, until they have been idle long enough to be retired.

use alloc::vec::Vec;

use runqueue::Nice;

use crate::queue::{LEVELS, Link, Node, Queue, index};

/// How many workers a pool may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Workers that run items at a time: the number of CPUs of the pool. Further items wait, unless workers are blocked or run
    /// lighter items.
    pub active: usize,
    /// Maximum number of workers, however many are blocked.
    pub most: usize,
    /// Workers that are never retired.
    pub keep: usize,
    /// Time after which other idle workers are retired.
    pub idle_timeout_ns: u64,
}

/// The thread to wake after an item was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum WakeAction {
    /// Wake this worker.
    Worker(usize),
    /// Wake the manager: a worker is missing, or may be.
    Manager,
    /// Wake no thread: a worker or the manager will look at the queue.
    None,
}

/// What the manager does about items that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Help {
    /// Wake this idle worker.
    Wake {
        /// Its number.
        worker: usize,
        /// The level of the item for which it comes.
        level: Nice,
    },
    /// Start a thread for this worker, which calls [`Pool::next`], or report [`Pool::start_failed`].
    Start {
        /// Its number.
        worker: usize,
        /// The level of the item for which it comes.
        level: Nice,
    },
}

/// The oldest item that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// Its number.
    pub number: u64,
    /// The worker that runs it; `None`: it is queued.
    pub worker: Option<usize>,
}

/// What a worker does next.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Next<H> {
    /// Run this item.
    Run(H),
    /// Park until the worker is called.
    Park {
        /// Wake the manager first: it has not planned to retire idle workers, or to look at items that wait.
        wake_manager: bool,
    },
    /// Exit: the worker no longer exists.
    Exit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worker {
    /// The worker does not exist.
    Absent,
    /// Its thread is being started, or has not called [`Pool::next`] yet.
    Starting,
    /// Waiting to be called.
    Idle { since_ns: u64 },
    /// Called, but has not called [`Pool::next`] yet.
    Called,
    /// Running the item of this number, which was queued at `level`.
    Busy { item: u64, level: Nice },
    /// Told to exit.
    Retiring,
}

/// One pool.
#[derive(Debug)]
pub struct Pool<H> {
    limits: Limits,
    queue: Queue<H>,
    /// The number of the next item.
    next_item: u64,
    workers: Vec<Worker>,
    /// Idle workers, in the order in which they became idle.
    idle: Vec<usize>,
    /// Workers that were called or are being started, and will look at the queue; the last one is last.
    coming: Vec<usize>,
    /// Workers that exist or are being started, without retiring ones.
    alive: usize,
    /// Workers that are running an item, in all and by level.
    busy: usize,
    busy_at: [usize; LEVELS],
    /// Busy workers that were blocked when the manager looked last.
    blocked: usize,
    /// The manager will look again soon, because items wait.
    watches_queue: bool,
    /// The manager will look again when an idle worker may be retired.
    watches_idle: bool,
}

impl<H: Link> Pool<H> {
    /// Creates a pool without workers, for at most `capacity` of them.
    #[must_use]
    pub fn new(capacity: usize, limits: Limits) -> Self {
        Self {
            limits,
            queue: Queue::new(),
            next_item: 0,
            workers: alloc::vec![Worker::Absent; capacity],
            idle: Vec::with_capacity(capacity),
            coming: Vec::with_capacity(capacity),
            alive: 0,
            busy: 0,
            busy_at: [0; LEVELS],
            blocked: 0,
            watches_queue: false,
            watches_idle: false,
        }
    }

    /// Changes the limits. Surplus workers exit when they have been idle long enough.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Returns the number of queued items.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Returns the number of workers that exist or are being started, without retiring ones.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.alive
    }

    /// Returns the number of idle workers.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Queues `item` at `level`. Returns which thread to wake.
    pub fn submit(&mut self, item: H, level: Nice) -> WakeAction {
        item.node().set_number(self.next_item);
        self.next_item += 1;
        self.queue.push(item, level);
        self.find_worker()
    }

    /// Raises the item of `node` to `level`, if it is queued at a lighter one: a thread of that level waits for it. Returns
    /// which thread to wake.
    pub fn raise(&mut self, node: &H::Node, level: Nice) -> WakeAction {
        if self.queue.raise(node, level) { self.find_worker() } else { WakeAction::None }
    }

    /// Returns a worker that was called or is being started. It takes the first item, so a thread that raised an item to the
    /// front gives its weight to that worker.
    #[must_use]
    pub fn coming(&self) -> Option<usize> {
        self.coming.last().copied()
    }

    /// Returns whether `worker` was called or is being started, and has not called [`next`](Self::next) yet.
    #[must_use]
    pub fn is_coming(&self, worker: usize) -> bool {
        self.coming.contains(&worker)
    }

    /// Returns the level of the first item.
    #[must_use]
    pub fn first_level(&self) -> Option<Nice> {
        self.queue.first_level()
    }

    /// Returns the queued item that arrived first.
    #[must_use]
    pub fn oldest_queued(&self) -> Option<&H> {
        self.queue.oldest()
    }

    /// Finds a worker for an item that was queued or raised.
    fn find_worker(&mut self) -> WakeAction {
        if !self.lacks_workers() {
            return WakeAction::None;
        }
        if let Some((worker, _)) = self.call_idle() {
            return WakeAction::Worker(worker);
        }
        if self.may_start().is_some() || !self.watches_queue {
            self.watches_queue = true;
            return WakeAction::Manager;
        }
        WakeAction::None
    }

    /// Calls an idle worker, if another one may run an item. Returns it and the level of the item.
    fn call_idle(&mut self) -> Option<(usize, Nice)> {
        let level = self.level_without_worker()?;
        let worker = self.idle.pop()?;
        self.workers[worker] = Worker::Called;
        self.coming.push(worker);
        Some((worker, level))
    }

    /// Returns the level of the item for which the manager may start a worker: it may be run, and no worker is idle.
    fn may_start(&self) -> Option<Nice> {
        let may_start = self.idle.is_empty() && self.alive < self.limits.most;
        self.level_without_worker().filter(|_| may_start)
    }

    /// Returns the level of the first item for which no worker is coming, if the pool has room for it.
    fn level_without_worker(&self) -> Option<Nice> {
        // Those that are coming take the first items.
        let coming = self.coming.len();
        self.queue.level_at(coming).filter(|level| self.has_room(self.busy + coming, *level))
    }

    /// Returns whether a worker may run an item of `level` beside `others`, which run items or will soon.
    fn has_room(&self, others: usize, level: Nice) -> bool {
        let limit = self.active().saturating_add(self.blocked);
        // Added up only where that decides.
        others < limit || others - limit < self.busy_at[index(level) + 1..].iter().sum()
    }

    /// Removes the item of `node` from the queue, and returns it; `None` if it is not queued.
    pub fn remove(&mut self, node: &H::Node) -> Option<H> {
        self.queue.remove(node)
    }

    /// Removes the first item that `begin` accepts and that may be run, and makes `worker` run it.
    fn take(&mut self, worker: usize, begin: impl Fn(&H) -> bool) -> Option<H> {
        while let Some(level) = self.queue.first_level().filter(|level| self.has_room(self.busy, *level)) {
            let item = self.queue.pop()?;
            if begin(&item) {
                self.workers[worker] = Worker::Busy { item: item.node().number(), level };
                self.busy += 1;
                self.busy_at[index(level)] += 1;
                return Some(item);
            }
        }
        None
    }

    /// Does the count when a worker has run an item of `level`.
    fn count_ended(&mut self, level: Nice) {
        self.busy -= 1;
        self.busy_at[index(level)] -= 1;
        // Only busy workers count as blocked: it may have been this one.
        self.blocked = self.blocked.min(self.busy);
    }

    /// Decides what `worker` does next. The worker calls this when it has started, was woken, or has ended its item. `begin`
    /// returns whether an item that was removed from the queue is still to be run.
    pub fn next(
        &mut self,
        worker: usize,
        now_ns: impl FnOnce() -> u64,
        begin: impl Fn(&H) -> bool,
    ) -> Next<H> {
        let previous = self.workers[worker];
        match previous {
            Worker::Retiring => {
                self.workers[worker] = Worker::Absent;
                return Next::Exit;
            }
            Worker::Starting | Worker::Called => self.coming.retain(|coming| *coming != worker),
            Worker::Busy { level, .. } => self.count_ended(level),
            Worker::Absent | Worker::Idle { .. } => {}
        }
        if let Some(item) = self.take(worker, begin) {
            if let Worker::Idle { .. } = previous {
                // A spurious wake-up.
                self.idle.retain(|idle| *idle != worker);
            }
            return Next::Run(item);
        }
        if let Worker::Idle { .. } = previous {
            return Next::Park { wake_manager: false };
        }
        self.workers[worker] = Worker::Idle { since_ns: now_ns() };
        self.idle.push(worker);
        let must_retire = self.alive > self.limits.keep && !self.watches_idle;
        let must_watch = !self.queue.is_empty() && !self.watches_queue;
        self.watches_idle |= must_retire;
        self.watches_queue |= must_watch;
        Next::Park { wake_manager: must_retire || must_watch }
    }

    /// Finds a worker for items that wait: an idle one, or one to be started. `blocked` is the number of busy workers that are
    /// blocked and do not count.
    pub fn help(&mut self, blocked: usize) -> Option<Help> {
        self.blocked = blocked;
        if let Some((worker, level)) = self.call_idle() {
            return Some(Help::Wake { worker, level });
        }
        let level = self.may_start()?;
        self.start_one().map(|worker| Help::Start { worker, level })
    }

    /// Reserves a worker that is started before there is any item.
    pub fn start_ahead(&mut self) -> Option<usize> {
        if self.alive < self.active().min(self.limits.most.max(1)) { self.start_one() } else { None }
    }

    fn start_one(&mut self) -> Option<usize> {
        let worker = self.workers.iter().position(|worker| *worker == Worker::Absent)?;
        self.workers[worker] = Worker::Starting;
        self.alive += 1;
        self.coming.push(worker);
        Some(worker)
    }

    /// Reports that the thread of `worker`, which [`help`](Self::help) reserved, could not be started. Returns a worker to
    /// wake in its place, and the level of the item for which it comes. Such a worker became idle meanwhile, and was not called
    /// for the item that the new worker was to take.
    #[must_use = "the worker is to be woken"]
    pub fn start_failed(&mut self, worker: usize) -> Option<(usize, Nice)> {
        debug_assert!(
            self.workers[worker] == Worker::Starting,
            "worker {worker} is {:?}",
            self.workers[worker]
        );
        self.workers[worker] = Worker::Absent;
        self.alive -= 1;
        self.coming.retain(|coming| *coming != worker);
        self.call_idle()
    }

    /// Reports that the thread of `worker`, which [`help`](Self::help) reserved, could not be started. Returns an item that
    /// the caller runs in its place, until [`end_rescue`](Self::end_rescue). Without a queued item it returns `None` and
    /// drops the worker.
    pub fn rescue(&mut self, worker: usize, begin: impl Fn(&H) -> bool) -> Option<H> {
        if let Some(item) = self.take(worker, begin) {
            self.coming.retain(|coming| *coming != worker);
            return Some(item);
        }
        let called = self.start_failed(worker);
        debug_assert!(called.is_none(), "worker {called:?} is called for no item");
        None
    }

    /// Ends the item from [`rescue`](Self::rescue), and drops `worker`.
    pub fn end_rescue(&mut self, worker: usize) {
        let Worker::Busy { level, .. } = core::mem::replace(&mut self.workers[worker], Worker::Absent) else {
            unreachable!("worker {worker} runs no item");
        };
        self.count_ended(level);
        self.alive -= 1;
    }

    /// Retires a worker that has been idle too long. The caller wakes it, and it exits. Returns `None` if there is none.
    pub fn retire_idle(&mut self, now_ns: u64) -> Option<usize> {
        if self.alive <= self.limits.keep || self.next_retirement_ns()? > now_ns {
            return None;
        }
        // The bottom of the stack has been idle longest.
        let worker = self.idle.remove(0);
        self.workers[worker] = Worker::Retiring;
        self.alive -= 1;
        Some(worker)
    }

    fn next_retirement_ns(&self) -> Option<u64> {
        match self.workers[*self.idle.first()?] {
            Worker::Idle { since_ns } => Some(since_ns.saturating_add(self.limits.idle_timeout_ns)),
            _ => None,
        }
    }

    /// Returns when the manager has to look at the pool again, after it has started and retired workers. If a worker is
    /// missing before that time, [`WakeAction::Manager`] wakes it. While items are queued it looks after `retry_ns`, because
    /// workers may be blocked by then.
    pub fn next_look_ns(&mut self, now_ns: u64, retry_ns: u64) -> Option<u64> {
        let retirement_ns = self.next_retirement_ns().filter(|_| self.alive > self.limits.keep);
        let look_ns = (!self.queue.is_empty()).then(|| now_ns.saturating_add(retry_ns));
        (self.watches_idle, self.watches_queue) = (retirement_ns.is_some(), look_ns.is_some());
        [retirement_ns, look_ns].into_iter().flatten().min()
    }

    /// Returns the workers that are running an item.
    pub fn busy(&self) -> impl Iterator<Item = usize> {
        let is_busy = |worker: &Worker| matches!(worker, Worker::Busy { .. });
        self.workers.iter().enumerate().filter(move |(_, worker)| is_busy(worker)).map(|(number, _)| number)
    }

    /// Returns whether the manager should count the blocked workers: as long as items wait. A worker that is coming in the
    /// place of a blocked one finds room only if the blocked worker still counts.
    #[must_use]
    pub fn should_count_blocked(&self) -> bool {
        !self.queue.is_empty() && self.alive >= self.active()
    }

    /// Returns whether more items are queued than workers are coming.
    fn lacks_workers(&self) -> bool {
        self.queue.len() > self.coming.len()
    }

    /// Returns the number of the next item.
    #[must_use]
    pub fn next_item(&self) -> u64 {
        self.next_item
    }

    /// Returns the oldest item with a number below `item` that has neither ended nor been removed.
    #[must_use]
    pub fn oldest_before(&self, item: u64) -> Option<Oldest> {
        let running = self.workers.iter().enumerate().filter_map(|(worker, state)| match state {
            Worker::Busy { item, .. } => Some(Oldest { number: *item, worker: Some(worker) }),
            _ => None,
        });
        let queued =
            self.queue.oldest().map(|oldest| Oldest { number: oldest.node().number(), worker: None });
        running.chain(queued).filter(|oldest| oldest.number < item).min_by_key(|oldest| oldest.number)
    }

    /// Returns whether every item with a number below `item` has ended or was removed.
    #[must_use]
    pub fn is_flushed(&self, item: u64) -> bool {
        self.oldest_before(item).is_none()
    }

    fn active(&self) -> usize {
        self.limits.active.clamp(1, self.workers.len().max(1))
    }
}
