//! An item's state: its transitions one by one, then under every interleaving
//! through the loom models in `loom.rs`.
#![cfg(not(loom))]

use std::path::Path;
use std::process::Command;

use workpool::{ItemState, Status};

#[test]
fn a_turn_ends_by_work_or_by_cancelling() {
    let state = ItemState::new();
    assert_eq!(state.status(), Status::Idle);
    assert!(!state.cancel(state.turn()) && !state.begin(), "nothing to take");
    let first = state.claim().unwrap();
    assert_eq!(state.claim(), None, "it is being queued");
    assert!(!state.cancel(first) && !state.begin(), "not yet");
    state.publish();
    assert_eq!(state.status(), Status::Queued);
    assert!(state.begin());
    assert_eq!(state.status(), Status::Running);
    assert!(!state.cancel(first), "too late");
    assert!(!state.is_over(first) && state.turn() == first);
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
    assert_eq!(state.claim().map(|turn| turn.number()), Some(2));
}

/// Runs `tests/loom.rs`, which needs the crate built with `--cfg loom`, by a
/// cargo of its own: own target directory, and none of what the outer cargo put
/// into the environment.
#[test]
fn loom_models_pass() {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    for (name, _) in std::env::vars_os() {
        if is_cargos(&name.to_string_lossy()) {
            cargo.env_remove(name);
        }
    }
    let output = cargo
        .args(["test", "--quiet", "--package", "workpool", "--test", "loom"])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("loom"))
        .env("RUSTFLAGS", "--cfg loom")
        .output()
        .expect("cargo runs");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("test result: ok.") && !said.contains("ok. 0 passed"), "models should run: {said}");
}

/// Whether a variable comes from the outer cargo. Those that say where cargo
/// and its packages are come from the user and stay.
fn is_cargos(name: &str) -> bool {
    const USERS: [&str; 9] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
        "CARGO_SOURCE_",
        "RUSTUP_",
        "CARGO_TERM_",
        "RUST_BACKTRACE",
    ];
    let of_cargo = name.starts_with("CARGO") || name.starts_with("RUST");
    of_cargo && !USERS.iter().any(|users| name.starts_with(users)) || name == "LD_LIBRARY_PATH"
}
