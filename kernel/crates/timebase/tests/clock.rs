//! A clock never goes backwards: not when its rate is set, and not on a CPU whose counter lags.

use proptest::prelude::*;
use timebase::{Clock, Rate};

const GUESS: Rate = Rate::from_hz(5_000_000_000);

#[test]
fn a_counter_below_the_origin_reads_as_zero() {
    let clock = Clock::new(1_000_000, Rate::from_hz(1_000_000_000));
    assert_eq!(clock.ns_at(999_999), 0);
    assert_eq!(clock.ns_at(0), 0);
    assert_eq!(clock.ns_at(1_000_007), 7);
}

#[test]
fn a_slower_counter_keeps_its_origin() {
    let clock = Clock::new(500, GUESS).with_rate(Rate::from_hz(1_000_000_000), 10_500);
    assert_eq!(clock.origin(), 500);
    assert_eq!(clock.ns_at(10_500), 10_000);
}

#[test]
fn a_faster_counter_continues_from_the_clocks_value() {
    let clock = Clock::new(100, GUESS);
    let shown_ns = clock.ns_at(30_100);
    let corrected = clock.with_rate(Rate::from_hz(60_000_000_000), 30_100);
    // Here the origin lies before the counter's zero.
    assert!(corrected.ns_at(30_100).abs_diff(shown_ns) <= 1);
    assert!(corrected.ns_at(30_100) >= shown_ns);
    assert!(corrected.ns_at(30_100 + 60_000).abs_diff(shown_ns + 1000) <= 1);
    assert_eq!(corrected.tick_at(0), 0, "long ago");
}

#[test]
fn deadlines_too_far_away_never_come() {
    for origin in [0, 1 << 40, u64::MAX - 5] {
        assert!(Clock::new(origin, GUESS).tick_at(u64::MAX) >= 1 << 62, "origin {origin}");
    }
}

proptest! {
    #[test]
    fn time_never_goes_back(origin in 0..1_u64 << 50, elapsed in 0..1_u64 << 40, hz in 1_000_000_u64..100_000_000_000) {
        let before = Clock::new(origin, GUESS);
        let ticks = origin + elapsed;
        let after = before.with_rate(Rate::from_hz(hz), ticks);
        prop_assert!(after.ns_at(ticks) >= before.ns_at(ticks));
        prop_assert!(after.ns_at(ticks + 1) >= after.ns_at(ticks));
    }

    #[test]
    fn a_tick_is_the_first_of_its_time(origin in 0..1_u64 << 50, elapsed in 1..1_u64 << 40, hz in 1_000_000_u64..100_000_000_000, ns in 1..1_u64 << 50) {
        let clock = Clock::new(origin, GUESS).with_rate(Rate::from_hz(hz), origin + elapsed);
        let tick = clock.tick_at(ns);
        prop_assume!(tick > 0 && tick < 1 << 62);
        prop_assert!(clock.ns_at(tick) >= ns && clock.ns_at(tick - 1) < ns);
    }
}
