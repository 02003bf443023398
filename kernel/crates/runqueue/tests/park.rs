//! The park state: its transitions one by one, then under every interleaving
//! through the loom models in `loom.rs`, then with real threads.
#![cfg(not(loom))]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;

use runqueue::{ParkDecision, ParkState, UnparkAction};

#[test]
fn a_sleep_is_ended_once() {
    let park = ParkState::new();
    assert_eq!(park.prepare_park(), ParkDecision::Sleep);
    assert!(park.is_parked());
    assert_eq!(park.unpark(), UnparkAction::Wake);
    assert!(!park.is_parked());
    assert_eq!(park.cancel_park(), UnparkAction::Nothing);
}

#[test]
fn a_wake_up_that_comes_early_is_kept_once() {
    let park = ParkState::new();
    assert_eq!(park.unpark(), UnparkAction::Nothing);
    assert_eq!(park.unpark(), UnparkAction::Nothing);
    assert_eq!(park.prepare_park(), ParkDecision::Consumed);
    assert_eq!(park.prepare_park(), ParkDecision::Sleep);
}

#[test]
fn a_deadline_leaves_no_token() {
    let park = ParkState::new();
    assert_eq!(park.cancel_park(), UnparkAction::Nothing, "it runs");
    assert_eq!(park.prepare_park(), ParkDecision::Sleep);
    assert_eq!(park.cancel_park(), UnparkAction::Wake);
    assert_eq!(park.cancel_park(), UnparkAction::Nothing);
    assert_eq!(park.prepare_park(), ParkDecision::Sleep);
}

#[test]
fn a_late_deadline_does_not_take_the_token() {
    let park = ParkState::new();
    assert_eq!(park.unpark(), UnparkAction::Nothing);
    assert_eq!(park.cancel_park(), UnparkAction::Nothing);
    assert_eq!(park.prepare_park(), ParkDecision::Consumed);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "a parked thread parks")]
fn a_parked_thread_cannot_park() {
    let park = ParkState::new();
    let _ = park.prepare_park();
    let _ = park.prepare_park();
}

#[test]
fn real_threads_lose_no_wake_up() {
    const WAKE_UPS: u32 = 200_000;
    let park = ParkState::new();
    let posted = AtomicU32::new(0);
    let (run_queue, dispatched) = mpsc::channel();
    thread::scope(|scope| {
        let (park, posted) = (&park, &posted);
        scope.spawn(move || {
            let mut seen = 0;
            while seen < WAKE_UPS {
                let now = posted.load(Ordering::Relaxed);
                if now > seen {
                    seen = now;
                } else if park.prepare_park() == ParkDecision::Sleep {
                    dispatched.recv().expect("the waker is there until the end");
                }
            }
        });
        for _ in 0..WAKE_UPS {
            posted.fetch_add(1, Ordering::Relaxed);
            if park.unpark() == UnparkAction::Wake {
                run_queue.send(()).expect("the sleeper is there until the end");
            }
        }
    });
}

/// Runs `tests/loom`, which needs the crate built with `--cfg loom`.
#[test]
fn loom_models_pass() {
    models::run(env!("CARGO_PKG_NAME"), env!("CARGO_MANIFEST_DIR"), env!("CARGO_TARGET_TMPDIR"));
}
