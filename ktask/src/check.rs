//! Whether a job's description makes sense.

use crate::{Invalid, Job, MAX_NODE_RANGES, MAX_WORKERS, Platform, Unit};

/// Checks `job` and says how many units it has.
pub(crate) fn units<U: Unit, P: Platform>(job: &Job<'_, U>, platform: &P) -> Result<u64, Invalid> {
    let (start, end) = (job.range.start.raw(), job.range.end.raw());
    if end < start {
        return Err(Invalid::RangeReversed { start, end });
    }
    if job.min_chunk == 0 {
        return Err(Invalid::MinChunkZero);
    }
    if job.align == 0 {
        return Err(Invalid::AlignZero);
    }
    if job.max_threads == Some(0) {
        return Err(Invalid::MaxThreadsZero);
    }
    if let Some(threads) = job.threads_exact
        && !(1..=MAX_WORKERS).contains(&threads)
    {
        return Err(Invalid::ThreadsExactOutOfRange { threads });
    }
    if job.nodes.is_empty() {
        return Ok(end - start);
    }
    let covered = node_ranges(job, platform)?;
    if !job.gaps_allowed && covered != end - start {
        return Err(Invalid::NodeRangesLeaveGap { units: end - start, covered });
    }
    Ok(covered)
}

/// Checks the node ranges and adds up their units, which are disjoint and so do not overflow.
fn node_ranges<U: Unit, P: Platform>(job: &Job<'_, U>, platform: &P) -> Result<u64, Invalid> {
    if job.nodes.len() > MAX_NODE_RANGES {
        return Err(Invalid::TooManyNodeRanges { ranges: job.nodes.len() });
    }
    let nodes = platform.nodes().max(1);
    let mut covered = 0;
    for (index, range) in job.nodes.iter().enumerate() {
        let (start, end) = (range.start.raw(), range.end.raw());
        if range.node.0 as usize >= nodes {
            return Err(Invalid::NoSuchNode { index, node: range.node.0, nodes });
        }
        if end < start {
            return Err(Invalid::NodeRangeReversed { index, start, end });
        }
        if start < end && (range.start < job.range.start || job.range.end < range.end) {
            return Err(Invalid::NodeRangeOutside { index, start, end });
        }
        // At most 64 of them: comparing each with each needs no memory to sort in.
        for (other, before) in job.nodes[..index].iter().enumerate() {
            if range.start.max(before.start) < range.end.min(before.end) {
                return Err(Invalid::NodeRangesOverlap { index, other });
            }
        }
        covered += end - start;
    }
    Ok(covered)
}
