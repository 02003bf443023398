//! The levels that threads receive, against a model that computes them from all donations.
#![cfg(not(loom))]

use std::cell::{Cell, RefCell};

use proptest::prelude::*;
use runqueue::Nice;
use waiting::donation::{donate, end_donation, pass_on};
use waiting::{Donation, Donors, ReceivedDonations};

const COUNT: usize = 6;

#[derive(Default)]
struct TestThread {
    /// None in the idle class.
    own: Cell<Option<Nice>>,
    donated: Cell<Option<Nice>>,
    donation: RefCell<Option<Donation<usize>>>,
    received: RefCell<ReceivedDonations>,
}

#[derive(Default)]
struct TestThreads([TestThread; COUNT]);

fn heavier(a: Option<Nice>, b: Option<Nice>) -> Option<Nice> {
    a.into_iter().chain(b).min()
}

impl Donors for TestThreads {
    type Thread = usize;

    fn with_donation<R>(&self, donor: &usize, work: impl FnOnce(&mut Option<Donation<usize>>) -> R) -> R {
        work(&mut self.0[*donor].donation.borrow_mut())
    }

    fn with_received<R>(&self, donee: &usize, work: impl FnOnce(&mut ReceivedDonations) -> R) -> R {
        work(&mut self.0[*donee].received.borrow_mut())
    }

    fn level(&self, thread: &usize) -> Option<Nice> {
        heavier(self.0[*thread].own.get(), self.0[*thread].donated.get())
    }

    fn set_donated_level(&self, thread: &usize, level: Option<Nice>) {
        self.0[*thread].donated.set(level);
    }

    fn reweigh(&self, thread: &usize) {
        assert!(self.0[*thread].donation.try_borrow_mut().is_ok(), "called without a lock");
    }
}

/// Returns the level of `thread` if threads donate as `to` says. It is the heaviest of the thread's level and those of all
/// direct and indirect donors.
fn expected(own: &[Option<Nice>; COUNT], to: &[Option<usize>; COUNT], thread: usize) -> Option<Nice> {
    let waits_for_it = |mut from: usize| {
        (0..COUNT).any(|_| match to[from] {
            Some(next) => {
                from = next;
                next == thread
            }
            None => false,
        })
    };
    let received = (0..COUNT).filter(|from| waits_for_it(*from)).filter_map(|from| own[from]).min();
    heavier(own[thread], received)
}

fn nice() -> impl Strategy<Value = Option<Nice>> {
    prop::option::of((-20_i8..20).prop_map(|level| Nice::new(level).unwrap()))
}

proptest! {
    #[test]
    fn a_thread_runs_at_the_level_of_its_heaviest_donor(
        own in prop::array::uniform6(nice()),
        steps in prop::collection::vec((0..COUNT, prop::option::of(0..COUNT), prop::option::of(nice()), any::<bool>()), 1..60),
    ) {
        let threads = TestThreads::default();
        let mut own = own;
        (0..COUNT).for_each(|thread| threads.0[thread].own.set(own[thread]));
        let mut to = [None; COUNT];
        for (thread, donee, new_level, ends) in steps {
            if let Some(level) = new_level {
                own[thread] = level;
                threads.0[thread].own.set(level);
                pass_on(&threads, &thread);
            } else if ends && let Some(donee) = donee {
                end_donation(&threads, &thread, |current| *current == donee);
                to[thread] = to[thread].filter(|current| *current != donee);
            } else {
                // Threads do not wait for each other in a cycle.
                let mut after = to;
                after[thread] = donee;
                let mut via = thread;
                let is_cycle = (0..COUNT).any(|_| match after[via] {
                    Some(next) => { via = next; next == thread }
                    None => false,
                });
                if !is_cycle {
                    to = after;
                    donate(&threads, &thread, donee.as_ref());
                }
            }
            for thread in 0..COUNT {
                prop_assert_eq!(threads.0[thread].donation.borrow().is_some(), to[thread].is_some());
                prop_assert_eq!(threads.level(&thread), expected(&own, &to, thread), "thread {} of {:?}, {:?}", thread, own, to);
            }
        }
    }
}

/// A cycle is a deadlock, which the lock checks find. Donations must not loop for ever on it.
#[test]
fn a_cyclic_chain_ends() {
    let threads = TestThreads::default();
    for thread in 0..COUNT {
        threads.0[thread].own.set(Nice::new(thread as i8));
        donate(&threads, &thread, Some(&((thread + 1) % COUNT)));
    }
    assert_eq!((0..COUNT).map(|thread| threads.level(&thread)).min(), Some(Nice::new(0)));
    donate(&threads, &0, None);
}
