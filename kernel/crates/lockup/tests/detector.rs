//! When a CPU counts as locked up, and when it does not.

use lockup::{Lockup, LockupDetector, SAMPLES_PER_TIMEOUT, Sample};
use proptest::prelude::*;

const TIMEOUT_NS: u64 = 10_000_000_000;

const GOOD: Sample = Sample { now_ns: 0, answered: true, progressed: true, queued: true };
/// A sign of a hard lockup, and one of a soft lockup.
const HARD: Sample = Sample { answered: false, ..GOOD };
const SOFT: Sample = Sample { progressed: false, ..GOOD };

/// Takes up to `most` equal samples, one each period; returns the lockup, and how many samples it took.
fn take_samples(
    detector: &mut LockupDetector,
    now_ns: &mut u64,
    sample: Sample,
    most: u64,
) -> Option<(u64, Lockup)> {
    (1..=most).find_map(|count| {
        *now_ns += detector.period_ns();
        detector.sample(Sample { now_ns: *now_ns, ..sample }).map(|lockup| (count, lockup))
    })
}

#[test]
fn a_lockup_is_found_within_the_timeout() {
    for (sample, lockup) in [(HARD, Lockup::Hard { ns: TIMEOUT_NS }), (SOFT, Lockup::Soft { ns: TIMEOUT_NS })]
    {
        let (mut detector, mut now_ns) = (LockupDetector::new(TIMEOUT_NS, 0), 0);
        assert_eq!(
            take_samples(&mut detector, &mut now_ns, sample, 100),
            Some((SAMPLES_PER_TIMEOUT, lockup))
        );
        assert_eq!(now_ns, TIMEOUT_NS);
    }
}

#[test]
fn one_good_sample_resets_the_count() {
    let (mut detector, mut now_ns) = (LockupDetector::new(TIMEOUT_NS, 0), 0);
    for sample in [HARD, SOFT] {
        for _ in 0..5 {
            assert_eq!(take_samples(&mut detector, &mut now_ns, sample, SAMPLES_PER_TIMEOUT - 1), None);
            assert_eq!(take_samples(&mut detector, &mut now_ns, GOOD, 1), None);
        }
    }
    let idle = Sample { progressed: false, queued: false, ..GOOD };
    assert_eq!(take_samples(&mut detector, &mut now_ns, idle, 100), None, "no thread waits");
}

#[test]
fn a_machine_that_was_stopped_is_not_locked_up() {
    for sample in [HARD, SOFT] {
        let (mut detector, mut now_ns) = (LockupDetector::new(TIMEOUT_NS, 0), 0);
        for _ in 0..20 {
            // Stopped for any time, in the middle of a period: the first sample after that may be bad.
            now_ns += 6 * TIMEOUT_NS;
            assert_eq!(detector.sample(Sample { now_ns, ..sample }), None);
            assert_eq!(take_samples(&mut detector, &mut now_ns, GOOD, 1), None);
        }
        // A lockup right after the stop is found as usual.
        assert!(take_samples(&mut detector, &mut now_ns, sample, SAMPLES_PER_TIMEOUT).is_some());
    }
}

#[test]
fn frequent_samples_do_not_add_up_to_a_lockup() {
    let mut detector = LockupDetector::new(TIMEOUT_NS, 0);
    for now_ns in 1..1000 {
        assert_eq!(detector.sample(Sample { now_ns, ..HARD }), None);
    }
}

proptest! {
    /// A lockup takes [`SAMPLES_PER_TIMEOUT`] bad samples in a row, and the whole timeout.
    #[test]
    fn never_too_early(steps in prop::collection::vec((0u64..3 * TIMEOUT_NS, 0u8..8), 1..200)) {
        let mut detector = LockupDetector::new(TIMEOUT_NS, 0);
        let (mut now_ns, mut hard, mut soft) = (0, (0u64, 0u64), (0u64, 0u64));
        for (ns, bits) in steps {
            now_ns += ns;
            let (answered, progressed, queued) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
            let count = |is_good, (samples, bad_ns)| if is_good { (0, 0) } else { (samples + 1, bad_ns + ns) };
            hard = count(answered, hard);
            soft = count(progressed || !queued, soft);
            let enough = |(samples, bad_ns)| samples >= SAMPLES_PER_TIMEOUT && bad_ns >= TIMEOUT_NS;
            match detector.sample(Sample { now_ns, answered, progressed, queued }) {
                Some(Lockup::Hard { .. }) => prop_assert!(enough(hard)),
                Some(Lockup::Soft { .. }) => prop_assert!(enough(soft)),
                None => {}
            }
        }
    }
}
