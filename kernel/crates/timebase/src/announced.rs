//! Rates that CPUID leaves and hypervisors announce: registers in, a plausible rate or nothing out.

use crate::POSSIBLE_HZ;

fn possible(hz: u128) -> Option<u64> {
    u64::try_from(hz).ok().filter(|hz| POSSIBLE_HZ.contains(hz))
}

/// Returns family and model of a CPU, from register eax of CPUID leaf 1.
#[must_use]
pub const fn family_and_model(signature: u32) -> (u32, u32) {
    let (family, extended_family) = (signature >> 8 & 0xf, signature >> 20 & 0xff);
    let (model, extended_model) = (signature >> 4 & 0xf, signature >> 16 & 0xf);
    let family = if family == 0xf { family + extended_family } else { family };
    (family, if family >= 6 { extended_model << 4 | model } else { model })
}

/// Returns the crystal's frequency of Intel models whose leaf 0x15 leaves it out. Model 0x55 is missing: its server and
/// workstation parts differ.
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
    /// ecx; 0 if left out.
    pub crystal_hz: u32,
}

impl CrystalLeaf {
    /// Returns the crystal's frequency; `known_hz` is the frequency by model. A local APIC timer without a bus clock counts
    /// at this rate.
    #[must_use]
    pub fn crystal_hz(self, known_hz: Option<u64>) -> Option<u64> {
        match (self.numerator, self.denominator, self.crystal_hz) {
            (0, ..) | (_, 0, _) => None,
            (_, _, 0) => known_hz,
            (_, _, hz) => possible(hz.into()),
        }
    }

    /// Returns the TSC's rate.
    #[must_use]
    pub fn tsc_hz(self, known_hz: Option<u64>) -> Option<u64> {
        let crystal_hz = self.crystal_hz(known_hz)?;
        possible(u128::from(crystal_hz) * u128::from(self.numerator) / u128::from(self.denominator))
    }
}

/// Returns the nominal base frequency from CPUID leaf 0x16, eax, in MHz there. It is near the TSC's rate, not exact.
#[must_use]
pub fn base_hz(eax: u32) -> Option<u64> {
    possible(u128::from(eax & 0xffff) * 1_000_000)
}

/// Converts a rate in kHz of CPUID leaf 0x40000010: the TSC's in eax, the local APIC timer's in ebx.
#[must_use]
pub fn hz_of_khz(khz: u32) -> Option<u64> {
    possible(u128::from(khz) * 1000)
}

/// Bytes of the structure through which KVM passes time to a guest's CPU.
pub const KVM_CLOCK_BYTES: usize = 32;

/// Returns the TSC's rate by KVM's clock, whose nanoseconds are `(ticks << shift) * multiplier >> 32`. Returns `None` if the
/// host is changing the structure, has not filled it, or filled it with implausible values.
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
