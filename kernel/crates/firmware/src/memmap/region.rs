//! Regions of physical memory and what they may be used for.

/// What a region of physical memory may be used for, least restrictive first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Free for the kernel.
    Usable,
    /// ACPI tables: free once they have been read.
    AcpiReclaimable,
    /// ACPI non-volatile storage: the firmware's for ever.
    AcpiNvs,
    /// Devices, firmware code, anything unknown.
    Reserved,
    /// Memory that was found faulty.
    Bad,
}

impl Kind {
    /// The kind that type `number` of the e820 interface stands for.
    #[must_use]
    pub const fn from_e820(number: u32) -> Self {
        match number {
            1 => Self::Usable,
            3 => Self::AcpiReclaimable,
            4 => Self::AcpiNvs,
            5 => Self::Bad,
            _ => Self::Reserved,
        }
    }

    /// The kind that UEFI's memory type `number` stands for, when it is none of the types that loaders call usable.
    #[must_use]
    pub const fn from_uefi(number: u32) -> Self {
        match number {
            8 => Self::Bad,
            9 => Self::AcpiReclaimable,
            10 => Self::AcpiNvs,
            _ => Self::Reserved,
        }
    }

    /// The e820 interface's type for this kind.
    #[must_use]
    pub const fn to_e820(self) -> u32 {
        match self {
            Self::Usable => 1,
            Self::Reserved => 2,
            Self::AcpiReclaimable => 3,
            Self::AcpiNvs => 4,
            Self::Bad => 5,
        }
    }
}

/// A region of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Address of the first byte.
    pub start: u64,
    /// Address one past the last byte.
    pub end: u64,
    /// What it may be used for.
    pub kind: Kind,
}

impl Region {
    pub(super) const EMPTY: Self = Self { start: 0, end: 0, kind: Kind::Usable };

    /// Bytes in the region; 0 for an inverted one.
    #[must_use]
    pub const fn len_bytes(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}
