//! The state of an item: each transition, then every interleaving by the loom models in `loom.rs`.
#![cfg(not(loom))]

use workpool::{ItemState, Status};

#[test]
fn a_generation_ends_by_a_run_or_by_cancelling() {
    let state = ItemState::new();
    assert_eq!(state.status(), Status::Idle);
    assert!(!state.cancel(state.generation()) && !state.begin(), "nothing is queued");
    let first = state.claim().unwrap();
    assert_eq!(state.claim(), None, "it is being queued");
    assert!(!state.cancel(first) && !state.begin(), "not yet");
    state.publish();
    assert_eq!(state.status(), Status::Queued);
    assert!(state.begin());
    assert_eq!(state.status(), Status::Running);
    assert!(!state.cancel(first), "too late");
    assert!(!state.is_over(first) && state.generation() == first);
    state.end();
    assert!(state.is_over(first));
    assert_eq!(state.status(), Status::Done);

    let second = state.claim().unwrap();
    assert_ne!(first, second);
    assert!(state.is_over(first) && !state.is_over(second));
    state.publish();
    assert!(!state.cancel(first), "the first is over");
    assert!(state.cancel(second));
    assert!(!state.cancel(second), "only once");
    assert!(!state.begin(), "workers skip it");
    assert_eq!(state.claim(), None, "it is still in the queue");
    state.retire();
    assert_eq!(state.status(), Status::Cancelled);
    assert!(state.is_over(second));
    let third = state.claim().unwrap();
    assert_eq!(third.number(), 2);
    state.publish();
    assert!(state.begin());
    assert_eq!((state.generation(), state.is_over(third)), (third, false), "a run keeps the number");
    state.end();
    assert!(state.is_over(third));
}

/// Runs `tests/loom`, which needs the crate built with `--cfg loom`.
#[test]
fn loom_models_pass() {
    models::run(env!("CARGO_PKG_NAME"), env!("CARGO_MANIFEST_DIR"), env!("CARGO_TARGET_TMPDIR"));
}
