//! When a CPU counts as hung, and when it does not.

use lockup::{Lockup, LockupDetector, ROUNDS, Sample};
use proptest::prelude::*;

const TIMEOUT_NS: u64 = 10_000_000_000;

const FINE: Sample = Sample { now_ns: 0, answered: true, progressed: true, queued: true };
const SILENT: Sample = Sample { answered: false, ..FINE };
const STARVED: Sample = Sample { progressed: false, ..FINE };

/// Looks as often as is due, all with the same result; how often until something is wrong, and what.
fn looks(
    detector: &mut LockupDetector,
    now_ns: &mut u64,
    sample: Sample,
    most: u64,
) -> Option<(u64, Lockup)> {
    (1..=most).find_map(|look| {
        *now_ns += detector.round_ns();
        detector.sample(Sample { now_ns: *now_ns, ..sample }).map(|lockup| (look, lockup))
    })
}

#[test]
fn a_hang_is_found_in_the_time_allowed() {
    for (sample, lockup) in
        [(SILENT, Lockup::Hard { ns: TIMEOUT_NS }), (STARVED, Lockup::Soft { ns: TIMEOUT_NS })]
    {
        let (mut detector, mut now_ns) = (LockupDetector::new(TIMEOUT_NS, 0), 0);
        assert_eq!(looks(&mut detector, &mut now_ns, sample, 100), Some((ROUNDS, lockup)));
        assert_eq!(now_ns, TIMEOUT_NS);
    }
}

#[test]
fn one_good_look_begins_anew() {
    let (mut detector, mut now_ns) = (LockupDetector::new(TIMEOUT_NS, 0), 0);
    for sample in [SILENT, STARVED] {
        for _ in 0..5 {
            assert_eq!(looks(&mut detector, &mut now_ns, sample, ROUNDS - 1), None);
            assert_eq!(looks(&mut detector, &mut now_ns, FINE, 1), None);
        }
    }
    let idle = Sample { progressed: false, queued: false, ..FINE };
    assert_eq!(looks(&mut detector, &mut now_ns, idle, 100), None, "nobody waits");
}

#[test]
fn a_machine_that_was_stopped_does_not_hang() {
    for sample in [SILENT, STARVED] {
        let (mut detector, mut now_ns) = (LockupDetector::new(TIMEOUT_NS, 0), 0);
        for _ in 0..20 {
            // Stopped for as long as one likes, in the middle of a round: the first look may find anything.
            now_ns += 6 * TIMEOUT_NS;
            assert_eq!(detector.sample(Sample { now_ns, ..sample }), None);
            assert_eq!(looks(&mut detector, &mut now_ns, FINE, 1), None);
        }
        // And a hang right after it is found all the same.
        assert!(looks(&mut detector, &mut now_ns, sample, ROUNDS).is_some());
    }
}

#[test]
fn looks_in_haste_do_not_add_up_to_a_hang() {
    let mut detector = LockupDetector::new(TIMEOUT_NS, 0);
    for now_ns in 1..1000 {
        assert_eq!(detector.sample(Sample { now_ns, ..SILENT }), None);
    }
}

proptest! {
    /// Never without as many bad looks in a row as there are rounds, and as much time.
    #[test]
    fn never_too_early(steps in prop::collection::vec((0u64..3 * TIMEOUT_NS, 0u8..8), 1..200)) {
        let mut detector = LockupDetector::new(TIMEOUT_NS, 0);
        let (mut now_ns, mut silent, mut starved) = (0, (0u64, 0u64), (0u64, 0u64));
        for (ns, bits) in steps {
            now_ns += ns;
            let (answered, progressed, queued) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
            let count = |is_good, (looks, bad_ns)| if is_good { (0, 0) } else { (looks + 1, bad_ns + ns) };
            silent = count(answered, silent);
            starved = count(progressed || !queued, starved);
            let enough = |(looks, bad_ns)| looks >= ROUNDS && bad_ns >= TIMEOUT_NS;
            match detector.sample(Sample { now_ns, answered, progressed, queued }) {
                Some(Lockup::Hard { .. }) => prop_assert!(enough(silent)),
                Some(Lockup::Soft { .. }) => prop_assert!(enough(starved)),
                None => {}
            }
        }
    }
}
