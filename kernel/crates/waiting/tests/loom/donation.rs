//! Donations that meet on their way.

use loom::sync::atomic::{AtomicI32, Ordering::SeqCst};
use loom::sync::{Arc, Mutex};
use loom::thread;
use runqueue::Nice;
use waiting::donation::{donate, pass_on};
use waiting::{Donation, Donors, ReceivedDonations};

use crate::world::model;

/// No level.
const NONE: i32 = 99;

struct Party {
    own: AtomicI32,
    lent: AtomicI32,
    donation: Mutex<Option<Donation<usize>>>,
    received: Mutex<ReceivedDonations>,
}

/// Some threads by number.
struct Parties(Vec<Party>);

fn nice(level: i32) -> Option<Nice> {
    Nice::new(level as i8)
}

impl Parties {
    fn new<const N: usize>(own: [i32; N]) -> Arc<Self> {
        let party = |own| Party {
            own: AtomicI32::new(own),
            lent: AtomicI32::new(NONE),
            donation: Mutex::new(None),
            received: Mutex::new(ReceivedDonations::new()),
        };
        Arc::new(Self(own.into_iter().map(party).collect()))
    }

    fn level_of(&self, number: usize) -> i32 {
        let Party { own, lent, .. } = &self.0[number];
        own.load(SeqCst).min(lent.load(SeqCst))
    }
}

impl Donors for Parties {
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
        self.0[*thread].lent.store(level.map_or(NONE, |level| level.get().into()), SeqCst);
    }

    fn reweigh(&self, _: &usize) {}
}

/// 0 begins to wait for 1 while that one begins to wait for 2: 2 is lent the weight of 0, whoever is first.
#[test]
fn who_begins_to_wait_passes_on_what_comes_just_then() {
    model(|| {
        let parties = Parties::new([-5, 0, 19]);
        let others = parties.clone();
        let middle = thread::spawn(move || donate(&*others, &1, Some(&2)));
        donate(&*parties, &0, Some(&1));
        middle.join().unwrap();
        assert_eq!((parties.level_of(1), parties.level_of(2)), (-5, -5));
    });
}

/// 0 gives up waiting for 1 while that one begins to wait for 2: nothing of 0 stays with anybody.
#[test]
fn who_gives_up_takes_back_all_of_it() {
    model(|| {
        let parties = Parties::new([-5, 0, 19]);
        donate(&*parties, &0, Some(&1));
        let others = parties.clone();
        let middle = thread::spawn(move || donate(&*others, &1, Some(&2)));
        donate(&*parties, &0, None);
        middle.join().unwrap();
        assert_eq!((parties.level_of(1), parties.level_of(2)), (0, 0));
    });
}

/// One comes and one goes, down the same inheritance chain.
#[test]
fn changes_that_follow_each_other_agree() {
    model(|| {
        let parties = Parties::new([-5, -3, 0, 19]);
        donate(&*parties, &2, Some(&3));
        donate(&*parties, &0, Some(&2));
        let others = parties.clone();
        let comes = thread::spawn(move || donate(&*others, &1, Some(&2)));
        donate(&*parties, &0, None);
        comes.join().unwrap();
        assert_eq!((parties.level_of(2), parties.level_of(3)), (-3, -3));
    });
}

/// The own level of a thread changes while it begins to wait.
#[test]
fn a_new_level_is_passed_on() {
    model(|| {
        let parties = Parties::new([0, 19]);
        let others = parties.clone();
        let waits = thread::spawn(move || donate(&*others, &0, Some(&1)));
        parties.0[0].own.store(-9, SeqCst);
        pass_on(&*parties, &0);
        waits.join().unwrap();
        assert_eq!(parties.level_of(1), -9);
    });
}
