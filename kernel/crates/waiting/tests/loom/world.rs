//! Threads and locks for the models. The park state is that of `runqueue`, as in the kernel. A condition variable stands for
//! the run queue, and another thread advances the clock.

use std::sync::Arc;

use loom::sync::atomic::{AtomicI8, Ordering::SeqCst};
use loom::sync::{Condvar, Mutex};
use runqueue::{Link, Links, Nice, ParkDecision, ParkState, Tid, UnparkAction};
use waiting::{Donation, Donors, HandOver, Locked, Owners, ReceivedDonations, Threads};

/// Preemptions per execution: enough for every known kind of concurrency bug, few enough to end in seconds.
const PREEMPTION_BOUND: usize = 2;

/// Maximum number of threads in a model, with the main one.
pub const THREADS: usize = 4;

/// A deadline that lies ahead until [`World::pass_deadline`].
pub const DEADLINE: u64 = 1;

pub fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTION_BOUND);
    builder.check(run);
}

/// A lock of loom.
pub struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }
}

impl<T> Locked<T> for Lock<T> {
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.lock().unwrap())
    }
}

struct Thread {
    park: ParkState,
    is_queued: Mutex<bool>,
    dispatch: Condvar,
    /// Protected by the lock of the thread's list: nothing for loom to explore.
    link: Link,
    turnstile: Mutex<Option<usize>>,
}

/// No level.
const NONE: i8 = i8::MAX;

/// A donor and donee: a thread, or the turnstile that it began with.
struct Node {
    own: i8,
    donated: AtomicI8,
    donation: Mutex<Option<Donation<usize>>>,
    received: Mutex<ReceivedDonations>,
}

impl Node {
    fn new(own: i8) -> Self {
        Self {
            own,
            donated: AtomicI8::new(NONE),
            donation: Mutex::new(None),
            received: Mutex::new(ReceivedDonations::new()),
        }
    }
}

/// The timer of the one thread with a deadline.
#[derive(Default)]
struct Timer {
    is_past: bool,
    sleeper: Option<usize>,
}

pub struct World {
    threads: [Thread; THREADS],
    timer: Mutex<Timer>,
    /// The threads, then their turnstiles.
    nodes: Vec<Node>,
}

impl World {
    /// Creates a world in which no thread donates weight.
    pub fn new() -> Arc<Self> {
        Self::with_levels(std::array::from_fn(|_| NONE))
    }

    /// Creates a world whose threads have these nice levels.
    pub fn with_levels(levels: [i8; THREADS]) -> Arc<Self> {
        let thread = |number| Thread {
            park: ParkState::new(),
            is_queued: Mutex::new(false),
            dispatch: Condvar::new(),
            link: Link::new(),
            turnstile: Mutex::new(Some(THREADS + number)),
        };
        let nodes = levels.into_iter().chain([NONE; THREADS]).map(Node::new).collect();
        Arc::new(Self { threads: std::array::from_fn(thread), timer: Mutex::default(), nodes })
    }

    /// Returns the level at which thread number `number` runs.
    pub fn level_of(&self, number: usize) -> i8 {
        let node = &self.nodes[number];
        node.own.min(node.donated.load(SeqCst))
    }

    /// Checks that no thread waits for a mutex: each has a turnstile and its own level, and no turnstile a donor or donee.
    pub fn assert_at_rest(&self) {
        let mut turnstiles: Vec<usize> = self
            .threads
            .iter()
            .map(|thread| thread.turnstile.lock().unwrap().expect("a thread lacks its turnstile"))
            .collect();
        turnstiles.sort();
        assert_eq!(turnstiles, (THREADS..2 * THREADS).collect::<Vec<_>>());
        for (number, node) in self.nodes.iter().enumerate() {
            assert!(node.donation.lock().unwrap().is_none(), "node {number} donates");
            assert_eq!(node.donated.load(SeqCst), NONE, "node {number} has a donor");
        }
    }

    /// Returns the view of thread number `number`.
    pub fn seen_by(self: &Arc<Self>, number: usize) -> Me {
        Me { world: self.clone(), number }
    }

