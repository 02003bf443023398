//! Models of the state of an item. Loom runs each under every interleaving, with every value that the memory model allows a
//! Relaxed load to return.
//!
//! Needs `--cfg loom`; `item.rs` runs them in an ordinary test run.
#![cfg(loom)]

use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::sync::{Arc, Mutex};
use loom::thread;
use workpool::{ItemState, Status};

const PREEMPTION_BOUND: usize = 3;

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTION_BOUND);
    builder.check(run);
}

/// One item, and a queue with room for it. The contents are Relaxed: the state has to order them.
struct Model {
    state: ItemState,
    /// Whether the item is in the queue; under the queue's lock.
    queue: Mutex<bool>,
    /// What the owner sets up for the worker.
    input: AtomicUsize,
    /// The worker's number, written before it begins.
    worker: AtomicUsize,
    /// What the worker writes.
    output: AtomicUsize,
    runs: AtomicUsize,
}

impl Model {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            state: ItemState::new(),
            queue: Mutex::new(false),
            input: AtomicUsize::new(0),
            worker: AtomicUsize::new(0),
            output: AtomicUsize::new(0),
            runs: AtomicUsize::new(0),
        })
    }

    fn submit(&self, input: usize) -> Option<workpool::Generation> {
        let generation = self.state.claim()?;
        self.input.store(input, Relaxed);
        let mut queued = self.queue.lock().unwrap();
        self.state.publish();
        assert!(!*queued, "queued twice");
        *queued = true;
        Some(generation)
    }

    /// Does what a woken worker does. Returns whether it ran the item.
    fn work(&self) -> bool {
        let begun = {
            let mut queued = self.queue.lock().unwrap();
            core::mem::take(&mut *queued) && {
                self.worker.store(5, Relaxed);
                self.state.begin()
            }
        };
        if begun {
            let input = self.input.load(Relaxed);
            assert_ne!(input, 0, "the worker does not see the input");
            self.output.store(input, Relaxed);
            self.runs.fetch_add(1, Relaxed);
            self.state.end();
        }
        begun
    }

    fn cancel(&self, generation: workpool::Generation) -> bool {
        if !self.state.cancel(generation) {
            return false;
        }
        assert_ne!(self.input.load(Relaxed), 0, "the canceller does not see the input");
        *self.queue.lock().unwrap() = false;
        self.state.retire();
        true
    }
}

#[test]
fn an_item_is_run_or_cancelled_and_never_both() {
    model(|| {
        let model = Model::new();
        let generation = model.submit(7).unwrap();
        let worker = thread::spawn({
            let model = Arc::clone(&model);
            move || model.work()
        });
        let canceller = thread::spawn({
            let model = Arc::clone(&model);
            move || model.cancel(generation)
        });
        let cancelled = model.cancel(generation);
        if model.state.is_over(generation) && !cancelled && model.state.status() == Status::Done {
            assert_eq!(model.output.load(Relaxed), 7, "over, but the worker's output is not visible");
        }
        let others = usize::from(canceller.join().unwrap()) + usize::from(worker.join().unwrap());
        assert_eq!(usize::from(cancelled) + others, 1);
        assert!(model.state.is_over(generation));
        assert!(!*model.queue.lock().unwrap(), "left in the queue");
    });
}

#[test]
fn a_running_item_shows_its_worker() {
    model(|| {
        let model = Model::new();
        model.submit(7).unwrap();
        let worker = thread::spawn({
            let model = Arc::clone(&model);
            move || model.work()
        });
        if model.state.status() == Status::Running {
            assert_eq!(model.worker.load(Relaxed), 5, "running, but the worker's number is not visible");
        }
        worker.join().unwrap();
    });
}

#[test]
fn a_cancelled_item_can_be_queued_again_at_once() {
    model(|| {
        let model = Model::new();
        let first = model.submit(1).unwrap();
        let worker = thread::spawn({
            let model = Arc::clone(&model);
            move || usize::from(model.work()) + usize::from(model.work())
        });
        let cancelled = model.cancel(first);
        let again = model.submit(2);
        if cancelled {
            // No other thread ends a generation that was cancelled: the item is ours.
            assert_ne!(again.unwrap(), first);
        }
        let mut runs = worker.join().unwrap();
        runs += usize::from(model.work());
        assert_eq!(runs, usize::from(!cancelled) + usize::from(again.is_some()));
        assert_eq!(runs, model.runs.load(Relaxed));
        let last = again.map_or(1, |_| 2);
        assert_eq!(model.output.load(Relaxed), last, "the last input was not used");
    });
}

#[test]
fn one_of_two_owners_queues_it() {
    model(|| {
        let model = Model::new();
        let other = thread::spawn({
            let model = Arc::clone(&model);
            move || model.submit(1).is_some()
        });
        let mine = model.submit(2).is_some();
        let theirs = other.join().unwrap();
        assert!(mine || theirs);
        assert!(!(mine && theirs), "both queued it");
        assert!(model.work());
        assert_eq!(model.output.load(Relaxed), if mine { 2 } else { 1 });
    });
}

#[test]
fn a_canceller_sees_the_input_of_another_owner() {
    model(|| {
        let model = Model::new();
        let generation = model.state.generation();
        let owner = thread::spawn({
            let model = Arc::clone(&model);
            move || model.submit(3).is_some()
        });
        let cancelled = model.cancel(generation);
        assert!(owner.join().unwrap());
        assert_eq!(model.work(), !cancelled);
    });
}

#[test]
fn a_generation_that_is_over_shows_the_output() {
    model(|| {
        let model = Model::new();
        let generation = model.submit(5).unwrap();
        let worker = thread::spawn({
            let model = Arc::clone(&model);
            move || model.work()
        });
        if model.state.is_over(generation) {
            assert_eq!(model.output.load(Relaxed), 5);
            // The item can be submitted again.
            assert!(model.submit(6).is_some());
        }
        worker.join().unwrap();
    });
}
