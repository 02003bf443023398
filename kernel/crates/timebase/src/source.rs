//! Choice of the clock's rate among announced and measured ones.

/// Source of a rate.
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
    /// No source: a guess.
    Guess,
}

impl Source {
    /// All sources, each at the index that is its number.
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

    /// Returns the source's word for log and records.
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

/// A rate with its source.
pub type Sourced = (Source, u64);

/// Number of sources that announce a rate.
pub const ANNOUNCING_SOURCES: usize = 3;

/// Known rates of a counter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known {
    /// Announced rates, the most trusted first.
    pub announced: [Option<Sourced>; ANNOUNCING_SOURCES],
    /// The measured rate.
    pub measured: Option<Sourced>,
    /// Nominal frequency, near the rate.
    pub base_hz: Option<u64>,
}

/// The chosen rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Ticks a second.
    pub hz: u64,
    /// Source of the rate.
    pub source: Source,
    /// An announced rate that differs from the chosen one.
    pub contradicted: Option<Sourced>,
}

/// Rates within one part in this many count as equal. A crystal is right to 100 ppm, a measurement on a busy emulator to a
/// few parts in a thousand. An overclocked or migrated machine is off by more.
const SAME: u64 = 100;

fn is_same(a: u64, b: u64) -> bool {
    a.abs_diff(b) <= a.min(b) / SAME
}

/// Chooses the clock's rate; `guess_hz` is used if no rate is known.
///
/// An announced rate is precise, a measured rate is true. The first announced rate that equals the measured rate wins, and
/// the measured rate if none does. Without a measurement the first announced rate wins. The first announced rate that
/// differs from the winner is returned as contradicted.
#[must_use]
pub fn choose(known: &Known, guess_hz: u64) -> Choice {
    let announced = || known.announced.iter().flatten().copied();
    let confirmed =
        |&(_, hz): &Sourced| known.measured.is_none_or(|(_, measured_hz)| is_same(hz, measured_hz));
    let base = known.base_hz.map(|hz| (Source::Cpuid16, hz));
    let winner = announced().find(confirmed).or(known.measured).or(base);
    let (source, hz) = winner.unwrap_or((Source::Guess, guess_hz));
    Choice { hz, source, contradicted: announced().find(|(_, announced_hz)| !is_same(*announced_hz, hz)) }
}
