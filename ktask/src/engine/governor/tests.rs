//! The governor before a machine that reports what a test says.

use super::*;
use crate::cursor::Samples;
use crate::sync;

const UNITS: u64 = 1 << 20;
const THREADS: usize = 4;

fn governor(known: Option<usize>) -> Governor {
    let max = 2 * THREADS;
    Governor::new(Setting { max, cores: max, units: UNITS, smallest_chunk: 1, ranges: 1, known })
}

/// Returns what there is to see when [`THREADS`] workers have run chunks of these times, each `times` times, and `left`
/// units are left.
fn view(chunks_ns: &[u64], times: u64, left: u64) -> View {
    let samples = Samples::new();
    for &ns in chunks_ns {
        samples.sample(Sampled::factor(UNITS, 1), ns);
        samples.sample_whole(Sampled::factor(UNITS, 1), ns, 0);
    }
    let once = samples.sampled();
    let sampled = Sampled {
        chunks: once.chunks * times,
        units: once.units * times,
        ns: once.ns * times,
        squares: once.squares * times,
        whole: once.whole * times,
        near: once.near * times,
        logs: once.logs * times,
        log_squares: once.log_squares * times,
    };
    View { now_ns: 1_000_000 + sampled.ns / THREADS as u64, running: THREADS, left, ranges: 1, sampled }
}

#[test]
fn chunks_of_varying_costs_get_one_length_if_they_are_long_enough() {
    sync::test(|| {
        for (cheap_ns, is_fixed) in [(4_000, false), (40_000, true)] {
            let mut governor = governor(None);
            assert_eq!(governor.threads(), THREADS);
            assert_eq!(governor.look(&view(&[], 0, UNITS)), Decision::Measure);
            let chunks_ns = [cheap_ns, cheap_ns, cheap_ns, 9 * cheap_ns];
            governor.look(&view(&chunks_ns, 32, UNITS - 128));
            assert_eq!(governor.chunk_units() > 0, is_fixed, "chunks of {cheap_ns} ns");
        }
    });
}

#[test]
fn a_held_count_is_not_judged_by_a_short_measurement() {
    sync::test(|| {
        for (units, decision) in [(8, Decision::Continue), (UNITS / HELD_SHARE, Decision::Measure)] {
            let mut governor = governor(Some(THREADS));
            assert_eq!(governor.look(&view(&[], 0, UNITS)), Decision::Measure);
            let seen = view(&[200_000], 8, UNITS - units);
            assert_eq!(governor.look(&seen), decision, "after {units} units");
        }
    });
}
