//! Runs the loom models of a crate within an ordinary `cargo test`.
//!
//! The models need a build of the crate with `--cfg loom`, which rebuilds everything. A test of the crate calls [`run`], which
//! starts another cargo for that build.

use std::path::Path;
use std::process::Command;

/// Runs the test `loom` of `package`, whose manifest is in `manifest_dir`, in another cargo. That cargo has a target directory
/// below `scratch_dir`, and no variables that the outer cargo has set.
///
/// # Panics
/// When a model fails, or if there is no model.
pub fn run(package: &str, manifest_dir: &str, scratch_dir: &str) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    for (name, _) in std::env::vars_os() {
        if is_set_by_cargo(&name.to_string_lossy()) {
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
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    assert!(text.contains("test result: ok.") && !text.contains("ok. 0 passed"), "models should run: {text}");
}

/// Returns whether the outer cargo has set the variable. Variables that say where cargo and its packages are come from the
/// user, and stay.
fn is_set_by_cargo(name: &str) -> bool {
    const OF_USER: [&str; 9] = [
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
    of_cargo && !OF_USER.iter().any(|prefix| name.starts_with(prefix)) || name == "LD_LIBRARY_PATH"
}
