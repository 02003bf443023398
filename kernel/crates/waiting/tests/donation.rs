//! Who is lent what, against a model that looks at all donations.
#![cfg(not(loom))]

use std::cell::{Cell, RefCell};

use proptest::prelude::*;
use runqueue::Nice;
use waiting::donation::{donate, pass_on};
use waiting::{Donation, Donors, ReceivedDonations};

const COUNT: usize = 6;

#[derive(Default)]
struct Party {
    /// None in the idle class.
    own: Cell<Option<Nice>>,
    lent: Cell<Option<Nice>>,
    donation: RefCell<Option<Donation<usize>>>,
    received: RefCell<ReceivedDonations>,
}

#[derive(Default)]
struct Parties([Party; COUNT]);

fn heavier(a: Option<Nice>, b: Option<Nice>) -> Option<Nice> {
    a.into_iter().chain(b).min()
}

impl Donors for Parties {
    type Thread = usize;

    fn with_donation<R>(&self, donor: &usize, work: impl FnOnce(&mut Option<Donation<usize>>) -> R) -> R {
        work(&mut self.0[*donor].donation.borrow_mut())
    }

    fn with_received<R>(&self, donee: &usize, work: impl FnOnce(&mut ReceivedDonations) -> R) -> R {
        work(&mut self.0[*donee].received.borrow_mut())
    }

    fn level(&self, thread: &usize) -> Option<Nice> {
        heavier(self.0[*thread].own.get(), self.0[*thread].lent.get())
    }

    fn set_donated_level(&self, thread: &usize, level: Option<Nice>) {
        self.0[*thread].lent.set(level);
    }

    fn reweigh(&self, thread: &usize) {
        assert!(self.0[*thread].donation.try_borrow_mut().is_ok(), "nothing is locked then");
    }
}

/// The level of `thread` if donations are as `to` says: its own, and those of all that wait for it, however indirectly.
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
    let lent = (0..COUNT).filter(|from| waits_for_it(*from)).filter_map(|from| own[from]).min();
    heavier(own[thread], lent)
}

fn nice() -> impl Strategy<Value = Option<Nice>> {
    prop::option::of((-20_i8..20).prop_map(|level| Nice::new(level).unwrap()))
}

proptest! {
    #[test]
    fn everybody_runs_at_the_level_of_the_heaviest_that_waits(
        own in prop::array::uniform6(nice()),
        steps in prop::collection::vec((0..COUNT, prop::option::of(0..COUNT), prop::option::of(nice())), 1..60),
    ) {
        let parties = Parties::default();
        let mut own = own;
        (0..COUNT).for_each(|thread| parties.0[thread].own.set(own[thread]));
        let mut to = [None; COUNT];
        for (thread, lends_to, new_level) in steps {
            if let Some(level) = new_level {
                own[thread] = level;
                parties.0[thread].own.set(level);
                pass_on(&parties, &thread);
            } else {
                // Who waits for whom is no circle.
                let mut after = to;
                after[thread] = lends_to;
                let mut via = thread;
                let is_circle = (0..COUNT).any(|_| match after[via] {
                    Some(next) => { via = next; next == thread }
                    None => false,
                });
                if !is_circle {
                    to = after;
                    donate(&parties, &thread, lends_to.as_ref());
                }
            }
            for thread in 0..COUNT {
                prop_assert_eq!(parties.level(&thread), expected(&own, &to, thread), "thread {} of {:?}, {:?}", thread, own, to);
            }
        }
    }
}

/// A circle is a deadlock, which is for others to find: here it must not hang.
#[test]
fn a_circle_ends() {
    let parties = Parties::default();
    for thread in 0..COUNT {
        parties.0[thread].own.set(Nice::new(thread as i8));
        donate(&parties, &thread, Some(&((thread + 1) % COUNT)));
    }
    assert_eq!((0..COUNT).map(|thread| parties.level(&thread)).min(), Some(Nice::new(0)));
    donate(&parties, &0, None);
}
