//! The queue and the workers of one pool.
//!
//! A worker is a number here, from 0 up to the pool's capacity; there may or may not be a
//! thread for it. Everything is called under the pool's lock, and tells the caller what to do once
//! the lock is open.
//!
//! Items stay in the queue until a worker takes them: an idle worker is *called* when an item
//! comes, but a busy one that ends first may have the item. Of the idle workers the one
//! that has worked last is called, for its stack is warm, so those that are not needed stay at the bottom
//! and get old enough to be retired.

use alloc::vec::Vec;

use crate::queue::{Link, Queue};

/// How many workers a pool has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Workers that are at work at a time: beyond, items wait, unless workers are blocked. The CPUs of the pool.
    pub active: usize,
    /// Workers that there are at a time, however many are blocked.
    pub most: usize,
    /// Workers that stay, however long they have been idle.
    pub keep: usize,
    /// How long others may be idle.
    pub idle_timeout_ns: u64,
}

/// What to do when an item was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum WakeAction {
    /// Wake this worker.
    Worker(usize),
    /// Have the manager look at the pool: a worker is missing, or may be.
    Manager,
    /// Somebody will come.
    None,
}

/// What a worker does next.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Next<H> {
    /// Its item.
    Run(H),
    /// It sleeps until it is called; before it does, the manager has to be woken if
    /// `wake_manager`: to let it go when the time has come.
    Park {
        /// The manager does not know of any idle worker yet.
        wake_manager: bool,
    },
    /// It ends: there is no worker of its number any more.
    Leave,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worker {
    /// There is none.
    Absent,
    /// Being made, or made and not here yet.
    Starting,
    /// Waits to be called.
    Idle { since_ns: u64 },
    /// Was called, and has not come yet.
    Called,
    /// At the item of this number.
    Busy { item: u64 },
    /// Was told to leave.
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
    /// Idle workers, the last to become so last.
    idle: Vec<usize>,
    /// Workers that were called, or are being made, and will look at the queue.
    coming: usize,
    /// Workers that are there or being made, and were not told to leave.
    alive: usize,
    /// The manager will look soon, because items wait.
    watches_queue: bool,
    /// The manager will look when an idle worker may be retired.
    watches_idle: bool,
}

impl<H: Link> Pool<H> {
    /// A pool without workers, for at most `capacity` of them.
    #[must_use]
    pub fn new(capacity: usize, limits: Limits) -> Self {
        Self {
            limits,
            queue: Queue::new(),
            next_item: 0,
            workers: alloc::vec![Worker::Absent; capacity],
            idle: Vec::with_capacity(capacity),
            coming: 0,
            alive: 0,
            watches_queue: false,
            watches_idle: false,
        }
    }

