//! The system's packages: which ones contain the missing prerequisites.

use super::what::What;
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
    /// Names of LLVM's programs for this compiler, such as `rust-lld`.
    llvm: &'static str,
}

/// The `-web` packages are newer: Debian ships them in its stable releases to build web browsers.
const RUST_PACKAGES: [RustPackages; 2] = [
    RustPackages {
        compiler: "rustc-web",
        cargo: "cargo-web",
        source: "rust-web-src",
        clippy: "rust-web-clippy",
        llvm: "rust-web-llvm",
    },
    RustPackages {
        compiler: "rustc",
        cargo: "cargo",
        source: "rust-src",
        clippy: "rust-clippy",
        llvm: "rust-llvm",
    },
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

    /// Returns the names of the packages, or the commands, in one line.
    pub(super) fn source(&self) -> String {
        match self {
            Self::Packages { packages, .. } if packages.len() == 1 => format!("package {}", packages[0]),
            Self::Packages { packages, .. } => format!("packages {}", packages.join(", ")),
            Self::ByHand(commands) => commands.join("; "),
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
        match packages_of(system, *what, toolchain) {
            Some(more) => packages.extend(more),
            None => return by_hand(missing, toolchain),
        }
    }
    Plan::Packages { packages, is_root }
}

/// Returns the packages that contain `what`; `None` if no package of this system does.
fn packages_of(system: &impl System, what: What, toolchain: Option<&Toolchain>) -> Option<Vec<String>> {
    let names = match (what, package(what)) {
        (_, Some(package)) => vec![package],
        (What::Toolchain, _) => {
            let rust = rust_packages(system)?;
            vec![rust.compiler, rust.cargo, rust.source]
        }
        (What::Clippy, _) => vec![package_of_rust(system, toolchain, |rust| rust.clippy)?],
        _ => {
            let llvm = package_of_rust(system, toolchain, |rust| rust.llvm)?;
            return Some(vec![llvm.to_string(), lld_package(system, llvm)?]);
        }
    };
    Some(names.into_iter().map(str::to_string).collect())
}

/// Returns the package of Debian that contains `what`; `None` if that depends on the version of Rust.
const fn package(what: What) -> Option<&'static str> {
    Some(match what {
        What::Toolchain | What::Clippy | What::UefiLinker => return None,
        What::Qemu => "qemu-system-x86",
        What::Linker => "binutils",
        What::Ovmf => "ovmf",
        What::Grub => "grub-common",
        What::GrubBios => "grub-pc-bin",
        What::GrubUefi => "grub-efi-amd64-bin",
        What::Xorriso => "xorriso",
        What::Mtools => "mtools",
        What::Bochs => "bochs",
        What::BochsBios => "bochsbios",
        What::VgaBios => "seabios",
        What::Browser => "chromium",
    })
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

/// Returns the package `of` the system's toolchain, which must be of the same version. Without a toolchain, returns the package
/// of the one to install.
fn package_of_rust(
    system: &impl System,
    toolchain: Option<&Toolchain>,
    of: fn(&RustPackages) -> &'static str,
) -> Option<&'static str> {
    let Some(toolchain) = toolchain else {
        return rust_packages(system).map(of);
    };
    if toolchain.sysroot != Path::new("/usr") {
        return None;
    }
    let fits = |rust: &&RustPackages| candidate(system, of(rust)) == Some(toolchain.version);
    RUST_PACKAGES.iter().find(fits).map(of)
}

/// Returns the package with the linker to which the package `llvm` has a link: of the version of LLVM on which `llvm` depends.
fn lld_package(system: &impl System, llvm: &str) -> Option<String> {
    let answer = system.capture(Path::new("apt-cache"), &["depends", llvm]).ok()?;
    let version = |line: &str| line.trim().strip_prefix("Depends: llvm-")?.parse::<u32>().ok();
    answer.stdout.lines().find_map(version).map(|version| format!("lld-{version}"))
}

/// Returns the version of `package` that apt would install.
fn candidate(system: &impl System, package: &str) -> Option<Version> {
    let answer = system.capture(Path::new("apt-cache"), &["policy", package]).ok()?;
    answer.stdout.lines().find_map(|line| Version::parse(line.trim().strip_prefix("Candidate:")?))
}

fn by_hand(missing: &[What], toolchain: Option<&Toolchain>) -> Plan {
    let pinned = format!("{MINIMUM}.0");
    let name = toolchain.and_then(|toolchain| toolchain.sysroot.file_name()?.to_str()).unwrap_or(&pinned);
    let line = |what: &What| match what {
        What::Toolchain => {
            format!("rustup toolchain install {pinned} --profile minimal --component rust-src")
        }
        What::Clippy => format!("rustup component add clippy --toolchain {name}"),
        What::UefiLinker => {
            "(with the system's package manager) install LLVM's linker lld, of that Rust's version of LLVM, \
             as a program rust-lld; toolchains of rustup contain it"
                .to_string()
        }
        what => {
            let (package, content) = (package(*what).unwrap_or_default(), content(*what));
            format!("(with the system's package manager) install {package}, which contains {content}")
        }
    };
    Plan::ByHand(missing.iter().map(line).collect())
}

/// Returns what to look for in other systems' packages.
const fn content(what: What) -> &'static str {
    match what {
        What::Qemu => "qemu-system-x86_64",
        What::Linker => "ld",
        What::Ovmf => "OVMF_CODE.fd and OVMF_VARS.fd",
        What::Grub => "grub-mkrescue",
        What::GrubBios => "/usr/lib/grub/i386-pc/multiboot2.mod",
        What::GrubUefi => "/usr/lib/grub/x86_64-efi/multiboot2.mod",
        What::Xorriso => "xorriso",
        What::Mtools => "mformat",
        What::Bochs => "bochs",
        What::BochsBios => "BIOS-bochs-latest",
        What::VgaBios => "vgabios-stdvga.bin",
        What::Browser => "chromium",
        What::Toolchain | What::Clippy | What::UefiLinker => "",
    }
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