    /// Returns whether thread number `number` has parked and was not woken.
    pub fn is_parked(&self, number: usize) -> bool {
        self.threads[number].park.is_parked()
    }

    /// Runs the timer interrupt.
    pub fn pass_deadline(&self) {
        let mut timer = self.timer.lock().unwrap();
        timer.is_past = true;
        if let Some(sleeper) = timer.sleeper.take() {
            self.apply(sleeper, self.threads[sleeper].park.cancel_park());
        }
    }

    fn apply(&self, number: usize, action: UnparkAction) {
        if action == UnparkAction::Wake {
            let thread = &self.threads[number];
            let mut is_queued = thread.is_queued.lock().unwrap();
            assert!(!*is_queued, "queued twice for one sleep");
            *is_queued = true;
            thread.dispatch.notify_one();
        }
    }

    /// Switches away until the thread is dispatched again. Loom reports a deadlock if the thread is never queued.
    fn sleep(&self, number: usize) {
        let thread = &self.threads[number];
        let mut is_queued = thread.is_queued.lock().unwrap();
        while !*is_queued {
            is_queued = thread.dispatch.wait(is_queued).unwrap();
        }
        *is_queued = false;
    }
}

/// The world as one thread sees it.
#[derive(Clone)]
pub struct Me {
    pub world: Arc<World>,
    pub number: usize,
}

fn tid(number: usize) -> Tid {
    Tid::new(number as u32).unwrap()
}

impl Links for Me {
    fn link(&self, tid: Tid) -> &Link {
        &self.world.threads[tid.index()].link
    }
}

impl Threads for Me {
    fn me(&self) -> Tid {
        tid(self.number)
    }

    fn park(&self, deadline_ns: Option<u64>) {
        let park = &self.world.threads[self.number].park;
        if park.prepare_park() == ParkDecision::Consumed {
            return;
        }
        if deadline_ns.is_some() {
            let mut timer = self.world.timer.lock().unwrap();
            if timer.is_past {
                // The timer fires at once.
                drop(timer);
                if park.cancel_park() == UnparkAction::Wake {
                    return;
                }
            } else {
                timer.sleeper = Some(self.number);
            }
        }
        self.world.sleep(self.number);
        if deadline_ns.is_some() {
            self.world.timer.lock().unwrap().sleeper = None;
        }
    }

    fn unpark(&self, thread: Tid) {
        let number = thread.index();
        self.world.apply(number, self.world.threads[number].park.unpark());
    }

    fn now_ns(&self) -> u64 {
        u64::from(self.world.timer.lock().unwrap().is_past)
    }
}

impl Donors for Me {
    type Thread = usize;

    fn with_donation<R>(&self, donor: &usize, work: impl FnOnce(&mut Option<Donation<usize>>) -> R) -> R {
        work(&mut self.world.nodes[*donor].donation.lock().unwrap())
    }

    fn with_received<R>(&self, donee: &usize, work: impl FnOnce(&mut ReceivedDonations) -> R) -> R {
        work(&mut self.world.nodes[*donee].received.lock().unwrap())
    }

    fn level(&self, thread: &usize) -> Option<Nice> {
        Nice::new(self.world.level_of(*thread))
    }

    fn set_donated_level(&self, thread: &usize, level: Option<Nice>) {
        self.world.nodes[*thread].donated.store(level.map_or(NONE, Nice::get), SeqCst);
    }

    fn reweigh(&self, _: &usize) {}
}

impl Owners for Me {
    type Owner = Tid;

    fn this_thread(&self) -> Tid {
        self.me()
    }

    fn waiting_thread(&self, tid: Tid) -> Tid {
        tid
    }

    fn tid_of(&self, owner: &Tid) -> Tid {
        *owner
    }

    fn donor(&self, owner: &Tid) -> usize {
        owner.index()
    }

    fn with_turnstile<R>(&self, owner: &Tid, work: impl FnOnce(&mut Option<usize>) -> R) -> R {
        work(&mut self.world.threads[owner.index()].turnstile.lock().unwrap())
    }
}

pub type State = Lock<HandOver<Tid, usize>>;