    /// Changes the limits. Workers that are too many leave when they have been idle for long enough.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Items that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Workers that there are or will be soon, without those that were told to leave.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.alive
    }

    /// Workers that wait to be called.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Queues `item`.
    pub fn submit(&mut self, item: H) -> WakeAction {
        item.set_number(self.next_item);
        self.next_item += 1;
        self.queue.push(item);
        if self.queue.len() <= self.coming {
            return WakeAction::None;
        }
        if let Some(worker) = self.call_idle() {
            return WakeAction::Worker(worker);
        }
        if self.alive < self.active() || !self.watches_queue {
            self.watches_queue = true;
            return WakeAction::Manager;
        }
        WakeAction::None
    }

    /// Calls an idle worker, if fewer come than items wait.
    fn call_idle(&mut self) -> Option<usize> {
        if self.queue.len() <= self.coming {
            return None;
        }
        let worker = self.idle.pop()?;
        self.workers[worker] = Worker::Called;
        self.coming += 1;
        Some(worker)
    }

    /// Takes out the first item that `wanted` accepts.
    pub fn take_where(&mut self, wanted: impl FnMut(&H) -> bool) -> Option<H> {
        self.queue.take_where(wanted)
    }

    /// What `worker` does, which comes for the first time, was woken, or has ended its item. `begin` says whether an item
    /// that was taken out of the queue is still to be done.
    pub fn next(
        &mut self,
        worker: usize,
        now_ns: impl FnOnce() -> u64,
        begin: impl Fn(&H) -> bool,
    ) -> Next<H> {
        let was = self.workers[worker];
        match was {
            Worker::Retiring => {
                self.workers[worker] = Worker::Absent;
                return Next::Leave;
            }
            Worker::Starting | Worker::Called => self.coming -= 1,
            Worker::Absent | Worker::Idle { .. } | Worker::Busy { .. } => {}
        }
        while let Some(item) = self.queue.pop() {
            if begin(&item) {
                if let Worker::Idle { .. } = was {
                    // It woke up by itself.
                    self.idle.retain(|idle| *idle != worker);
                }
                self.workers[worker] = Worker::Busy { item: item.number() };
                return Next::Run(item);
            }
        }
        if let Worker::Idle { .. } = was {
            return Next::Park { wake_manager: false };
        }
        self.workers[worker] = Worker::Idle { since_ns: now_ns() };
        self.idle.push(worker);
        let wake_manager = self.alive > self.limits.keep && !self.watches_idle;
        self.watches_idle |= wake_manager;
        Next::Park { wake_manager }
    }

    /// A worker to be made, of which `blocked` of those there are do not count because they wait for something: the
    /// caller starts a thread for it that calls [`next`](Self::next), or reports
    /// [`start_failed`](Self::start_failed). `None` when there are enough.
    pub fn start(&mut self, blocked: usize) -> Option<usize> {
        let has_room = self.alive < self.limits.most.min(self.active().saturating_add(blocked));
        if self.lacks_workers() && has_room { self.start_one() } else { None }
    }

    /// As [`start`](Self::start), for a worker that is made before there is anything to do.
    pub fn start_ahead(&mut self) -> Option<usize> {
        if self.alive < self.active() { self.start_one() } else { None }
    }

    fn start_one(&mut self) -> Option<usize> {
        let worker = self.workers.iter().position(|worker| *worker == Worker::Absent)?;
        self.workers[worker] = Worker::Starting;
        self.alive += 1;
        self.coming += 1;
        Some(worker)
    }

    /// There is no thread for `worker`, which [`start`](Self::start) named. Returns a worker to be woken in its place: one that
    /// has become idle meanwhile, and was not called for an item that the new one was to take.
    #[must_use = "the worker is to be woken"]
    pub fn start_failed(&mut self, worker: usize) -> Option<usize> {
        debug_assert!(
            self.workers[worker] == Worker::Starting,
            "worker {worker} is {:?}",
            self.workers[worker]
        );
        self.workers[worker] = Worker::Absent;
        self.alive -= 1;
        self.coming -= 1;
        self.call_idle()
    }

    /// There is no thread for `worker`, which [`start`](Self::start) named: an item for the caller to do in its place,
    /// until [`end_rescue`](Self::end_rescue). `None`: nothing waits, and the worker is gone.
    pub fn rescue(&mut self, worker: usize, begin: impl Fn(&H) -> bool) -> Option<H> {
        while let Some(item) = self.queue.pop() {
            if begin(&item) {
                self.coming -= 1;
                self.workers[worker] = Worker::Busy { item: item.number() };
                return Some(item);
            }
        }
        let called = self.start_failed(worker);
        debug_assert!(called.is_none(), "worker {called:?} is called for nothing");
        None
    }

    /// The item from [`rescue`](Self::rescue) has ended, and `worker` is gone.
    pub fn end_rescue(&mut self, worker: usize) {
        debug_assert!(
            matches!(self.workers[worker], Worker::Busy { .. }),
            "worker {worker} is {:?}",
            self.workers[worker]
        );
        self.workers[worker] = Worker::Absent;
        self.alive -= 1;
    }

    /// A worker that has been idle for too long: it is woken, and leaves. `None` when there is none.
    pub fn retire_idle(&mut self, now_ns: u64) -> Option<usize> {
        if self.alive <= self.limits.keep || self.next_retirement_ns()? > now_ns {
            return None;
        }
        // The one at the bottom has been idle for longest.
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

    /// When the manager has to look at the pool again, after it has started and retired workers: at once it is
    /// [called](WakeAction::Manager) if somebody is missing, and anyway at this time. `retry_ns` from now
    /// while items wait, for workers may be blocked by then.
    pub fn next_look_ns(&mut self, now_ns: u64, retry_ns: u64) -> Option<u64> {
        let retirement_ns = self.next_retirement_ns().filter(|_| self.alive > self.limits.keep);
        let look_ns = (!self.queue.is_empty()).then(|| now_ns.saturating_add(retry_ns));
        (self.watches_idle, self.watches_queue) = (retirement_ns.is_some(), look_ns.is_some());
        [retirement_ns, look_ns].into_iter().flatten().min()
    }

    /// Workers that are at an item.
    pub fn busy(&self) -> impl Iterator<Item = usize> {
        let is_busy = |worker: &Worker| matches!(worker, Worker::Busy { .. });
        self.workers.iter().enumerate().filter(move |(_, worker)| is_busy(worker)).map(|(number, _)| number)
    }

    /// Whether the manager should find out how many workers are blocked.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.lacks_workers() && self.alive >= self.active()
    }

    /// Whether more items wait than workers come or can be called.
    fn lacks_workers(&self) -> bool {
        self.queue.len() > self.coming + self.idle.len()
    }

    /// The number that the next item will have.
    #[must_use]
    pub fn next_item(&self) -> u64 {
        self.next_item
    }

    /// Whether every item with a number below `item` has ended or was taken out.
    #[must_use]
    pub fn is_flushed(&self, item: u64) -> bool {
        let is_before = |number: u64| number < item;
        // In order of arrival: the first is the oldest.
        !self.queue.first().is_some_and(|first| is_before(first.number()))
            && !self.workers.iter().any(|worker| matches!(worker, Worker::Busy { item } if is_before(*item)))
    }

    fn active(&self) -> usize {
        self.limits.active.clamp(1, self.workers.len().max(1))
    }
}
