//! Which of the rates that were told or measured the clock goes by.

/// Where a rate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// CPUID leaf 0x15.
    Cpuid15,
    /// Hypervisor's CPUID leaf 0x40000010.
    Hypervisor,
    /// KVM's clock.
    KvmClock,
    /// Measured against the ACPI PM timer.
    PmTimer,
    /// Measured against the HPET.
    Hpet,
    /// Measured against the PIT.
    Pit,
    /// CPUID leaf 0x16, the base frequency.
    Cpuid16,
    /// Nothing is known.
    Guess,
}

impl Source {
    /// Every source; an index is its number.
    pub const ALL: [Self; 8] = [
        Self::Cpuid15,
        Self::Hypervisor,
        Self::KvmClock,
        Self::PmTimer,
        Self::Hpet,
        Self::Pit,
        Self::Cpuid16,
        Self::Guess,
    ];

    /// The source as one short word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cpuid15 => "cpuid-15",
            Self::Hypervisor => "hypervisor",
            Self::KvmClock => "kvm-clock",
            Self::PmTimer => "pm-timer",
            Self::Hpet => "hpet",
            Self::Pit => "pit",
            Self::Cpuid16 => "cpuid-16",
            Self::Guess => "guess",
        }
    }
}

/// A rate and where it comes from.
pub type Sourced = (Source, u64);

/// Sources that tell a rate.
pub const TELLERS: usize = 3;

/// All that is known of a counter's rate.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known {
    /// Rates that were told, the most trusted first.
    pub told: [Option<Sourced>; TELLERS],
    /// The rate that was measured.
    pub measured: Option<Sourced>,
    /// About what it should be.
    pub base_hz: Option<u64>,
}

/// The rate to go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Ticks a second.
    pub hz: u64,
    /// Where that comes from.
    pub source: Source,
    /// A rate that was told, and is another one.
    pub denied: Option<Sourced>,
}

/// Rates that differ by less than one part in this many are the same: a crystal is right to 100 ppm, and a measurement on a
/// busy emulator to a few parts in a thousand. An overclocked or migrated machine is off by more.
const SAME: u64 = 100;

fn is_same(a: u64, b: u64) -> bool {
    a.abs_diff(b) <= a.min(b) / SAME
}

/// Chooses the rate to go by; `guess_hz` is for when nothing is known.
///
/// A rate that was told is exact, one that was measured is true. So the first told rate wins that the measured one does not
/// deny, and the measured one if it denies all. With nothing measured the first told one wins. A told rate that differs
/// from the winner's is reported, the first of them.
#[must_use]
pub fn choose(known: &Known, guess_hz: u64) -> Choice {
    let told = || known.told.iter().flatten().copied();
    let confirmed =
        |&(_, hz): &Sourced| known.measured.is_none_or(|(_, measured_hz)| is_same(hz, measured_hz));
    let base = known.base_hz.map(|hz| (Source::Cpuid16, hz));
    let winner = told().find(confirmed).or(known.measured).or(base);
    let (source, hz) = winner.unwrap_or((Source::Guess, guess_hz));
    Choice { hz, source, denied: told().find(|(_, told_hz)| !is_same(*told_hz, hz)) }
}
