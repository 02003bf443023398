//! What runs the guest's code: the processor (KVM), or QEMU's translator (TCG).

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
