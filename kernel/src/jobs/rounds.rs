//! Jobs that take several rounds, one after the other.

use ktask::Stats;

/// Adds the statistics of a round to those of the rounds before it.
pub fn add_stats(total: &mut Stats, round: &Stats) {
    total.threads_used = total.threads_used.max(round.threads_used);
    total.threads_at_end = total.threads_at_end.max(round.threads_at_end);
    total.units += round.units;
    total.chunks += round.chunks;
    total.local_chunks = match (total.local_chunks, round.local_chunks) {
        (Some(local), Some(more)) => Some(local + more),
        (one, other) => one.or(other),
    };
    total.wall_ns += round.wall_ns;
    total.cpu_ns += round.cpu_ns;
    total.spread_ns += round.spread_ns;
}
