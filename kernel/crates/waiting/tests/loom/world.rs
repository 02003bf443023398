//! Threads and locks for the models. The park state is that of `runqueue`, as in the kernel. A condition variable stands for
//! the run queue, and another thread advances the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use loom::sync::{Condvar, Mutex};
use runqueue::{Links, ParkDecision, ParkState, Tid, UnparkAction};
use waiting::{HandOver, Locked, Owners, Threads};

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
    link: AtomicU32,
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
}

impl World {
    pub fn new() -> Arc<Self> {
        let thread = || Thread {
            park: ParkState::new(),
            is_queued: Mutex::new(false),
            dispatch: Condvar::new(),
            link: AtomicU32::new(Tid::NONE_RAW),
        };
        Arc::new(Self { threads: std::array::from_fn(|_| thread()), timer: Mutex::default() })
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
    fn next(&self, tid: Tid) -> Option<Tid> {
        Tid::new(self.world.threads[tid.index()].link.load(Relaxed))
    }

    fn set_next(&self, tid: Tid, next: Option<Tid>) {
        self.world.threads[tid.index()].link.store(Tid::to_raw(next), Relaxed);
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

/// Weight is not donated here: the model covers the ownership of the mutex.
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

    fn set_donee(&self, _: Tid, _: Option<&Tid>) {}
}

pub type State = Lock<HandOver<Tid>>;
