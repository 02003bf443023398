//! Which package of the workspace depends on which.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Returns the dependencies that point the wrong way, one text each.
pub fn violations(repository: &Path) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(repository)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    of_metadata(&serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON"))
}

fn of_metadata(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let kind_of = |name: &str| {
        let package = packages.iter().find(|package| package["name"] == name)?;
        Some(Kind::of(package["manifest_path"].as_str().expect("a path")))
    };
    let mut found = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let from = kind_of(name).expect("it is in the list");
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let on = dependency["name"].as_str().expect("a name");
            let for_tests = dependency["kind"] == "dev";
            if let Some(to) = kind_of(on)
                && !from.may_depend_on(to, name, for_tests)
            {
                found.push(format!("{name} depends on {on}"));
            }
        }
    }
    found
}

/// Libraries that depend on others: `stress` feeds the parsers of all, `waiting` uses CPU masks and weights, `workpool` nice
/// levels.
const MAY_USE_LIBRARIES: [&str; 3] = ["stress", "waiting", "workpool"];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// The kernel, and other programs of a guest.
    Kernel,
    /// `ktask` and `kernel/crates/*`.
    Library,
    Boot,
    Tests,
}

impl Kind {
    fn of(manifest: &str) -> Self {
        let folder = |name: &str| manifest.ends_with(&format!("/{name}/Cargo.toml"));
        if folder("kernel") || folder("linux-init") {
            Self::Kernel
        } else if folder("boot") {
            Self::Boot
        } else if folder("tests") {
            Self::Tests
        } else {
            Self::Library
        }
    }

    fn may_depend_on(self, other: Self, name: &str, for_tests: bool) -> bool {
        match other {
            Self::Kernel | Self::Tests => false,
            Self::Boot => self == Self::Tests,
            Self::Library => self != Self::Library || for_tests || MAY_USE_LIBRARIES.contains(&name),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns the violations of two packages of which the first depends on the second.
    fn violations_of(from: &str, to: &str, kind: Option<&str>) -> Vec<String> {
        let package = |path: &str, dependencies: Value| json!({ "name": path, "manifest_path": format!("/r/{path}/Cargo.toml"), "dependencies": dependencies });
        let dependency = json!([{ "name": to, "kind": kind }]);
        of_metadata(&json!({ "packages": [package(from, dependency), package(to, json!([]))] }))
    }

    #[test]
    fn host_never_depends_on_the_kernel() {
        assert_eq!(violations_of("boot", "kernel", None), ["boot depends on kernel"]);
        assert_eq!(violations_of("tests", "kernel", Some("dev")), ["tests depends on kernel"]);
    }

    #[test]
    fn libraries_stand_alone() {
        assert_eq!(violations_of("ktask", "frames", None), ["ktask depends on frames"]);
        assert_eq!(violations_of("ktask", "models", Some("dev")), [""; 0]);
        assert_eq!(violations_of("stress", "firmware", None), [""; 0]);
    }

    #[test]
    fn kernel_and_host_depend_on_libraries() {
        assert_eq!(violations_of("kernel", "frames", None), [""; 0]);
        assert_eq!(violations_of("tests", "boot", None), [""; 0]);
        assert_eq!(violations_of("kernel", "boot", None), ["kernel depends on boot"]);
    }
}
