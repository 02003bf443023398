//! The chunks of a job that failed.

use super::plan::Request;
use crate::chunk::RawChunk;
use crate::cursor::Cursors;
use crate::raw::CellList;
use crate::record::WorkerRecord;

/// The chunks that failed. The undo leaves them out.
#[derive(Clone, Copy)]
pub(super) enum Failed<'f> {
    /// The failed chunk of a job on its caller alone; without units if none failed.
    One(&'f RawChunk),
    /// At most one failed chunk per worker.
    Team(&'f WorkerRecord, CellList),
}

/// Called after a run with the chunks that failed, which lie on the stack of the run. It is not a closure, which
/// would take stack.
pub(super) type AfterRun<P> = fn(&mut Request<'_, P>, &Cursors<'_>, Failed<'_>);

impl Failed<'_> {
    /// Calls `undo` for the parts of `chunk` that did not fail.
    pub(super) fn undo_others(&self, chunk: &RawChunk, undo: &dyn Fn(RawChunk)) {
        let mut start = chunk.start;
        while start < chunk.end {
            let (failed_start, failed_end) =
                self.first_overlapping(start, chunk.end).unwrap_or((chunk.end, chunk.end));
            if start < failed_start {
                undo(RawChunk { start, end: failed_start, ..*chunk });
            }
            start = failed_end;
        }
    }

    /// Returns the failed chunk that starts first among those that share units with `start..end`.
    /// It may begin before `start` or end after `end`: the undo cuts its own chunks.
    fn first_overlapping(&self, start: u64, end: u64) -> Option<(u64, u64)> {
        let overlaps = |chunk: &(u64, u64)| chunk.0 < chunk.1 && chunk.0 < end && start < chunk.1;
        match self {
            Self::One(failed) => Some((failed.start, failed.end)).filter(overlaps),
            Self::Team(caller, helpers) => {
                records(caller, *helpers).filter_map(WorkerRecord::failed).filter(overlaps).min()
            }
        }
    }
}

/// Returns the records of all workers of a job.
pub(super) fn records(caller: &WorkerRecord, helpers: CellList) -> impl Iterator<Item = &WorkerRecord> {
    core::iter::once(caller).chain(helpers.map(|cell| &cell.record))
}
