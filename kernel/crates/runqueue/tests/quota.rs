//! A group's bandwidth: all CPUs together stay within it, whatever they do and when.

use proptest::prelude::*;
use runqueue::quota::MIN_RUNTIME_SLICE_NS;
use runqueue::{Bandwidth, MAX_CPUS, Quota, QuotaError, RuntimeSlice, SLICE_NS};

const MS: u64 = 1_000_000;

#[test]
fn impossible_quotas_are_errors() {
    assert_eq!(Quota::new(0, 10 * MS), Err(QuotaError::Time(0)));
    assert_eq!(
        Quota::new(MIN_RUNTIME_SLICE_NS - 1, 10 * MS),
        Err(QuotaError::Time(MIN_RUNTIME_SLICE_NS - 1))
    );
    assert_eq!(Quota::new(u64::MAX, 10 * MS), Err(QuotaError::Time(u64::MAX)));
    for period_ns in [0, 1, MS - 1, 3_600_000 * MS + 1, u64::MAX] {
        assert_eq!(Quota::new(MS, period_ns), Err(QuotaError::Period(period_ns)));
    }
    assert_eq!(Quota::new(15 * MS, 10 * MS).unwrap().cpus(), 2);
    assert!(Quota::new(MAX_CPUS as u64 * MS, MS).is_ok());
    let text = QuotaError::Time(7).to_string();
    assert!(text.contains("a quota of 7 ns") && text.contains("100000"), "{text}");
}

#[test]
fn many_cpus_share_what_is_left() {
    let mut bandwidth = Bandwidth::new(Quota::new(10 * MS, 100 * MS).unwrap());
    let slices: Vec<RuntimeSlice> = (0..64).map(|_| bandwidth.take(5 * MS)).collect();
    let total_ns: u64 = slices.iter().map(|slice| slice.len_ns).sum();
    assert!(total_ns <= 10 * MS, "{total_ns}");
    assert!(slices.iter().filter(|slice| slice.len_ns > 0).count() >= 5, "{slices:?}");
    // A CPU that got nothing has to stop at once, and returns nothing.
    let none = slices.last().copied().unwrap();
    assert_eq!((none.len_ns, none.end_ns()), (0, 5 * MS));
    let left_ns = bandwidth.left_ns(5 * MS);
    bandwidth.return_runtime(none, 5 * MS);
    assert_eq!(bandwidth.left_ns(5 * MS), left_ns);
}

#[test]
fn unused_runtime_is_returned_in_its_own_period() {
    let mut bandwidth = Bandwidth::new(Quota::new(10 * MS, 100 * MS).unwrap());
    let slice = bandwidth.take(MS);
    assert_eq!(slice.len_ns, SLICE_NS);
    assert_eq!(bandwidth.take(MS).len_ns, (10 * MS - SLICE_NS) / 3);
    let mut bandwidth = Bandwidth::new(Quota::new(10 * MS, 100 * MS).unwrap());
    let slice = bandwidth.take(MS);
    bandwidth.return_runtime(slice, 2 * MS);
    assert_eq!(bandwidth.left_ns(2 * MS), 9 * MS);
    // A slice ends with the period, or a bit later. The next period has exactly its own quota.
    assert_eq!(bandwidth.take(98 * MS).end_ns(), 100 * MS);
    let slice = bandwidth.take(100 * MS - 1);
    assert_eq!(slice.len_ns, MIN_RUNTIME_SLICE_NS);
    bandwidth.charge(3 * MS, 100 * MS);
    bandwidth.return_runtime(slice, 100 * MS);
    assert_eq!(bandwidth.left_ns(101 * MS), 7 * MS);
}

#[test]
fn a_throttled_thread_looks_again_when_some_may_be_returned() {
    let mut bandwidth = Bandwidth::new(Quota::new(MIN_RUNTIME_SLICE_NS, 100 * MS).unwrap());
    let slice = bandwidth.take(MS);
    assert_eq!((slice.len_ns, bandwidth.left_ns(MS)), (MIN_RUNTIME_SLICE_NS, 0));
    assert_eq!(bandwidth.next_look_ns(MS), MS + SLICE_NS);
    assert_eq!(bandwidth.next_look_ns(99 * MS), 100 * MS);
    // Nothing of it is returned.
    bandwidth.return_runtime(slice, MS + MIN_RUNTIME_SLICE_NS);
    assert_eq!(bandwidth.next_look_ns(2 * MS), 100 * MS);
    // The first CPU does not take all of a small quota.
    let mut bandwidth = Bandwidth::new(Quota::new(4 * MS, 100 * MS).unwrap());
    assert_eq!([(); 3].map(|()| bandwidth.take(MS).len_ns), [2 * MS, 2 * MS / 3, 4 * MS / 12]);
}

