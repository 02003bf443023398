//! Rates that CPUID and hypervisors announce: of real machines, and implausible ones.

use proptest::prelude::*;
use timebase::POSSIBLE_HZ;
use timebase::announced::{
    CrystalLeaf, KVM_CLOCK_BYTES, base_hz, family_and_model, hz_of_khz, known_crystal_hz, kvm_clock_hz,
};

fn leaf(denominator: u32, numerator: u32, crystal_hz: u32) -> CrystalLeaf {
    CrystalLeaf { denominator, numerator, crystal_hz }
}

#[test]
fn signatures() {
    assert_eq!(family_and_model(0x0005_06e3), (6, 0x5e));
    // The extended model does not count below family 6.
    assert_eq!(family_and_model(0x0005_0530), (5, 3));
    // AMD Zen 2.
    assert_eq!(family_and_model(0x0083_0f10), (0x17, 0x31));
}

#[test]
fn an_announced_crystal_is_multiplied() {
    // Tiger Lake: 38.4 MHz * 126 / 2 = 2419.2 MHz.
    let tiger_lake = leaf(2, 126, 38_400_000);
    assert_eq!(tiger_lake.tsc_hz(None), Some(2_419_200_000));
    assert_eq!(tiger_lake.crystal_hz(Some(24_000_000)), Some(38_400_000));
}

#[test]
fn a_missing_crystal_is_known_by_model() {
    let kaby_lake = known_crystal_hz(0x0008_06e9);
    assert_eq!(kaby_lake, Some(24_000_000));
    assert_eq!(leaf(2, 216, 0).tsc_hz(kaby_lake), Some(2_592_000_000));
    assert_eq!(known_crystal_hz(0x0005_06c9), Some(19_200_000), "Goldmont");
    assert_eq!(known_crystal_hz(0x0005_06f1), Some(25_000_000), "Denverton");
    assert_eq!(known_crystal_hz(0x0005_0654), None, "Skylake servers: not one crystal for all");
    assert_eq!(leaf(2, 216, 0).tsc_hz(None), None);
}

#[test]
fn an_empty_leaf_announces_no_rate() {
    for (denominator, numerator) in [(0, 0), (0, 5), (5, 0)] {
        assert_eq!(leaf(denominator, numerator, 24_000_000).tsc_hz(Some(24_000_000)), None);
        assert_eq!(leaf(denominator, numerator, 24_000_000).crystal_hz(Some(24_000_000)), None);
    }
}

#[test]
fn base_frequency_is_16_bits_of_mhz() {
    assert_eq!(base_hz(0xffff_0a28), Some(2_600_000_000));
    assert_eq!(base_hz(0xffff_0000), None);
}

#[test]
fn hypervisors_announce_khz() {
    assert_eq!(hz_of_khz(2_591_998), Some(2_591_998_000));
    assert_eq!(hz_of_khz(0), None);
}

fn kvm_clock(version: u32, multiplier: u32, shift: i8) -> [u8; KVM_CLOCK_BYTES] {
    let mut bytes = [0; KVM_CLOCK_BYTES];
    bytes[..4].copy_from_slice(&version.to_le_bytes());
    bytes[24..28].copy_from_slice(&multiplier.to_le_bytes());
    bytes[28] = shift as u8;
    bytes
}

#[test]
fn kvm_announces_a_multiplier_and_a_shift() {
    // As KVM computes them for 2.592 GHz, and for a counter of 800 MHz.
    let hz = kvm_clock_hz(&kvm_clock(2, 3_314_017_975, -1)).unwrap();
    assert!(hz.abs_diff(2_592_000_000) < 10, "{hz}");
    let hz = kvm_clock_hz(&kvm_clock(4, 2_684_354_560, 1)).unwrap();
    assert_eq!(hz, 800_000_000);
}

#[test]
fn a_kvm_clock_that_is_being_written_or_empty_announces_no_rate() {
    assert_eq!(kvm_clock_hz(&kvm_clock(3, 3_314_017_975, -1)), None);
    assert_eq!(kvm_clock_hz(&kvm_clock(0, 3_314_017_975, -1)), None);
    assert_eq!(kvm_clock_hz(&kvm_clock(2, 0, -1)), None);
    assert_eq!(kvm_clock_hz(&kvm_clock(2, 1, -128)), None);
    assert_eq!(kvm_clock_hz(&kvm_clock(2, u32::MAX, 31)), None);
}

proptest! {
    #[test]
    fn nonsense_is_refused_or_possible(a: u32, b: u32, c: u32, known: u64, bytes: [u8; KVM_CLOCK_BYTES]) {
        let announced = [leaf(a, b, c).tsc_hz(Some(known)), leaf(a, b, c).tsc_hz(known_crystal_hz(a)), base_hz(a), hz_of_khz(b), kvm_clock_hz(&bytes)];
        for hz in announced.into_iter().flatten() {
            prop_assert!(POSSIBLE_HZ.contains(&hz));
        }
    }
}
