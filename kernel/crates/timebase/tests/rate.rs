//! A timer set to the tick of a deadline never fires early, nor late by a tick.

use proptest::prelude::*;
use timebase::Rate;

const YEAR_NS: u64 = 365 * 86_400 * 1_000_000_000;

#[test]
fn known_rates() {
    let rate = Rate::from_hz(1_000_000_000);
    assert_eq!((rate.to_ns(12_345), rate.first_tick_at(12_345)), (12_345, 12_345));
    let rate = Rate::from_hz(2_000_000_000);
    assert_eq!((rate.to_ns(3), rate.first_tick_at(1)), (1, 2));
    assert_eq!(rate.first_tick_at(0), 0);
}

#[test]
fn a_deadline_too_far_away_is_never() {
    for hz in [4_000_000_001, 5_000_000_000, 20_000_000_000] {
        assert_eq!(Rate::from_hz(hz).first_tick_at(u64::MAX), u64::MAX);
        assert_eq!(Rate::from_hz(hz).first_tick_at(1 << 62), u64::MAX);
    }
}

/// Firmware may announce any rate.
#[test]
fn nonsense_does_no_harm() {
    for hz in [0, 1, u64::MAX] {
        let rate = Rate::from_hz(hz);
        let _ = (rate.to_ns(u64::MAX), rate.first_tick_at(u64::MAX));
        assert_eq!(Rate::from_factor(rate.factor()), rate);
    }
}

proptest! {
    #[test]
    fn the_first_tick_is_the_first(hz in 1_000_000_u64..20_000_000_000, ns in 1..10 * YEAR_NS) {
        let rate = Rate::from_hz(hz);
        let tick = rate.first_tick_at(ns);
        prop_assume!(tick < u64::MAX);
        prop_assert!(rate.to_ns(tick) >= ns, "it fires at {} ns, {} too early", rate.to_ns(tick), ns - rate.to_ns(tick));
        prop_assert!(rate.to_ns(tick - 1) < ns);
    }

    #[test]
    fn time_is_right_to_a_billionth(hz in 100_000_000_u64..10_000_000_000, ms in 1_u64..100_000_000) {
        let ns = Rate::from_hz(hz).to_ns((u128::from(hz) * u128::from(ms) / 1000) as u64);
        prop_assert!(ns.abs_diff(ms * 1_000_000) <= ms / 400 + 20, "{ns} of {ms} ms");
    }
}