#[test]
fn an_overrun_is_deducted_later() {
    let mut bandwidth = Bandwidth::new(Quota::new(10 * MS, 100 * MS).unwrap());
    bandwidth.charge(25 * MS, 50 * MS);
    assert_eq!(bandwidth.left_ns(50 * MS), 0);
    assert_eq!(bandwidth.left_ns(100 * MS), 0);
    assert_eq!(bandwidth.left_ns(200 * MS), 5 * MS);
    assert_eq!(bandwidth.left_ns(300 * MS), 10 * MS);
}

proptest! {
    /// CPUs run for their slice, or less, or until a late interrupt; sleep; and run again.
    #[test]
    fn all_cpus_together_keep_within_it(
        quota_us in 100_u64..40_000,
        period_us in 1_000_u64..100_000,
        steps in prop::collection::vec((0_usize..8, 0_u64..3, 0_u64..6_000, 0_u64..3_000), 1..400),
    ) {
        let quota = Quota::new(quota_us * 1000, period_us * 1000);
        prop_assume!(quota.is_ok());
        let quota = quota.unwrap();
        let mut bandwidth = Bandwidth::new(quota);
        // For each CPU: its slice, and until when it runs; else until when it sleeps.
        let mut running: [Option<(RuntimeSlice, u64)>; 8] = [None; 8];
        let (mut now_ns, mut ran_ns, mut late_ns) = (0, 0, 0);
        // CPU time in each period, and the late part of it.
        let mut periods = std::collections::BTreeMap::<u64, (u64, u64)>::new();
        let mut note = |slice: RuntimeSlice, end_ns: u64| {
            let late_from_ns = slice.taken_at_ns + slice.len_ns;
            let mut at_ns = slice.taken_at_ns;
            while at_ns < end_ns {
                let until_ns = quota.next_period_ns(at_ns).min(end_ns);
                let (ran_ns, late_ns) = periods.entry(at_ns / quota.period_ns()).or_default();
                *ran_ns += until_ns - at_ns;
                *late_ns += until_ns.saturating_sub(late_from_ns.max(at_ns));
                at_ns = until_ns;
            }
        };
        for (cpu, what, run_us, pause_us) in steps {
            // The next CPU whose time is up comes before later events.
            now_ns += pause_us * 1000;
            while let Some(ended) = (0..8).filter(|cpu| running[*cpu].is_some_and(|(_, end_ns)| end_ns <= now_ns))
                .min_by_key(|cpu| running[*cpu].unwrap().1)
            {
                let (slice, end_ns) = running[ended].take().unwrap();
                ran_ns += end_ns - slice.taken_at_ns;
                late_ns += (end_ns - slice.taken_at_ns).saturating_sub(slice.len_ns);
                note(slice, end_ns);
                bandwidth.return_runtime(slice, end_ns);
            }
            if running[cpu].is_none() {
                let slice = bandwidth.take(now_ns);
                prop_assert!(slice.len_ns <= SLICE_NS);
                let end_ns = match what {
                    // Blocks before its time is up; is stopped in time; is stopped late.
                    0 => slice.end_ns().min(now_ns + run_us * 1000),
                    1 => slice.end_ns(),
                    _ => slice.end_ns() + run_us,
                };
                running[cpu] = Some((slice, end_ns));
            }
        }
        for (slice, end_ns) in running.into_iter().flatten() {
            ran_ns += end_ns - slice.taken_at_ns;
            late_ns += (end_ns - slice.taken_at_ns).saturating_sub(slice.len_ns);
            note(slice, end_ns);
        }
        for (number, (ran_ns, late_ns)) in periods {
            // Each CPU may have taken the shortest slice just before the period began.
            let most_ns = quota.quota_ns() + late_ns + 8 * MIN_RUNTIME_SLICE_NS;
            prop_assert!(ran_ns <= most_ns, "{ran_ns} of {most_ns} in period {number}, {late_ns} late");
        }
        // Overruns are deducted later, as far as there was time for that; nothing else is over the quota.
        let granted_ns = quota.quota_ns() * (now_ns / quota.period_ns() + 1);
        prop_assert!(ran_ns <= granted_ns + late_ns, "{ran_ns} of {granted_ns}, {late_ns} late");
    }
}

/// A group does not owe a minute after the machine was stopped for a minute while one of its threads ran.
#[test]
fn time_for_which_the_machine_was_stopped_is_not_used() {
    const MINUTE: u64 = 60_000 * MS;
    let mut bandwidth = Bandwidth::new(Quota::new(2 * MS, 10 * MS).unwrap());
    let slice = bandwidth.take(0);
    bandwidth.return_runtime(slice, MINUTE);
    // At most a period is charged, which five later periods pay for.
    assert!(bandwidth.left_ns(MINUTE + 60 * MS) > 0, "{bandwidth:?}");
    // A helper that was stopped is charged for a second: 2 ms in each of 500 periods.
    bandwidth.charge(MINUTE, 2 * MINUTE);
    assert_eq!(bandwidth.left_ns(2 * MINUTE + 499 * 10 * MS), 0);
    assert_eq!(bandwidth.left_ns(2 * MINUTE + 500 * 10 * MS), 2 * MS);
}
