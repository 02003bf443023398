//! Accelerators: the host's processor (KVM) or QEMU's translator (TCG).

/// An accelerator: it executes the guest's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// The host's processor.
    Kvm,
    /// QEMU's translator, with one host thread per virtual CPU.
    Tcg,
}

impl Accel {
    /// Returns the value of QEMU's `-accel`.
    pub const fn argument(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg,thread=multi",
        }
    }

    /// Returns the name for the user.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// Returns the default CPU model: the one with every feature.
    ///
    /// The translator's largest model has AMD's vendor name. For AMD processors, QEMU reserves address space just below
    /// 1 TiB, which the map of physical memory would have to avoid. With Intel's vendor name there is no such hole.
    ///
    /// With counted instructions (`counts`) the model has no x2APIC. The translator has one since QEMU 9, but its registers
    /// read the clock in the middle of a block of instructions, and QEMU aborts with "Bad icount read".
    pub const fn default_cpu(self, counts: bool) -> &'static str {
        match self {
            Self::Kvm => "max",
            Self::Tcg if counts => "max,vendor=GenuineIntel,-x2apic",
            Self::Tcg => "max,vendor=GenuineIntel",
        }
    }
}
