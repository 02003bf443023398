//! The models, in an ordinary test run.
#![cfg(not(loom))]

/// Runs `tests/loom`, which needs the crate built with `--cfg loom`.
#[test]
fn loom_models_pass() {
    models::run(env!("CARGO_PKG_NAME"), env!("CARGO_MANIFEST_DIR"), env!("CARGO_TARGET_TMPDIR"));
}
