//! Prerequisites of the ways to the kernel through firmware: provided once, by the rule of consent to installing packages.

use ktask_boot::cli::BootChoice;
use ktask_boot::doctor::{Consent, provide};
use ktask_boot::start;
use ktask_boot::system::Real;
use ktask_boot::toolchain::Toolchain;
use std::sync::OnceLock;

/// Toolchain for a way that needs one, or why the way is not available.
type Provided = Result<Option<Toolchain>, String>;

/// The ways that need more than QEMU and the kernel.
#[derive(Debug, Default)]
pub struct Ways {
    grub: OnceLock<Provided>,
    grub_uefi: OnceLock<Provided>,
    uefi: OnceLock<Provided>,
}

impl Ways {
    /// Provides what a way needs, on the first call for it.
    ///
    /// # Errors
    ///
    /// One line: what is missing, and the command that installs it.
    pub fn provide(&self, choice: BootChoice) -> Provided {
        let provided = match choice {
            BootChoice::Pvh => return Ok(None),
            BootChoice::Grub => &self.grub,
            BootChoice::GrubUefi => &self.grub_uefi,
            BootChoice::Uefi => &self.uefi,
        };
        let examine = || match provide(&Real, None, Consent::ByRule, &start::wanted(choice)) {
            Ok(tools) => Ok(tools.toolchain),
            Err(failure) => Err(one_line(&failure.message)),
        };
        provided.get_or_init(examine).clone()
    }
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
