//! The kernel's Rust toolchain: new enough, and with the source of the core library.
//!
//! `core` and `alloc` are built from source for the kernel's custom target. Host crates need no such toolchain. The search
//! goes through `KTASK_TOOLCHAIN`, rustup's toolchains, `PATH` and `/usr/bin`, in this order. If it fails, [`crate::doctor`]
//! looks for packages.

mod version;

pub use version::Version;

use crate::failure::Failure;
use crate::system::System;
use std::fmt;
use std::path::{Path, PathBuf};

/// The oldest compiler that accepts the kernel's target description.
pub const MINIMUM: Version = Version { major: 1, minor: 96 };

/// The variable that names a toolchain: a sysroot, its `bin` directory, or a `rustc`.
pub const VARIABLE: &str = "KTASK_TOOLCHAIN";

/// Folder of a sysroot with the source for `-Zbuild-std`.
const LIBRARY: &str = "lib/rustlib/src/rust/library";

/// A toolchain that can build the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// Cargo.
    pub cargo: PathBuf,
    /// The compiler.
    pub rustc: PathBuf,
    /// The compiler's version.
    pub version: Version,
    /// The directory that contains the toolchain.
    pub sysroot: PathBuf,
}

impl Toolchain {
    /// Returns the path of `cargo-clippy`, if the toolchain has it.
    pub fn clippy(&self, system: &impl System) -> Option<PathBuf> {
        let program = |name: &str| self.cargo.with_file_name(name);
        let is_whole = system.is_file(&program("cargo-clippy")) && system.is_file(&program("clippy-driver"));
        is_whole.then(|| program("cargo-clippy"))
    }
}

/// A toolchain that cannot build the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The compiler.
    pub rustc: PathBuf,
    /// The reason.
    pub reason: String,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rustc.display(), self.reason)
    }
}

/// Result of a search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The first usable toolchain.
    pub found: Option<Toolchain>,
    /// Unusable toolchains that the search met before.
    pub rejected: Vec<Rejected>,
}

/// Looks for a toolchain; stops at the first usable one.
///
/// # Errors
///
/// When `KTASK_TOOLCHAIN` names an unusable toolchain: the user's choice is not ignored silently.
pub fn search(system: &impl System) -> Result<Search, Failure> {
    if let Some(path) = system.var(VARIABLE) {
        let toolchain = named(system, Path::new(&path))
            .map_err(|reason| Failure::usage(format!("{VARIABLE}={path} is not usable: {reason}")))?;
        return Ok(Search { found: Some(toolchain), rejected: Vec::new() });
    }
    let mut search = Search::default();
    for rustc in candidates(system) {
        match inspect(system, &rustc) {
            Ok(toolchain) => {
                search.found = Some(toolchain);
                break;
            }
            Err(reason) => search.rejected.push(Rejected { rustc, reason }),
        }
    }
    Ok(search)
}

/// Inspects the toolchain that `KTASK_TOOLCHAIN` names.
fn named(system: &impl System, path: &Path) -> Result<Toolchain, String> {
    let places = [path.join("bin/rustc"), path.join("rustc"), path.to_path_buf()];
    let rustc = places.iter().find(|place| system.is_file(place)).ok_or_else(|| {
        "no rustc there; name a sysroot (the directory with bin/rustc), a directory with rustc and cargo, or a rustc"
            .to_string()
    })?;
    inspect(system, rustc)
}

/// Returns every compiler on this machine without duplicates, best first.
fn candidates(system: &impl System) -> Vec<PathBuf> {
    let mut candidates = rustup_compilers(system);
    candidates.extend(system.all_in_path("rustc"));
    candidates.extend([PathBuf::from("/usr/bin/rustc")].into_iter().filter(|rustc| system.is_file(rustc)));
    let mut unique = Vec::new();
    for rustc in candidates {
        if !unique.contains(&rustc) {
            unique.push(rustc);
        }
    }
    unique
}

/// Returns the compilers of rustup's toolchains that have the library source: the pinned version first, then stable ones.
fn rustup_compilers(system: &impl System) -> Vec<PathBuf> {
    let home = system.var("RUSTUP_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&system.var("HOME")?).join(".rustup")));
    let Some(home) = home else {
        return Vec::new();
    };
    let mut toolchains: Vec<_> = system
        .entries(&home.join("toolchains"))
        .into_iter()
        // Checking for a file is cheap; running every compiler for its version is not.
        .filter(|sysroot| system.is_file(&source_file(sysroot)))
        .collect();
    toolchains.sort_by_key(|sysroot| {
        let name = sysroot.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match name {
            _ if name.starts_with(&format!("{MINIMUM}.")) || name.starts_with(&format!("{MINIMUM}-")) => 0,
            _ if name.starts_with("stable") => 1,
            _ if name.starts_with("nightly") => 3,
            _ => 2,
        }
    });
    toolchains.into_iter().map(|sysroot| sysroot.join("bin/rustc")).collect()
}

/// Returns a file that exists if the library's source does.
fn source_file(sysroot: &Path) -> PathBuf {
    sysroot.join(LIBRARY).join("core/src/lib.rs")
}

/// Inspects one compiler; the error says why it cannot build the kernel.
fn inspect(system: &impl System, rustc: &Path) -> Result<Toolchain, String> {
    let capture = |argument: &[&str]| -> Result<String, String> {
        let answer =
            system.capture(rustc, argument).map_err(|error| format!("cannot be started: {error}"))?;
        match answer.success {
            true => Ok(answer.stdout),
            false => Err(format!(
                "does not work: {}",
                answer.stderr.lines().next().unwrap_or("it prints no message")
            )),
        }
    };
    let about = capture(&["-vV"])?;
    let version = Version::of_rustc(&about)
        .ok_or_else(|| format!("names no version: {:?}", about.lines().next().unwrap_or_default()))?;
    if version < MINIMUM {
        return Err(format!("is version {version}, {MINIMUM} or later is needed"));
    }
    let sysroot = PathBuf::from(capture(&["--print", "sysroot"])?.trim());
    if !system.is_file(&source_file(&sysroot)) {
        return Err(format!(
            "version {version}, but {} is missing (rust-src)",
            sysroot.join(LIBRARY).display()
        ));
    }
    // `rustc` may be rustup's proxy, which selects a toolchain by the current directory. Return the real programs.
    let bin = sysroot.join("bin");
    let beside = rustc.parent().map(Path::to_path_buf).unwrap_or_default();
    let (rustc, cargo) = [bin, beside]
        .into_iter()
        .map(|directory| (directory.join("rustc"), directory.join("cargo")))
        .find(|(rustc, cargo)| system.is_file(rustc) && system.is_file(cargo))
        .ok_or_else(|| format!("version {version}, but no cargo in {}", sysroot.join("bin").display()))?;
    Ok(Toolchain { cargo, rustc, version, sysroot })
}

#[cfg(test)]
pub(crate) mod tests;
