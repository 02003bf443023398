//! Prerequisites of the ways to the kernel through firmware: provided once, by the rule of consent to installing packages.

use ktask_boot::cli::BootChoice;
use ktask_boot::doctor::{Consent, Examination, What, provide};
use ktask_boot::failure::Failure;
use ktask_boot::start;
use ktask_boot::system::Real;
use ktask_boot::toolchain::Toolchain;
use std::sync::{Mutex, OnceLock, PoisonError};

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
        provided.get_or_init(|| Ok(provide_alone(&start::wanted(choice))?.toolchain)).clone()
    }
}

/// Provides `wanted` by the rule of consent. One caller at a time: package managers exclude one another.
///
/// # Errors
///
/// One line: what is missing, and the command that installs it.
pub(crate) fn provide_alone(wanted: &[What]) -> Result<Examination, String> {
    static PROVIDING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = PROVIDING.lock().unwrap_or_else(PoisonError::into_inner);
    let in_one_line = |failure: Failure| failure.message.split_whitespace().collect::<Vec<_>>().join(" ");
    provide(&Real, None, Consent::ByRule, wanted).map_err(in_one_line)
}
