//! Models of an item's state: loom runs each under every interleaving and every
//! value that the memory model lets a Relaxed load see.
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

/// One item, and a queue that has room for it. The contents are Relaxed: what orders them is the state.
struct Shop {
    state: ItemState,
    /// Whether the item is in the queue; under the queue's lock.
    queue: Mutex<bool>,
    /// What the owner put in for the worker.
    input: AtomicUsize,
    /// What the worker made of it.
    output: AtomicUsize,
    runs: AtomicUsize,
}

impl Shop {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            state: ItemState::new(),
            queue: Mutex::new(false),
            input: AtomicUsize::new(0),
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

    /// What a worker does that was woken.
    fn work(&self) -> bool {
        let begun = {
            let mut queued = self.queue.lock().unwrap();
            core::mem::take(&mut *queued) && self.state.begin()
        };
        if begun {
            let input = self.input.load(Relaxed);
            assert_ne!(input, 0, "the worker does not see what the owner put in");
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
        assert_ne!(self.input.load(Relaxed), 0, "the canceller does not see what the owner put in");
        *self.queue.lock().unwrap() = false;
        self.state.retire();
        true
    }
}

#[test]
fn an_item_is_run_or_cancelled_and_never_both() {
    model(|| {
        let shop = Shop::new();
        let generation = shop.submit(7).unwrap();
        let worker = thread::spawn({
            let shop = Arc::clone(&shop);
            move || shop.work()
        });
        let canceller = thread::spawn({
            let shop = Arc::clone(&shop);
            move || shop.cancel(generation)
        });
        let cancelled = shop.cancel(generation);
        if shop.state.is_over(generation) && !cancelled && shop.state.status() == Status::Done {
            assert_eq!(shop.output.load(Relaxed), 7, "over, and what was done is not visible");
        }
        let others = usize::from(canceller.join().unwrap()) + usize::from(worker.join().unwrap());
        assert_eq!(usize::from(cancelled) + others, 1);
        assert!(shop.state.is_over(generation));
        assert!(!*shop.queue.lock().unwrap(), "left in the queue");
    });
}

#[test]
fn a_cancelled_item_can_be_queued_again_at_once() {
    model(|| {
        let shop = Shop::new();
        let first = shop.submit(1).unwrap();
        let worker = thread::spawn({
            let shop = Arc::clone(&shop);
            move || usize::from(shop.work()) + usize::from(shop.work())
        });
        let cancelled = shop.cancel(first);
        let again = shop.submit(2);
        if cancelled {
            // Nobody else ends a generation that was cancelled: the item is ours.
            assert_ne!(again.unwrap(), first);
        }
        let mut runs = worker.join().unwrap();
        runs += usize::from(shop.work());
        assert_eq!(runs, usize::from(!cancelled) + usize::from(again.is_some()));
        assert_eq!(runs, shop.runs.load(Relaxed));
        let last = again.map_or(1, |_| 2);
        assert_eq!(shop.output.load(Relaxed), last, "the last input was not used");
    });
}

#[test]
fn two_owners_queue_it_once_at_a_time() {
    model(|| {
        let shop = Shop::new();
        let other = thread::spawn({
            let shop = Arc::clone(&shop);
            move || shop.submit(1).is_some()
        });
        let mine = shop.submit(2).is_some();
        let theirs = other.join().unwrap();
        assert!(mine || theirs);
        assert!(!(mine && theirs), "both queued it");
        assert!(shop.work());
        assert_eq!(shop.output.load(Relaxed), if mine { 2 } else { 1 });
    });
}

#[test]
fn who_cancels_what_another_queues_sees_what_it_put_in() {
    model(|| {
        let shop = Shop::new();
        let generation = shop.state.generation();
        let owner = thread::spawn({
            let shop = Arc::clone(&shop);
            move || shop.submit(3).is_some()
        });
        let cancelled = shop.cancel(generation);
        assert!(owner.join().unwrap());
        assert_eq!(shop.work(), !cancelled);
    });
}

#[test]
fn who_sees_a_turn_over_sees_what_was_done() {
    model(|| {
        let shop = Shop::new();
        let generation = shop.submit(5).unwrap();
        let worker = thread::spawn({
            let shop = Arc::clone(&shop);
            move || shop.work()
        });
        if shop.state.is_over(generation) {
            assert_eq!(shop.output.load(Relaxed), 5);
            // And the item is free again.
            assert!(shop.submit(6).is_some());
        }
        worker.join().unwrap();
    });
}
