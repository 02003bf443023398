//! Reports each chunk to a platform that traces.

use crate::TracedChunk;
use crate::platform::Platform;

/// Calls `run_chunk`, which runs `chunk`. If the job is traced, reports start and end of the chunk
/// to `platform`.
#[inline]
pub(super) fn traced<P: Platform>(
    platform: &P,
    trace_id: u64,
    chunk: TracedChunk,
    run_chunk: impl FnOnce() -> bool,
) -> bool {
    if trace_id == 0 {
        return run_chunk();
    }
    platform.chunk_begins(trace_id, chunk);
    let is_done = run_chunk();
    platform.chunk_ends(trace_id, chunk, is_done);
    is_done
}
