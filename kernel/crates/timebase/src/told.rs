//! Rates that CPUID leaves and hypervisors tell: numbers in, a rate or nothing out.

use crate::POSSIBLE_HZ;

fn possible(hz: u128) -> Option<u64> {
    u64::try_from(hz).ok().filter(|hz| POSSIBLE_HZ.contains(hz))
}

/// Family and model of a CPU, from register eax of CPUID leaf 1.
#[must_use]
pub const fn family_and_model(signature: u32) -> (u32, u32) {
    let (family, extended_family) = (signature >> 8 & 0xf, signature >> 20 & 0xff);
    let (model, extended_model) = (signature >> 4 & 0xf, signature >> 16 & 0xf);
    let family = if family == 0xf { family + extended_family } else { family };
    (family, if family >= 6 { extended_model << 4 | model } else { model })
}

/// The crystal's frequency of Intel CPUs that have leaf 0x15 and leave it out there. Not of model 0x55, of which
/// server and workstation parts have different ones.
#[must_use]
pub const fn known_crystal_hz(signature: u32) -> Option<u64> {
    match family_and_model(signature) {
        // Skylake and Kaby Lake clients.
        (6, 0x4e | 0x5e | 0x8e | 0x9e) => Some(24_000_000),
        // Goldmont, and its server part.
        (6, 0x5c) => Some(19_200_000),
        (6, 0x5f) => Some(25_000_000),
        _ => None,
    }
}

/// CPUID leaf 0x15: the TSC as a multiple of the core crystal clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrystalLeaf {
    /// eax
    pub denominator: u32,
    /// ebx
    pub numerator: u32,
    /// ecx; 0 where the CPU does not say.
    pub crystal_hz: u32,
}

impl CrystalLeaf {
    /// The crystal's frequency; `known_hz` is that of the CPU's model. Where a local APIC timer has no bus clock, it counts
    /// this.
    #[must_use]
    pub fn crystal_hz(self, known_hz: Option<u64>) -> Option<u64> {
        match (self.numerator, self.denominator, self.crystal_hz) {
            (0, ..) | (_, 0, _) => None,
            (_, _, 0) => known_hz,
            (_, _, hz) => possible(hz.into()),
        }
    }

    /// The TSC's rate.
    #[must_use]
    pub fn tsc_hz(self, known_hz: Option<u64>) -> Option<u64> {
        let crystal_hz = self.crystal_hz(known_hz)?;
        possible(u128::from(crystal_hz) * u128::from(self.numerator) / u128::from(self.denominator))
    }
}

/// CPUID leaf 0x16, eax: the base frequency in MHz, as sold. Near the TSC's rate, and no more than that.
#[must_use]
pub fn base_hz(eax: u32) -> Option<u64> {
    possible(u128::from(eax & 0xffff) * 1_000_000)
}

/// A rate in kHz, as hypervisors tell it in CPUID leaf 0x40000010: the TSC's in eax, the local APIC timer's in ebx.
#[must_use]
pub fn hz_of_khz(khz: u32) -> Option<u64> {
    possible(u128::from(khz) * 1000)
}

/// Bytes of the structure through which a KVM guest's CPU is told the time.
pub const KVM_CLOCK_BYTES: usize = 32;

/// The TSC's rate by KVM's clock: nanoseconds are `(ticks << shift) * multiplier >> 32`. `None` for a structure that the
/// host is changing, has not filled, or has filled with nonsense.
#[must_use]
pub fn kvm_clock_hz(bytes: &[u8; KVM_CLOCK_BYTES]) -> Option<u64> {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (version, multiplier, shift) = (word(0), word(24), bytes[28] as i8);
    if version == 0 || version % 2 != 0 || multiplier == 0 || !(-31..=31).contains(&shift) {
        return None;
    }
    let unshifted_hz = (1_000_000_000_u128 << 32) / u128::from(multiplier);
    let distance = u32::from(shift.unsigned_abs());
    possible(if shift < 0 { unshifted_hz << distance } else { unshifted_hz >> distance })
}
