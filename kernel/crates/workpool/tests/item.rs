//! An item's state: its transitions one by one, then under every interleaving
//! through the loom models in `loom.rs`.
#![cfg(not(loom))]

use workpool::{ItemState, Status};

#[test]
fn a_turn_ends_by_work_or_by_cancelling() {
    let state = ItemState::new();
    assert_eq!(state.status(), Status::Idle);
    assert!(!state.cancel(state.generation()) && !state.begin(), "nothing to take");
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
    assert!(!state.cancel(first), "that one is over");
    assert!(state.cancel(second));
    assert!(!state.cancel(second), "once");
    assert!(!state.begin(), "passed over");
    assert_eq!(state.claim(), None, "not out of the queue yet");
    state.retire();
    assert_eq!(state.status(), Status::Cancelled);
    assert!(state.is_over(second));
    assert_eq!(state.claim().map(|generation| generation.number()), Some(2));
}

/// Runs `tests/loom`, which needs the crate built with `--cfg loom`.
#[test]
fn loom_models_pass() {
    models::run(env!("CARGO_PKG_NAME"), env!("CARGO_MANIFEST_DIR"), env!("CARGO_TARGET_TMPDIR"));
}
