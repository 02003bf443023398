//! The installed Bochs.

use super::machine::SCREEN_BIOSES;
use crate::ways::provide_alone;
use ktask_boot::doctor::What;
use ktask_boot::system::System;
use std::path::PathBuf;

/// The installed program.
#[derive(Clone, Debug)]
pub struct Bochs {
    pub(super) program: PathBuf,
    /// Firmware of the screen.
    pub(super) screen_bios: PathBuf,
}

impl Bochs {
    /// Finds Bochs, its firmware and what makes an ISO image; installs what is missing, with the user's consent.
    ///
    /// # Errors
    ///
    /// What is missing, and the command that installs it, in one line.
    pub fn provide(system: &impl System) -> Result<Self, String> {
        let wanted = [&What::BOCHS[..], &What::ISO].concat();
        provide_alone(&wanted)?;
        // Debian's `bochs` is a script that opens a window if it can.
        let program = system.find_in_path("bochs-bin").or_else(|| system.find_in_path("bochs"));
        let screen_bios = SCREEN_BIOSES.iter().map(PathBuf::from).find(|path| system.is_file(path));
        match (program, screen_bios) {
            (Some(program), Some(screen_bios)) => Ok(Self { program, screen_bios }),
            found => Err(format!("Bochs or the firmware of its screen is missing: {found:?}")),
        }
    }
}
