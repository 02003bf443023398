//! The system's packages: which ones contain the missing prerequisites.

use super::needs::What;
use crate::system::System;
use crate::toolchain::{MINIMUM, Toolchain, Version};
use std::path::Path;

/// Packages of one version of Rust.
struct RustPackages {
    /// The compiler, whose version decides.
    compiler: &'static str,
    cargo: &'static str,
    /// The library's source.
    source: &'static str,
    clippy: &'static str,
}

/// The `-web` packages are newer: Debian ships them in its stable releases to build web browsers.
const RUST_PACKAGES: [RustPackages; 2] = [
    RustPackages {
        compiler: "rustc-web",
        cargo: "cargo-web",
        source: "rust-web-src",
        clippy: "rust-web-clippy",
    },
    RustPackages { compiler: "rustc", cargo: "cargo", source: "rust-src", clippy: "rust-clippy" },
];

/// How to install the missing prerequisites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// From the system's packages, in one step.
    Packages {
        /// Their names.
        packages: Vec<String>,
        /// Whether this process is root; otherwise the commands need `sudo`.
        is_root: bool,
    },
    /// By hand: not everything is packaged on this system.
    ByHand(Vec<String>),
}

impl Plan {
    /// Returns the commands to type.
    pub(super) fn commands(&self) -> Vec<String> {
        match self {
            Self::Packages { packages, is_root } => {
                let sudo = if *is_root { "" } else { "sudo " };
                let packages = packages.join(" ");
                vec![format!(
                    "{sudo}apt-get update && {sudo}apt-get install -y --no-install-recommends {packages}"
                )]
            }
            Self::ByHand(commands) => commands.clone(),
        }
    }

    /// Returns the commands, indented, one per line.
    pub(super) fn indented_commands(&self) -> String {
        let lines: Vec<_> = self.commands().iter().map(|command| format!("    {command}")).collect();
        lines.join("\n")
    }
}

/// Plans how to install `missing`; `toolchain` is the one that exists. `may_refresh` permits updating the package lists first.
pub(super) fn plan(
    system: &impl System,
    missing: &[What],
    toolchain: Option<&Toolchain>,
    may_refresh: bool,
) -> Plan {
    let is_root = system.is_root();
    let has_apt = system.find_in_path("apt-get").is_some() && system.find_in_path("apt-cache").is_some();
    if !has_apt {
        return by_hand(missing, toolchain);
    }
    if may_refresh {
        eprintln!("$ apt-get update");
        // Old lists may still suffice; if not, the installation reports the error.
        let _ = system.perform(Path::new("apt-get"), &["update", "-qq"]);
    }
    let mut packages = Vec::new();
    for what in missing {
        match what {
            What::Qemu => packages.push("qemu-system-x86"),
            What::Linker => packages.push("binutils"),
            What::Toolchain => match rust_packages(system) {
                Some(rust) => packages.extend([rust.compiler, rust.cargo, rust.source]),
                None => return by_hand(missing, toolchain),
            },
            What::Clippy => match clippy_package(system, toolchain) {
                Some(clippy) => packages.push(clippy),
                None => return by_hand(missing, toolchain),
            },
        }
    }
    Plan::Packages { packages: packages.into_iter().map(str::to_string).collect(), is_root }
}

/// Returns the first packages whose compiler is new enough.
fn rust_packages(system: &impl System) -> Option<&'static RustPackages> {
    let mut known = false;
    for rust in &RUST_PACKAGES {
        match candidate(system, rust.compiler) {
            Some(version) if version >= MINIMUM => return Some(rust),
            Some(_) => known = true,
            None => {}
        }
    }
    // Lists without any compiler are missing lists. The printed command updates them first, and the `-web` compiler is the
    // most likely to be new enough.
    (!known && !system.is_root()).then_some(&RUST_PACKAGES[0])
}

/// Returns the package with the clippy of the system's toolchain, which must be of the same version. Without a toolchain,
/// returns the clippy of the one to install.
fn clippy_package(system: &impl System, toolchain: Option<&Toolchain>) -> Option<&'static str> {
    let Some(toolchain) = toolchain else {
        return rust_packages(system).map(|rust| rust.clippy);
    };
    if toolchain.sysroot != Path::new("/usr") {
        return None;
    }
    let fits = |rust: &&RustPackages| candidate(system, rust.clippy) == Some(toolchain.version);
    RUST_PACKAGES.iter().find(fits).map(|rust| rust.clippy)
}

/// Returns the version of `package` that apt would install.
fn candidate(system: &impl System, package: &str) -> Option<Version> {
    let answer = system.capture(Path::new("apt-cache"), &["policy", package]).ok()?;
    answer.stdout.lines().find_map(|line| Version::parse(line.trim().strip_prefix("Candidate:")?))
}

fn by_hand(missing: &[What], toolchain: Option<&Toolchain>) -> Plan {
    let line = |what: &What| match what {
        What::Qemu => {
            "(with the system's package manager) install qemu-system-x86, which contains qemu-system-x86_64"
                .to_string()
        }
        What::Linker => "(with the system's package manager) install binutils, which contains ld".to_string(),
        What::Toolchain => {
            format!("rustup toolchain install {MINIMUM}.0 --profile minimal --component rust-src")
        }
        What::Clippy => {
            let name = toolchain.and_then(|toolchain| toolchain.sysroot.file_name()?.to_str());
            let pinned = format!("{MINIMUM}.0");
            format!("rustup component add clippy --toolchain {}", name.unwrap_or(&pinned))
        }
    };
    Plan::ByHand(missing.iter().map(line).collect())
}

/// Installs a plan's packages; the error names the command that failed.
pub(super) fn install(system: &impl System, plan: &Plan) -> Result<(), String> {
    let Plan::Packages { packages, .. } = plan else {
        return Err("not everything that is missing is packaged for this system".into());
    };
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages.iter().map(String::as_str));
    eprintln!("$ apt-get {}", arguments.join(" "));
    match system.perform(Path::new("apt-get"), &arguments) {
        Ok(true) => Ok(()),
        Ok(false) => Err("apt-get install failed; its messages are above".into()),
        Err(error) => Err(format!("apt-get cannot be started: {error}")),
    }
}
