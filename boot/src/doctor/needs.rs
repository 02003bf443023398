//! The prerequisites, and which of them are present.

use super::what::What;
use crate::failure::Failure;
use crate::image::{grub, uefi};
use crate::qemu::{Program, firmware, program};
use crate::system::System;
use crate::toolchain::{self, Toolchain};
use std::path::{Path, PathBuf};

/// A prerequisite and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The prerequisite.
    pub what: What,
    /// Its state.
    pub state: State,
}

/// State of a prerequisite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Present: its path and version.
    Found(String),
    /// Missing: a line for each unusable candidate.
    Missing(Vec<String>),
}

impl State {
    fn of(path: Option<PathBuf>) -> Self {
        match path {
            Some(path) => Self::Found(path.display().to_string()),
            None => Self::Missing(Vec::new()),
        }
    }
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
    let search = toolchain::search(system)?;
    let toolchain = search.found.as_ref();
    let state = |what| match what {
        What::Qemu => match &qemu {
            Ok(found) => State::Found(format!("{} ({})", found.path.display(), found.version)),
            Err(reasons) => State::Missing(reasons.clone()),
        },
        What::Toolchain => match toolchain {
            Some(found) => State::Found(format!("{} ({})", found.rustc.display(), found.version)),
            None => State::Missing(search.rejected.iter().map(ToString::to_string).collect()),
        },
        What::Linker => State::of(system.find_in_path("ld")),
        What::Clippy => State::of(toolchain.and_then(|toolchain| toolchain.clippy(system))),
        What::UefiLinker => State::of(uefi::linker(system, toolchain)),
        What::Ovmf => State::of(firmware::uefi(system).map(|uefi| uefi.code)),
        What::Grub => State::of(grub::program(system)),
        What::GrubBios => State::of(grub::modules(system, grub::BIOS)),
        What::GrubUefi => State::of(grub::modules(system, grub::UEFI)),
        What::Xorriso => State::of(system.find_in_path("xorriso")),
        What::Mtools => State::of(system.find_in_path("mformat")),
        What::Bochs => State::of(system.find_in_path("bochs-bin").or_else(|| system.find_in_path("bochs"))),
        What::BochsBios => State::of(first_file(system, &["/usr/share/bochs/BIOS-bochs-latest"])),
        What::Browser => State::of(browser(system)),
        What::VgaBios => State::of(first_file(
            system,
            // Bochs's own answers GRUB's questions about the screen with a crash.
            &["/usr/share/seabios/vgabios-stdvga.bin", "/usr/share/seavgabios/vgabios-stdvga.bin"],
        )),
    };
    let needs = What::ALL.map(|what| Need { what, state: state(what) }).to_vec();
    Ok(Examination { needs, qemu: qemu.ok(), toolchain: search.found })
}

/// Returns the browser that tests use.
pub fn browser(system: &impl System) -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| system.find_in_path(name))
}

fn first_file(system: &impl System, paths: &[&str]) -> Option<PathBuf> {
    paths.iter().map(PathBuf::from).find(|path| system.is_file(path))
}

impl Examination {
    /// Returns the missing ones of `wanted`.
    pub fn missing(&self, wanted: &[What]) -> Vec<What> {
        let is_missing =
            |need: &&Need| matches!(need.state, State::Missing(_)) && wanted.contains(&need.what);
        self.needs.iter().filter(is_missing).map(|need| need.what).collect()
    }
}
