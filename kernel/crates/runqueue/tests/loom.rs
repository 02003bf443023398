//! Models of the park state: loom runs each under every interleaving and every
//! value that the memory model lets a Relaxed load see.
//!
//! Needs `--cfg loom`; `park.rs` runs them in an ordinary test run.
#![cfg(loom)]

use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use runqueue::{ParkDecision, ParkState, UnparkAction};

/// Preemptions per execution: enough for every known kind of ordering bug, and
/// few enough that three threads end in seconds. Switches where a thread waits
/// or ends do not count.
const PREEMPTION_BOUND: usize = 3;

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTION_BOUND);
    builder.check(run);
}

/// A thread as its wakers see it. The conditions are Relaxed throughout: what
/// orders them is the park state, and for a thread that slept the run queue.
struct Thread {
    park: ParkState,
    conditions: [AtomicUsize; 2],
    /// How often the thread is in the run queue: 2 would be a double wake-up.
    queued: Mutex<usize>,
    dispatch: Condvar,
}

impl Thread {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            park: ParkState::new(),
            conditions: [AtomicUsize::new(0), AtomicUsize::new(0)],
            queued: Mutex::new(0),
            dispatch: Condvar::new(),
        })
    }

    /// Makes condition `which` true and wakes the thread; returns whether this caller had to queue it.
    fn satisfy(&self, which: usize) -> bool {
        self.conditions[which].store(1, Relaxed);
        self.obey(self.park.unpark())
    }

    fn obey(&self, action: UnparkAction) -> bool {
        let wake = action == UnparkAction::Wake;
        if wake {
            let mut queued = self.queued.lock().unwrap();
            *queued += 1;
            assert_eq!(*queued, 1, "queued twice for one sleep");
            self.dispatch.notify_one();
        }
        wake
    }

    /// Stands for switching away and being dispatched again. Loom reports a
    /// deadlock when no wake-up comes.
    fn sleep(&self) {
        let mut queued = self.queued.lock().unwrap();
        while *queued == 0 {
            queued = self.dispatch.wait(queued).unwrap();
        }
        *queued = 0;
    }

    fn is_queued(&self) -> bool {
        *self.queued.lock().unwrap() > 0
    }

    fn holds(&self, which: usize) -> bool {
        self.conditions[which].load(Relaxed) == 1
    }
}

#[test]
fn a_wake_up_is_never_lost() {
    model(|| {
        let sleeper = Thread::new();
        let waker = thread::spawn({
            let sleeper = Arc::clone(&sleeper);
            move || sleeper.satisfy(0)
        });
        if !sleeper.holds(0) {
            match sleeper.park.prepare_park() {
                ParkDecision::Consumed => {}
                ParkDecision::Sleep => sleeper.sleep(),
            }
            assert!(sleeper.holds(0), "woken before the condition was visible");
        }
        waker.join().unwrap();
    });
}

#[test]
fn two_wakers_wake_once_per_sleep_and_both_are_seen() {
    model(|| {
        let sleeper = Thread::new();
        let wakers = [0, 1].map(|which| {
            let sleeper = Arc::clone(&sleeper);
            thread::spawn(move || sleeper.satisfy(which))
        });
        // A token that covers only one of two wake-ups would leave the thread
        // asleep with both conditions true.
        while !(sleeper.holds(0) && sleeper.holds(1)) {
            if sleeper.park.prepare_park() == ParkDecision::Sleep {
                sleeper.sleep();
            }
        }
        for waker in wakers {
            waker.join().unwrap();
        }
        assert!(!sleeper.is_queued());
    });
}

#[test]
fn a_deadline_and_a_waker_end_one_sleep_once() {
    model(|| {
        let sleeper = Thread::new();
        let timer = thread::spawn({
            let sleeper = Arc::clone(&sleeper);
            move || sleeper.obey(sleeper.park.cancel_park())
        });
        let waker = thread::spawn({
            let sleeper = Arc::clone(&sleeper);
            move || sleeper.satisfy(0)
        });
        let slept = sleeper.park.prepare_park() == ParkDecision::Sleep;
        if slept {
            sleeper.sleep();
        }
        let timer_woke = timer.join().unwrap();
        let waker_woke = waker.join().unwrap();
        // Only the caller that ends the sleep queues the thread.
        assert_eq!(u32::from(timer_woke) + u32::from(waker_woke), u32::from(slept));
        // The wake-up was used for this sleep, or is kept for the next: the
        // deadline neither takes that token nor leaves another.
        let kept = sleeper.park.prepare_park() == ParkDecision::Consumed;
        assert_eq!(kept, timer_woke);
    });
}

#[test]
fn a_thread_that_changes_its_mind_is_not_left_in_a_queue() {
    model(|| {
        let sleeper = Thread::new();
        let waker = thread::spawn({
            let sleeper = Arc::clone(&sleeper);
            move || sleeper.satisfy(0)
        });
        if sleeper.park.prepare_park() == ParkDecision::Sleep {
            match sleeper.park.cancel_park() {
                // The thread was faster than the waker, and just continues.
                UnparkAction::Wake => {}
                // The waker queues the thread, which has to leave the CPU once.
                UnparkAction::Nothing => sleeper.sleep(),
            }
        }
        waker.join().unwrap();
        assert!(!sleeper.is_queued());
        assert!(!sleeper.park.is_parked());
    });
}

#[test]
fn a_waker_sees_what_the_thread_did_before_it_slept() {
    model(|| {
        let sleeper = Thread::new();
        let waker = thread::spawn({
            let sleeper = Arc::clone(&sleeper);
            move || {
                if sleeper.obey(sleeper.park.unpark()) {
                    assert!(sleeper.holds(1), "the sleeper's stores are not visible");
                }
            }
        });
        sleeper.conditions[1].store(1, Relaxed);
        if sleeper.park.prepare_park() == ParkDecision::Sleep {
            sleeper.sleep();
        }
        waker.join().unwrap();
    });
}
