//! Regions of physical memory and their kinds.

/// Kind of a region, least restrictive first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Memory for the kernel.
    Usable,
    /// ACPI tables: usable once they have been read.
    AcpiReclaimable,
    /// ACPI non-volatile storage: never usable.
    AcpiNvs,
    /// Devices, firmware code, and unknown types.
    Reserved,
    /// Faulty memory.
    Bad,
}

impl Kind {
    /// Returns the kind of e820 type `number`.
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

    /// Returns the kind of UEFI memory type `number`, of the types that loaders do not call usable.
    #[must_use]
    pub const fn from_uefi(number: u32) -> Self {
        match number {
            8 => Self::Bad,
            9 => Self::AcpiReclaimable,
            10 => Self::AcpiNvs,
            _ => Self::Reserved,
        }
    }

    /// Returns the e820 type of this kind.
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
    /// Kind of the region.
    pub kind: Kind,
}

impl Region {
    pub(super) const EMPTY: Self = Self { start: 0, end: 0, kind: Kind::Usable };

    /// Returns the bytes of the region; 0 for an inverted one.
    #[must_use]
    pub const fn len_bytes(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}
