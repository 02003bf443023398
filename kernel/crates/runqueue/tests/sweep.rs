//! Searches in steps: every entry within one round after each request.
#![cfg(not(loom))]

use proptest::prelude::*;
use runqueue::Sweep;

const ENTRIES: usize = 13;

#[test]
fn a_search_that_was_not_requested_is_over() {
    let mut sweep = Sweep::<ENTRIES>::new();
    assert!(sweep.is_over());
    assert!(sweep.step(5).is_empty());
}

#[test]
fn a_search_can_end_early_and_begin_again() {
    let mut sweep = Sweep::<ENTRIES>::new();
    sweep.request();
    assert_eq!(sweep.step(5), 0..5);
    sweep.end();
    assert!(sweep.is_over() && sweep.step(5).is_empty());
    sweep.request();
    assert_eq!([sweep.step(5), sweep.step(5), sweep.step(6)], [5..10, 10..13, 0..5]);
    assert!(sweep.is_over() && sweep.step(5).is_empty());
}

proptest! {
    /// Requests come at any time: each entry is searched between the last request and the end, and no entry twice more
    /// than there were requests.
    #[test]
    fn every_entry_is_searched_after_the_last_request(
        steps in prop::collection::vec((1..7_usize, any::<bool>()), 0..40),
    ) {
        let mut sweep = Sweep::<ENTRIES>::new();
        let mut since_request = [0; ENTRIES];
        let search = |sweep: &mut Sweep<ENTRIES>, most, seen: &mut [u32; ENTRIES]| {
            let range = sweep.step(most);
            assert!(range.len() <= most);
            range.for_each(|entry| seen[entry] += 1);
        };
        for (most, is_request) in steps {
            if is_request {
                sweep.request();
                since_request = [0; ENTRIES];
            }
            search(&mut sweep, most, &mut since_request);
        }
        sweep.request();
        since_request = [0; ENTRIES];
        let mut rounds = 0;
        while !sweep.is_over() {
            search(&mut sweep, 4, &mut since_request);
            rounds += 1;
        }
        prop_assert_eq!(since_request, [1; ENTRIES]);
        prop_assert!(rounds <= ENTRIES.div_ceil(4) + 1);
    }
}
