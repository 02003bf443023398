//! Which counts a search compares.

use super::super::measure::tests::of_rate;
use super::*;
use std::vec::Vec;

const MAX: usize = 32;

fn setting() -> Setting {
    Setting { max: MAX, cores: MAX, units: 1 << 20, smallest_chunk: 1, ranges: 1, known: None }
}

/// Returns a count of which all threads ran, and reached `rate`.
fn count(threads: usize, rate: u64) -> Count {
    Count { wanted: threads, ran: threads, measured: Some(of_rate(rate, 1)) }
}

/// Returns the ladder after a trial of `more` threads against `fewer` in which more were worthwhile.
fn ladder_above(fewer: Count, more: Count) -> Ladder {
    let mut ladder = Ladder::new(fewer.wanted);
    (ladder.anchor, ladder.candidate) = (fewer, more);
    ladder.conclude(Verdict { is_worthwhile: true, is_sure: true, is_certain: true });
    ladder.go_down();
    ladder
}

#[test]
fn workers_of_one_count_are_no_measure_of_the_other() {
    let mut ladder = Ladder::new(8);
    ladder.anchor.ran = 8;
    ladder.candidate = Count { ran: 6, ..Count::new(6) };
    // The candidate's six still run; those that the anchor needs besides are late.
    assert!(!ladder.differs(true, 6));
    assert!(ladder.differs(true, 7) && ladder.differs(true, 8));
    assert!(ladder.differs(false, 6) && !ladder.differs(false, 8));
}

#[test]
fn doubts_of_more_threads_tell_how_many_may_be_worthwhile() {
    let mut ladder = Ladder::new(8);
    assert_eq!(ladder.most(32), 8);
    for (wanted, is_sure, most) in [(16, false, 32), (16, true, 8), (10, false, 10), (10, true, 8)] {
        ladder.too_many = Some(Limit { wanted, is_sure });
        assert_eq!(ladder.most(32), most);
    }
}

#[test]
fn a_count_between_two_is_tried_where_it_may_reach_the_rate() {
    // Sixteen threads are three times as fast as four: twelve may be, fewer cannot.
    let mut ladder = ladder_above(count(4, 1000), count(16, 3000));
    assert_eq!(ladder.next_count(&setting()), Some(12));
}

#[test]
fn counts_that_are_too_few_are_not_tried_again() {
    // The rate of the eight has grown since.
    let mut ladder = ladder_above(count(8, 1000), count(16, 1000));
    assert_eq!(ladder.next_count(&setting()), Some(9));
}

#[test]
fn a_peak_is_looked_for_above_threads_that_are_worth_their_number() {
    let mut ladder = ladder_above(count(4, 1000), count(8, 2000));
    assert_eq!(ladder.next_count(&setting()), Some(11));
    assert_eq!(ladder.next_count(&setting()), None, "it was looked for");
}

#[test]
fn a_count_that_is_measured_again_is_kept_once() {
    let mut known = [Known::default(); KNOWN_COUNTS];
    for (threads, rate) in [(8, 1000), (8, 1100), (4, 600), (8, 1200)] {
        Ladder::remember(&mut known, 8, &count(threads, rate));
    }
    let mut kept: Vec<_> = known.iter().map(|known| (known.wanted, known.measured.rate)).collect();
    kept.sort_unstable();
    assert_eq!(kept, [(0, 0), (0, 0), (4, 600), (8, 1200)]);
}

#[test]
fn the_count_farthest_from_the_anchor_is_forgotten() {
    let mut known = [Known::default(); KNOWN_COUNTS];
    for threads in [4, 6, 8, 32, 10] {
        Ladder::remember(&mut known, 8, &count(threads, 1000));
    }
    let mut kept: Vec<_> = known.iter().map(|known| known.wanted).collect();
    kept.sort_unstable();
    assert_eq!(kept, [4, 6, 8, 10]);
}
