//! The choice between KVM and TCG.

use super::accel::Accel;
use super::probe::{self, Speed};
use super::program::Program;
use crate::cli::AccelChoice;
use crate::failure::Failure;
use std::path::Path;
use std::time::Duration;

/// The firmware and the guest take a tenth of a second where KVM is any good. A KVM that takes longer than this is not worth
/// having.
const AUTO_TIMEOUT: Duration = Duration::from_secs(2);

/// A user that asks for KVM gets it, however slow: where it interprets, the firmware alone takes seconds.
const WISH_TIMEOUT: Duration = Duration::from_secs(60);

/// What the user's choice comes to on this machine.
///
/// That `/dev/kvm` can be opened says little: inside of some virtual machines it can, and then no guest runs. So KVM is
/// believed only after a guest of a few instructions ran under it; and it is chosen for a user who leaves the choice only
/// where it runs kernel code no slower than the translator would.
///
/// # Errors
///
/// When KVM was asked for and does not work: the message says what QEMU said.
pub fn choose(choice: AccelChoice, qemu: &Program, cpu_model: Option<&str>) -> Result<Accel, Failure> {
    let model = cpu_model.unwrap_or(Accel::Kvm.default_cpu(false));
    let kvm = |timeout| probe::run(qemu, Accel::Kvm, model, timeout);
    match choice {
        AccelChoice::Tcg => Ok(Accel::Tcg),
        AccelChoice::Auto if !Path::new("/dev/kvm").exists() => Ok(Accel::Tcg),
        AccelChoice::Auto => {
            Ok(if kvm(AUTO_TIMEOUT) == Ok(Speed::Translated) { Accel::Kvm } else { Accel::Tcg })
        }
        AccelChoice::Kvm => kvm(WISH_TIMEOUT)
            .map(|_| Accel::Kvm)
            .map_err(|why| Failure::usage(format!("--accel kvm does not work here: {why}; use --accel tcg"))),
    }
}
