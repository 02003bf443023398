//! A platform whose scheduler is the model checker's.

use std::cell::RefCell;
use std::sync::atomic::AtomicU64;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use crate::{Budget, HelperId, HelperTask, Placement, Platform, WakeCost};

loom::thread_local! {
    static PARKER: Parker = Parker::default();
}

/// The token that a thread parks on. The checker's `park` loses an early wake-up if the thread
/// blocks for another reason in between, which a platform must not.
#[derive(Clone, Default)]
pub struct Parker {
    inner: Arc<(Mutex<bool>, Condvar)>,
}

impl Parker {
    fn park(&self) {
        let (token, changed) = &*self.inner;
        let mut token = token.lock().unwrap();
        while !*token {
            token = changed.wait(token).unwrap();
        }
        *token = false;
    }

    fn unpark(&self) {
        let (token, changed) = &*self.inner;
        *token.lock().unwrap() = true;
        changed.notify_one();
    }
}

/// Starts a thread with a stack for nested jobs.
pub fn spawn(f: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    // The size is in words.
    let builder = thread::Builder::new().stack_size(0x8000);
    builder.spawn(f).unwrap()
}

/// What happens to a helper that was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A thread runs it.
    Runs,
    /// A thread drops it.
    Lost,
    /// A thread runs it unless the caller takes it back first.
    Queued,
    /// The platform keeps it: no thread runs or drops it, and the caller cannot take it back.
    Kept,
    /// The platform gives it back at once.
    Refused,
}

/// A platform whose helpers are the checker's threads, with a fate for each in turn.
#[derive(Clone)]
pub struct Scheduler {
    inner: Arc<Inner>,
}

struct Inner {
    fates: &'static [Fate],
    /// The fates of tasks that are only offered.
    offers: &'static [Fate],
    /// By how much the clock advances between two reads.
    clock_step_ns: u64,
    // Not the model checker's: the time is no part of the model, and a function of the order of events.
    now_ns: AtomicU64,
    // Of this run alone: what one run leaves behind must not steer the next.
    budget: Budget,
    wake_cost: WakeCost,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    started: usize,
    offered: usize,
    queue: Vec<Queued>,
    kept: Vec<HelperTask<Scheduler>>,
    lent: Vec<(HelperId, bool)>,
}

struct Queued {
    id: HelperId,
    /// In a cell, so that it can be taken out of the queue's entry.
    task: RefCell<Option<HelperTask<Scheduler>>>,
}

impl Scheduler {
    pub fn new(fates: &'static [Fate]) -> Self {
        Self::with_offers(fates, &[], 0)
    }

    /// Makes a platform that takes offers, with a clock that advances at each read.
    pub fn with_offers(fates: &'static [Fate], offers: &'static [Fate], clock_step_ns: u64) -> Self {
        let (state, now_ns) = (Mutex::new(State::default()), AtomicU64::new(0));
        let (budget, wake_cost) = (Budget::new(), WakeCost::new());
        Self { inner: Arc::new(Inner { fates, offers, clock_step_ns, now_ns, budget, wake_cost, state }) }
    }

    /// Makes helper number `number` with fate `fate`.
    fn make(
        &self,
        state: &mut State,
        number: usize,
        fate: Option<&Fate>,
        task: HelperTask<Self>,
    ) -> Result<HelperId, HelperTask<Self>> {
        let id = HelperId(number as u64);
        match fate.copied().unwrap_or(Fate::Refused) {
            Fate::Refused => return Err(task),
            Fate::Runs => drop(spawn(move || task.run())),
            Fate::Kept => state.kept.push(task),
            Fate::Lost => drop(spawn(move || drop(task))),
            Fate::Queued => {
                state.queue.push(Queued { id, task: RefCell::new(Some(task)) });
                let own = self.clone();
                drop(spawn(move || {
                    if let Some(task) = own.take(id) {
                        task.run();
                    }
                }));
            }
        }
        Ok(id)
    }

    /// Returns how often weight was lent and returned.
    pub fn lent_and_returned(&self) -> (usize, usize) {
        let state = self.inner.state.lock().unwrap();
        let lent = state.lent.iter().filter(|(_, lend)| *lend).count();
        (lent, state.lent.len() - lent)
    }

    fn take(&self, id: HelperId) -> Option<HelperTask<Self>> {
        let mut state = self.inner.state.lock().unwrap();
        let index = state.queue.iter().position(|queued| queued.id == id)?;
        state.queue.swap_remove(index).task.take()
    }
}

impl Platform for Scheduler {
    type Thread = Parker;

    fn online_cpus(&self) -> usize {
        self.inner.fates.len() + 1
    }

    fn now_ns(&self) -> u64 {
        self.inner.now_ns.fetch_add(self.inner.clock_step_ns, std::sync::atomic::Ordering::Relaxed)
    }

    fn current_thread(&self) -> Parker {
        PARKER.with(Parker::clone)
    }

    fn park(&self, _deadline_ns: Option<u64>) {
        self.current_thread().park();
    }

    fn unpark(&self, thread: &Parker) {
        thread.unpark();
    }

    fn start_helper(
        &self,
        task: HelperTask<Self>,
        _placement: Placement,
    ) -> Result<HelperId, HelperTask<Self>> {
        let mut state = self.inner.state.lock().unwrap();
        let number = state.started;
        state.started += 1;
        self.make(&mut state, number, self.inner.fates.get(number), task)
    }

    fn offer_helper(
        &self,
        task: HelperTask<Self>,
        _placement: Placement,
    ) -> Result<HelperId, HelperTask<Self>> {
        /// Numbers of offered helpers begin here.
        const FIRST: usize = 100;
        let mut state = self.inner.state.lock().unwrap();
        let number = state.offered;
        state.offered += 1;
        self.make(&mut state, FIRST + number, self.inner.offers.get(number), task)
    }

    fn budget(&self) -> &Budget {
        &self.inner.budget
    }

    fn wake_cost(&self) -> &WakeCost {
        &self.inner.wake_cost
    }

    fn cancel_helper(&self, helper: HelperId) -> Option<HelperTask<Self>> {
        self.take(helper)
    }

    fn lend_weight(&self, helper: HelperId, lend: bool) {
        self.inner.state.lock().unwrap().lent.push((helper, lend));
    }
}
