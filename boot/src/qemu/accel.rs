//! What runs the guest's code: the processor (KVM), or QEMU's translator (TCG).

use super::probe::Speed;
use super::{Program, probe};
use crate::cli::AccelChoice;
use crate::failure::Failure;
use std::path::Path;
use std::time::Duration;

/// What runs the guest's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// The processor.
    Kvm,
    /// QEMU's translator, with one host thread per virtual CPU.
    Tcg,
}

impl Accel {
    /// QEMU's `-accel`.
    pub const fn argument(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg,thread=multi",
        }
    }

    /// The name that people use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// The CPU model when none is asked for: all that there is.
    ///
    /// The translator's largest model calls itself an AMD processor, for which QEMU reserves address space just
    /// below 1 TiB that a map of physical memory would have to step around; as an Intel one it has no such hole.
    ///
    /// Where instructions are counted (`counts`) the model has no x2APIC: from QEMU 9 on the translator has one, whose
    /// registers read the clock in the middle of a block of instructions, and QEMU ends there with "Bad icount read".
    pub const fn default_cpu(self, counts: bool) -> &'static str {
        match self {
            Self::Kvm => "max",
            Self::Tcg if counts => "max,vendor=GenuineIntel,-x2apic",
            Self::Tcg => "max,vendor=GenuineIntel",
        }
    }
}

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
