//! The models, in an ordinary test run.
#![cfg(not(loom))]

use std::path::Path;
use std::process::Command;

/// Runs `tests/loom/`, which needs the crate built with `--cfg loom`, by a
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
        .args(["test", "--quiet", "--package", "waiting", "--test", "loom"])
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
