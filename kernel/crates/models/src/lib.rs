//! Runs the loom models of a crate within an ordinary `cargo test`.
//!
//! The models need the crate built with `--cfg loom`, which is another build of everything: a test of the crate calls [`run`],
//! which has a cargo of its own do that.

use std::path::Path;
use std::process::Command;

/// Runs the test `loom` of `package`, whose manifest is in `manifest_dir`, by a cargo of its own: a target directory
/// below `scratch_dir`, and none of what the outer cargo put into the environment.
///
/// # Panics
/// When a model fails, or there is none.
pub fn run(package: &str, manifest_dir: &str, scratch_dir: &str) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    for (name, _) in std::env::vars_os() {
        if is_cargos(&name.to_string_lossy()) {
            cargo.env_remove(name);
        }
    }
    let output = cargo
        .args(["test", "--quiet", "--package", package, "--test", "loom"])
        .arg("--manifest-path")
        .arg(Path::new(manifest_dir).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(Path::new(scratch_dir).join("loom"))
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
