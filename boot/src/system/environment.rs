//! A clean environment for a nested cargo.

use std::process::Command;

/// Variables that configure the network and the package cache. The user sets them; a nested cargo needs them.
const KEPT: [&str; 6] =
    ["CARGO_HOME", "CARGO_BUILD_JOBS", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];

/// Variables that the outer cargo, rustup or a build script sets. Each would make the nested build use the outer compiler, its
/// flags, its job server or its libraries.
const REMOVED: [&str; 11] = [
    "CARGO",
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
    "LD_LIBRARY_PATH",
    "MAKEFLAGS",
    "MFLAGS",
    "OUT_DIR",
    "TARGET",
    "HOST",
];

/// Returns whether a nested cargo must not see the variable `name`.
fn is_removed(name: &str) -> bool {
    if KEPT.iter().any(|kept| name.starts_with(kept)) {
        return false;
    }
    REMOVED.contains(&name) || name.starts_with("CARGO_") || name.starts_with("RUSTC") || name == "RUSTDOC"
}

/// Removes the variables of an outer cargo or rustup from `command`'s environment.
pub fn remove_build_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_removed) {
            command.env_remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_removed;

    #[test]
    fn variables_of_the_outer_build_are_removed() {
        for name in [
            "CARGO",
            "CARGO_MANIFEST_DIR",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_MAKEFLAGS",
            "CARGO_UNSTABLE_BUILD_STD",
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_BOOTSTRAP",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "LD_LIBRARY_PATH",
        ] {
            assert!(is_removed(name), "{name}");
        }
    }

    #[test]
    fn network_and_cache_settings_stay() {
        for name in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "CARGO_HTTP_PROXY",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
            "CARGO_BUILD_JOBS",
            "RUSTUP_HOME",
            "https_proxy",
        ] {
            assert!(!is_removed(name), "{name}");
        }
    }
}
