//! What is needed, and what of it is there.

use crate::failure::Failure;
use crate::qemu::{Program, program};
use crate::system::System;
use crate::toolchain::{self, Toolchain};
use std::path::Path;

/// One thing that is needed, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Which thing.
    pub what: What,
    /// Whether it is there.
    pub state: State,
}

/// The things that are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The emulator.
    Qemu,
    /// The compiler for the kernel.
    Toolchain,
    /// The linker for the kernel.
    Linker,
    /// The linter of the kernel's compiler; only its own command needs it.
    Clippy,
}

impl What {
    /// All that the main job needs.
    pub const ALL: [Self; 3] = [Self::Qemu, Self::Toolchain, Self::Linker];

    /// What people call it, and what it is for.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU for x86_64, to boot the kernel",
            Self::Toolchain => "Rust 1.96 or later with rust-src, to build the kernel",
            Self::Linker => "GNU ld, to link the kernel",
            Self::Clippy => "clippy of that Rust, for `cargo run -- clippy` alone",
        }
    }
}

/// Whether a thing is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is: where, and which version.
    Found(String),
    /// It is not: what was found in its place, one line each.
    Missing(Vec<String>),
}

/// The machine, looked over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// Every need.
    pub needs: Vec<Need>,
    /// The emulator, if it is there and works.
    pub qemu: Option<Program>,
    /// The compiler, if there is one that will do.
    pub toolchain: Option<Toolchain>,
}

/// Looks the machine over; `qemu` is the emulator that the command line names.
///
/// # Errors
///
/// When the user's own wish for an emulator or a toolchain cannot be followed.
pub fn examine(system: &impl System, qemu: Option<&Path>) -> Result<Examination, Failure> {
    let qemu = program::find(system, qemu)?;
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
    /// Those of `wanted` that are missing.
    pub(super) fn missing(&self, wanted: &[What]) -> Vec<What> {
        let is_missing =
            |need: &&Need| matches!(need.state, State::Missing(_)) && wanted.contains(&need.what);
        self.needs.iter().filter(is_missing).map(|need| need.what).collect()
    }
}
