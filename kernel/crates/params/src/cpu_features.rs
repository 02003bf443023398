//! The value of `cpu.disable`.

/// Features that can be disabled, in the order of their bits.
pub const NAMES: [&str; 10] = [
    "x2apic",
    "tsc-deadline",
    "tsc-adjust",
    "avx",
    "sse-stores",
    "clzero",
    "pages-1g",
    "nx",
    "machine-check",
    "pat",
];

/// One feature of [`NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Feature {
    /// Local APIC access through MSRs.
    X2Apic,
    /// Local APIC timer that is set to a value of the TSC.
    TscDeadline,
    /// MSR that shifts a CPU's TSC.
    TscAdjust,
    /// XSAVE state and 256-bit vector registers.
    Avx,
    /// 128-bit vector registers and their stores.
    SseStores,
    /// Instruction that clears a cache line without reading it.
    Clzero,
    /// Pages of 1 GiB.
    Pages1G,
    /// Page table bit that forbids execution.
    NoExecute,
    /// Machine checks as exceptions, and their banks.
    MachineCheck,
    /// The page attribute table.
    Pat,
}

/// Disabled features, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disabled(u32);

impl Disabled {
    /// Returns whether `feature` is disabled.
    #[must_use]
    pub const fn contains(self, feature: Feature) -> bool {
        self.0 & 1 << feature as u8 != 0
    }

    /// Returns the names of the disabled features.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().enumerate().filter(move |(bit, _)| self.0 & 1 << bit != 0).map(|(_, name)| name)
    }
}

/// Parses `none`, or names separated by commas; `None` if a name is unknown.
#[must_use]
pub fn parse(text: &str) -> Option<Disabled> {
    if text == "none" {
        return Some(Disabled::default());
    }
    let bit = |name: &str| NAMES.iter().position(|known| *known == name);
    text.split(',').try_fold(0, |mask, name| Some(mask | 1 << bit(name)?)).map(Disabled)
}
