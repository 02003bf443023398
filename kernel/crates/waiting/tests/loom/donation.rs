//! Concurrent changes along an inheritance chain, and at the turnstile of a mutex.

use loom::sync::atomic::{AtomicI32, Ordering::SeqCst};
use loom::sync::{Arc, Mutex};
use loom::thread;
use runqueue::Nice;
use waiting::donation::{donate, end_donation, pass_on, redirect};
use waiting::{Donation, Donors, ReceivedDonations};

use crate::world::model;

/// No level.
const NONE: i32 = 99;

struct TestThread {
    own: AtomicI32,
    donated: AtomicI32,
    donation: Mutex<Option<Donation<usize>>>,
    received: Mutex<ReceivedDonations>,
}

/// Some threads by number.
struct TestThreads(Vec<TestThread>);

fn nice(level: i32) -> Option<Nice> {
    Nice::new(level as i8)
}

impl TestThreads {
    fn new<const N: usize>(own: [i32; N]) -> Arc<Self> {
        let thread = |own| TestThread {
            own: AtomicI32::new(own),
            donated: AtomicI32::new(NONE),
            donation: Mutex::new(None),
            received: Mutex::new(ReceivedDonations::new()),
        };
        Arc::new(Self(own.into_iter().map(thread).collect()))
    }

    fn level_of(&self, number: usize) -> i32 {
        let TestThread { own, donated, .. } = &self.0[number];
        own.load(SeqCst).min(donated.load(SeqCst))
    }
}

impl Donors for TestThreads {
    type Thread = usize;

    fn with_donation<R>(&self, donor: &usize, work: impl FnOnce(&mut Option<Donation<usize>>) -> R) -> R {
        work(&mut self.0[*donor].donation.lock().unwrap())
    }

    fn with_received<R>(&self, donee: &usize, work: impl FnOnce(&mut ReceivedDonations) -> R) -> R {
        work(&mut self.0[*donee].received.lock().unwrap())
    }

    fn level(&self, thread: &usize) -> Option<Nice> {
        nice(self.level_of(*thread))
    }

    fn set_donated_level(&self, thread: &usize, level: Option<Nice>) {
        self.0[*thread].donated.store(level.map_or(NONE, |level| level.get().into()), SeqCst);
    }

    fn reweigh(&self, _: &usize) {}
}

/// Thread 0 begins to wait for 1 while 1 begins to wait for 2. In either order 2 receives the weight of 0.
#[test]
fn a_new_donee_receives_a_concurrent_donation() {
    model(|| {
        let threads = TestThreads::new([-5, 0, 19]);
        let other = threads.clone();
        let middle = thread::spawn(move || donate(&*other, &1, Some(&2)));
        donate(&*threads, &0, Some(&1));
        middle.join().unwrap();
        assert_eq!((threads.level_of(1), threads.level_of(2)), (-5, -5));
    });
}

/// Thread 0 gives up waiting for 1 while 1 begins to wait for 2. No thread keeps the weight of 0.
#[test]
fn a_withdrawn_donation_leaves_nothing_behind() {
    model(|| {
        let threads = TestThreads::new([-5, 0, 19]);
        donate(&*threads, &0, Some(&1));
        let other = threads.clone();
        let middle = thread::spawn(move || donate(&*other, &1, Some(&2)));
        donate(&*threads, &0, None);
        middle.join().unwrap();
        assert_eq!((threads.level_of(1), threads.level_of(2)), (0, 0));
    });
}

/// One donor comes and another goes, at the head of the same inheritance chain.
#[test]
fn changes_along_one_chain_converge() {
    model(|| {
        let threads = TestThreads::new([-5, -3, 0, 19]);
        donate(&*threads, &2, Some(&3));
        donate(&*threads, &0, Some(&2));
        let other = threads.clone();
        let new_donor = thread::spawn(move || donate(&*other, &1, Some(&2)));
        donate(&*threads, &0, None);
        new_donor.join().unwrap();
        assert_eq!((threads.level_of(2), threads.level_of(3)), (-3, -3));
    });
}

/// Item 1 ends on its worker 2 and begins on worker 3, while thread 0 gives up waiting for it. No worker keeps the weight.
#[test]
fn an_item_that_goes_to_another_worker_leaves_nothing_behind() {
    model(|| {
        let threads = TestThreads::new([-5, NONE, 19, 19]);
        donate(&*threads, &1, Some(&2));
        donate(&*threads, &0, Some(&1));
        let other = threads.clone();
        let next_worker = thread::spawn(move || donate(&*other, &1, Some(&3)));
        let last = threads.clone();
        let last_worker = thread::spawn(move || end_donation(&*last, &1, |donee| *donee == 2));
        donate(&*threads, &0, None);
        next_worker.join().unwrap();
        last_worker.join().unwrap();
        assert!(threads.0[1].donation.lock().unwrap().is_some(), "the new worker's is left");
        assert_eq!((threads.level_of(2), threads.level_of(3)), (19, 19));
    });
}

/// A thread's own level changes while the thread begins to wait.
#[test]
fn a_new_level_is_passed_on() {
    model(|| {
        let threads = TestThreads::new([0, 19]);
        let other = threads.clone();
        let waiter = thread::spawn(move || donate(&*other, &0, Some(&1)));
        threads.0[0].own.store(-9, SeqCst);
        pass_on(&*threads, &0);
        waiter.join().unwrap();
        assert_eq!(threads.level_of(1), -9);
    });
}

/// Thread 0 begins to wait for a mutex while that is handed from 2 to 3. Its turnstile is 1. In either order 3 receives the
/// weight of 0, and 2 keeps nothing of it.
#[test]
fn a_turnstile_turns_while_a_donor_comes() {
    model(|| {
        let threads = TestThreads::new([-5, NONE, 0, 2]);
        donate(&*threads, &1, Some(&2));
        donate(&*threads, &3, Some(&1));
        let other = threads.clone();
        let release = thread::spawn(move || {
            let changed = [(1, None), (3, None), (1, Some(3))]
                .map(|(donor, donee)| redirect(&*other, &donor, donee.as_ref()));
            changed.into_iter().for_each(|changed| changed.pass_on(&*other));
        });
        donate(&*threads, &0, Some(&1));
        release.join().unwrap();
        assert_eq!([1, 2, 3].map(|number| threads.level_of(number)), [-5, 0, -5]);
    });
}
