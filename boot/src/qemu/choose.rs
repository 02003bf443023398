//! The choice between KVM and TCG.

use super::accel::Accel;
use super::probe::{self, Speed};
use super::program::Program;
use crate::cli::AccelChoice;
use crate::failure::Failure;
use std::path::Path;
use std::time::Duration;

/// Limit for `--accel auto`. The firmware and the guest take a tenth of a second under a useful KVM.
const AUTO_TIMEOUT: Duration = Duration::from_secs(2);

/// Limit for `--accel kvm`, which accepts a slow KVM: if KVM interprets, the firmware alone takes seconds.
const KVM_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the accelerator for the user's choice on this host.
///
/// A `/dev/kvm` that opens proves little: in some virtual machines it does, and no guest runs. KVM therefore counts as working
/// only after a guest of a few instructions ran under it. `auto` chooses it only if it runs kernel code at least as fast as the
/// translator.
///
/// # Errors
///
/// When the user chose KVM and it does not work: the message contains QEMU's.
pub fn choose(choice: AccelChoice, qemu: &Program, cpu_model: Option<&str>) -> Result<Accel, Failure> {
    let model = cpu_model.unwrap_or(Accel::Kvm.default_cpu(false));
    let kvm = |timeout| probe::run(qemu, Accel::Kvm, model, timeout);
    match choice {
        AccelChoice::Tcg => Ok(Accel::Tcg),
        AccelChoice::Auto if !Path::new("/dev/kvm").exists() => Ok(Accel::Tcg),
        AccelChoice::Auto => {
            Ok(if kvm(AUTO_TIMEOUT) == Ok(Speed::Translated) { Accel::Kvm } else { Accel::Tcg })
        }
        AccelChoice::Kvm => kvm(KVM_TIMEOUT)
            .map(|_| Accel::Kvm)
            .map_err(|why| Failure::usage(format!("--accel kvm does not work here: {why}; use --accel tcg"))),
    }
}
