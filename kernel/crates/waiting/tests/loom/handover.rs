//! The mutex with direct hand-over.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use waiting::HandOver;
use waiting::handover::{lock, try_lock, unlock};

use crate::world::{DEADLINE, Lock, Me, State, World, model};

/// A value behind a mutex. Loom reports concurrent accesses, and an access that does not see an earlier one.
struct Guarded {
    state: State,
    value: UnsafeCell<u32>,
}

// SAFETY: only the owner of `state` touches `value`; loom checks that.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn new() -> Arc<Self> {
        Arc::new(Self { state: Lock::new(HandOver::new()), value: UnsafeCell::new(0) })
    }

    fn add_one(&self) {
        // SAFETY: the caller owns the mutex; loom checks that.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }

    fn lock_and_add(&self, me: &Me) {
        assert!(lock(&self.state, me, None));
        self.add_one();
        unlock(&self.state, me);
    }

    /// Returns the value. Checks that the mutex is free, and that no thread donates.
    fn end(&self, me: &Me) -> u32 {
        me.world.assert_at_rest();
        assert!(try_lock(&self.state, me), "the mutex is still owned");
        // SAFETY: as in `add_one`.
        self.value.with(|value| unsafe { *value })
    }
}

#[test]
fn three_threads_own_it_one_after_the_other() {
    model(|| {
        let (world, guarded) = (World::with_levels([0, -3, -5, 0]), Guarded::new());
        let others = [1, 2].map(|number| {
            let (me, guarded) = (world.seen_by(number), guarded.clone());
            thread::spawn(move || guarded.lock_and_add(&me))
        });
        let me = world.seen_by(0);
        guarded.lock_and_add(&me);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(guarded.end(&me), 3);
    });
}

/// The mutex is handed to a thread whose deadline passes at that moment. The thread either owns it or has left the queue.
#[test]
fn a_thread_that_times_out_does_not_own_the_mutex() {
    model(|| {
        let (world, guarded) = (World::with_levels([-5, 0, 0, 0]), Guarded::new());
        let owner = world.seen_by(1);
        assert!(lock(&guarded.state, &owner, None));
        let owner = thread::spawn({
            let guarded = guarded.clone();
            move || {
                guarded.add_one();
                unlock(&guarded.state, &owner);
            }
        });
        let timer = thread::spawn({
            let world = world.clone();
            move || world.pass_deadline()
        });
        let me = world.seen_by(0);
        let was_owner = lock(&guarded.state, &me, Some(DEADLINE));
        if was_owner {
            guarded.add_one();
            unlock(&guarded.state, &me);
        }
        owner.join().unwrap();
        timer.join().unwrap();
        assert_eq!(guarded.end(&me), 1 + u32::from(was_owner));
    });
}

/// One of two waiting threads gives up. The owner still runs at the level of the other.
#[test]
fn a_thread_that_gives_up_ends_its_donation_alone() {
    model(|| {
        let (world, guarded) = (World::with_levels([0, -5, -3, 0]), Guarded::new());
        let me = world.seen_by(0);
        assert!(lock(&guarded.state, &me, None));
        let [stays, leaves] = [1, 2].map(|number| world.seen_by(number));
        let stays = thread::spawn({
            let guarded = guarded.clone();
            move || guarded.lock_and_add(&stays)
        });
        let leaves = thread::spawn({
            let guarded = guarded.clone();
            move || assert!(!lock(&guarded.state, &leaves, Some(DEADLINE)), "the owner has not released it")
        });
        while !world.is_parked(1) {
            thread::yield_now();
        }
        world.pass_deadline();
        leaves.join().unwrap();
        assert_eq!(world.level_of(0), -5);
        unlock(&guarded.state, &me);
        stays.join().unwrap();
        assert_eq!(guarded.end(&me), 1);
    });
}

#[test]
fn try_lock_does_not_take_it_from_a_waiter() {
    model(|| {
        let (world, guarded) = (World::new(), Guarded::new());
        let waiter = thread::spawn({
            let (me, guarded) = (world.seen_by(1), guarded.clone());
            move || guarded.lock_and_add(&me)
        });
        let me = world.seen_by(0);
        let was_owner = try_lock(&guarded.state, &me);
        if was_owner {
            guarded.add_one();
            unlock(&guarded.state, &me);
        }
        waiter.join().unwrap();
        assert_eq!(guarded.end(&me), 1 + u32::from(was_owner));
    });
}
