//! What follows a look.

use super::super::measure::tests::of_rate;
use super::*;

const UNITS: u64 = 1 << 20;

fn view(running: usize) -> View {
    View { now_ns: 0, running, left: UNITS - 1, ranges: 1, sampled: Sampled::default() }
}

/// Returns the search of a trial of `candidate` threads against `anchor` threads of rate 1000, whose variance is 2 %.
fn trial(anchor: usize, candidate: usize) -> Search {
    let mut search = Search::new(anchor, 16, UNITS);
    search.begin(Stage::First, anchor);
    search.ladder.anchor.measured = Some(of_rate(1000, 20_000));
    search.ladder.try_count(candidate, false);
    search.begin(Stage::Candidate, candidate);
    search
}

#[test]
fn a_search_that_comes_to_nothing_is_postponed_twice() {
    let mut search = Search::new(4, 16, UNITS);
    for _ in 0..MAX_POSTPONEMENTS {
        assert_eq!(search.give_up(Stage::First, &view(4)), Next::Postpone(LATE_SHARE));
        search.postpone();
    }
    assert_eq!(search.give_up(Stage::First, &view(4)), Next::Hold);
}

#[test]
fn time_is_spent_on_the_larger_count_while_a_trial_is_unsure() {
    // The candidate has half of the anchor's variance, and the larger count a gain of three fifths.
    let fewer = trial(8, 4).look(Stage::Candidate, &view(4), &of_rate(625, 10_000));
    assert_eq!(fewer, Next::Measure(Stage::Anchor));
    let more = trial(4, 8).look(Stage::Candidate, &view(8), &of_rate(1600, 10_000));
    assert_eq!(more, Next::Wait);
}
