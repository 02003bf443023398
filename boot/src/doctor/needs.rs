//! The prerequisites, and which of them are present.

use crate::failure::Failure;
use crate::qemu::{Program, program};
use crate::system::System;
use crate::toolchain::{self, Toolchain};
use std::path::Path;

/// A prerequisite and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The prerequisite.
    pub what: What,
    /// Its state.
    pub state: State,
}

/// The prerequisites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The emulator.
    Qemu,
    /// The kernel's compiler.
    Toolchain,
    /// The kernel's linker.
    Linker,
    /// The linter of the kernel's compiler; only the command `clippy` needs it.
    Clippy,
}

impl What {
    /// Everything that the main job needs.
    pub const ALL: [Self; 3] = [Self::Qemu, Self::Toolchain, Self::Linker];

    /// Returns its name and purpose.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU for x86_64, to boot the kernel",
            Self::Toolchain => "Rust 1.96 or later with rust-src, to build the kernel",
            Self::Linker => "GNU ld, to link the kernel",
            Self::Clippy => "clippy of that Rust, for `cargo run -- clippy` alone",
        }
    }
}

/// State of a prerequisite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Present: its path and version.
    Found(String),
    /// Missing: a line for each unusable candidate.
    Missing(Vec<String>),
}

/// Result of examining the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// All prerequisites.
    pub needs: Vec<Need>,
    /// The emulator, if it works.
    pub qemu: Option<Program>,
    /// The toolchain, if a usable one exists.
    pub toolchain: Option<Toolchain>,
}

/// Examines the host; `qemu` is the emulator that the command line names.
///
/// # Errors
///
/// When the user names an unusable toolchain, or an unusable emulator and `wanted` has one.
pub fn examine(system: &impl System, qemu: Option<&Path>, wanted: &[What]) -> Result<Examination, Failure> {
    let qemu = match program::find(system, qemu) {
        // A command that needs no QEMU works with a bad name of one.
        Err(failure) if !wanted.contains(&What::Qemu) => Err(vec![failure.to_string()]),
        found => found?,
    };
    let qemu_state = match &qemu {
        Ok(found) => State::Found(format!("{} ({})", found.path.display(), found.version)),
        Err(reasons) => State::Missing(reasons.clone()),
    };
    let search = toolchain::search(system)?;
    let toolchain_state = match &search.found {
        Some(found) => State::Found(format!("{} ({})", found.rustc.display(), found.version)),
        None => State::Missing(search.rejected.iter().map(ToString::to_string).collect()),
    };
    let linker_state = match system.find_in_path("ld") {
        Some(path) => State::Found(path.display().to_string()),
        None => State::Missing(Vec::new()),
    };
    let clippy_state = match search.found.as_ref().and_then(|toolchain| toolchain.clippy(system)) {
        Some(path) => State::Found(path.display().to_string()),
        None => State::Missing(Vec::new()),
    };
    let needs = vec![
        Need { what: What::Qemu, state: qemu_state },
        Need { what: What::Toolchain, state: toolchain_state },
        Need { what: What::Linker, state: linker_state },
        Need { what: What::Clippy, state: clippy_state },
    ];
    Ok(Examination { needs, qemu: qemu.ok(), toolchain: search.found })
}

impl Examination {
    /// Returns the missing ones of `wanted`.
    pub(super) fn missing(&self, wanted: &[What]) -> Vec<What> {
        let is_missing =
            |need: &&Need| matches!(need.state, State::Missing(_)) && wanted.contains(&need.what);
        self.needs.iter().filter(is_missing).map(|need| need.what).collect()
    }
}
