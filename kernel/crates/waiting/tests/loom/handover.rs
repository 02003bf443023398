//! The mutex that is handed over.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use waiting::HandOver;
use waiting::handover::{lock, try_lock, unlock};

use crate::world::{DEADLINE, Lock, Me, State, World, model};

/// A value behind a mutex: loom reports two who are at it at the same time, and one who does not see what the other did.
struct Guarded {
    state: State,
    value: UnsafeCell<u32>,
}

// SAFETY: `value` is only touched by who owns `state`: whether that is true is what loom finds out.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn new() -> Arc<Self> {
        Arc::new(Self { state: Lock::new(HandOver::new()), value: UnsafeCell::new(0) })
    }

    fn add_one(&self) {
        // SAFETY: the caller owns the mutex; loom watches.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }

    fn lock_and_add(&self, me: &Me) {
        assert!(lock(&self.state, me, None));
        self.add_one();
        unlock(&self.state, me);
    }

    /// The value, and that the mutex is open.
    fn end(&self, me: &Me) -> u32 {
        assert!(try_lock(&self.state, me), "nobody lets go of it any more");
        // SAFETY: as in `add_one`.
        self.value.with(|value| unsafe { *value })
    }
}

#[test]
fn three_have_it_in_turns() {
    model(|| {
        let (world, guarded) = (World::new(), Guarded::new());
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

/// It is handed to somebody whose deadline has just come: either has it or has left the queue, never both, never neither.
#[test]
fn who_gives_up_is_not_handed_the_mutex() {
    model(|| {
        let (world, guarded) = (World::new(), Guarded::new());
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
            move || world.come_to_deadline()
        });
        let me = world.seen_by(0);
        let had_it = lock(&guarded.state, &me, Some(DEADLINE));
        if had_it {
            guarded.add_one();
            unlock(&guarded.state, &me);
        }
        owner.join().unwrap();
        timer.join().unwrap();
        assert_eq!(guarded.end(&me), 1 + u32::from(had_it));
    });
}

#[test]
fn who_comes_by_does_not_take_it_from_who_waits() {
    model(|| {
        let (world, guarded) = (World::new(), Guarded::new());
        let waits = thread::spawn({
            let (me, guarded) = (world.seen_by(1), guarded.clone());
            move || guarded.lock_and_add(&me)
        });
        let me = world.seen_by(0);
        let had_it = try_lock(&guarded.state, &me);
        if had_it {
            guarded.add_one();
            unlock(&guarded.state, &me);
        }
        waits.join().unwrap();
        assert_eq!(guarded.end(&me), 1 + u32::from(had_it));
    });
}
