//! A rate is measured right although some windows are wrong.

use proptest::prelude::*;
use timebase::windows::{MOST_WINDOWS, Measured, Window, judge};

const PM_TIMER_HZ: u64 = 3_579_545;
const TSC_HZ: u64 = 2_600_000_000;

/// A right window of `us` microseconds, with readings that are `late` ticks apart.
fn right(us: u64, late: u64) -> Window {
    Window { ticks: TSC_HZ / 1_000_000 * us + late, counts: PM_TIMER_HZ * us / 1_000_000, blur: late + 1000 }
}

/// A window in which the machine was stopped: the counters show different durations.
fn torn(us: u64, ticks_us: u64, counts_us: u64) -> Window {
    Window { ticks: right(us + ticks_us, 0).ticks, counts: right(us + counts_us, 0).counts, blur: 1000 }
}

fn assert_right(measured: Option<Measured>) {
    let hz = measured.expect("a rate").hz;
    assert!(hz.abs_diff(TSC_HZ) < TSC_HZ / 500, "{hz}");
}

#[test]
fn three_right_windows_are_enough() {
    let windows = [right(1300, 0), right(1301, 500), right(1300, 100)];
    assert_eq!(judge(&windows[..2], PM_TIMER_HZ), None);
    let measured = judge(&windows, PM_TIMER_HZ);
    assert_right(measured);
    assert!(measured.unwrap().is_sharp);
}

#[test]
fn a_machine_stopped_in_a_window_does_not_count() {
    // One counter stood still meanwhile, or the reference wrapped.
    for bad in [torn(1300, 2_000_000, 0), torn(1300, 0, 2_000_000), torn(1300, 5000, 313)] {
        let windows = [right(1300, 0), bad, right(1300, 0), right(1300, 0)];
        assert_right(judge(&windows, PM_TIMER_HZ));
        assert_eq!(judge(&windows[..3], PM_TIMER_HZ), None, "two, and one that contradicts them");
    }
}

#[test]
fn windows_of_which_most_are_wrong_give_no_rate() {
    let windows: Vec<_> = (1..=8).map(|n| torn(1300, n * 700, 0)).collect();
    assert_eq!(judge(&windows, PM_TIMER_HZ), None);
    // Three agree, four do not.
    let windows: Vec<_> = windows.into_iter().take(4).chain([right(1300, 0); 3]).collect();
    assert_eq!(judge(&windows, PM_TIMER_HZ), None);
    assert_right(judge(&windows[1..], PM_TIMER_HZ).or(judge(&windows[2..], PM_TIMER_HZ)));
}

#[test]
fn a_reference_that_stands_still_gives_no_rate() {
    let still = Window { ticks: 28_000_000, counts: 0, blur: 100 };
    assert_eq!(judge(&[still; MOST_WINDOWS], PM_TIMER_HZ), None);
    assert_eq!(judge(&[], PM_TIMER_HZ), None);
    let wild = Window { ticks: u64::MAX, counts: u64::MAX, blur: u64::MAX / 9 };
    let _ = judge(&[wild; MOST_WINDOWS], PM_TIMER_HZ);
    let frozen_counter = Window { ticks: 0, counts: 4653, blur: 0 };
    assert_eq!(judge(&[frozen_counter; MOST_WINDOWS], PM_TIMER_HZ), None);
}

/// Such a reference seems to have counted nearly its whole range in each window.
#[test]
fn a_reference_that_runs_backwards_gives_no_rate() {
    let back = Window { ticks: 3000, counts: (1 << 32) - 11, blur: 100 };
    assert_eq!(judge(&[back; 4], PM_TIMER_HZ), None);
}

#[test]
fn slow_readings_need_more_windows() {
    // Each reading takes 50 us: a nested hypervisor.
    let slow = Window { blur: 130_000, ..right(1300, 0) };
    let few = judge(&[slow; 3], PM_TIMER_HZ).unwrap();
    assert!(!few.is_sharp);
    let all = judge(&[slow; MOST_WINDOWS], PM_TIMER_HZ);
    assert_right(all);
    let blurred = Window { blur: 2_000_000, ..right(1300, 0) };
    assert_eq!(judge(&[blurred; MOST_WINDOWS], PM_TIMER_HZ), None);
}

proptest! {
    #[test]
    fn no_windows_do_harm(windows in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 0..MOST_WINDOWS), hz in 1_u64..10_000_000_000) {
        let windows: Vec<_> = windows.iter().map(|&(ticks, counts, blur)| Window { ticks, counts, blur }).collect();
        if let Some(measured) = judge(&windows, hz) {
            prop_assert!(timebase::POSSIBLE_HZ.contains(&measured.hz));
        }
    }

    #[test]
    fn a_minority_never_wins(bad in proptest::collection::vec((0_u64..100_000, 0_u64..100_000), 0..4), at in 0_usize..5) {
        let mut windows = vec![right(1300, 0); 5];
        for (ticks_us, counts_us) in bad {
            windows.insert(at, torn(1300, ticks_us, counts_us));
        }
        assert_right(judge(&windows, PM_TIMER_HZ));
    }
}
