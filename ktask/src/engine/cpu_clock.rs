//! The CPU time of a worker's part of a job.

use crate::platform::Platform;

/// Wall time after which reading a slow CPU clock no longer shows in the cost of a job.
const WORTH_READING_NS: u64 = 50_000;

/// Measures the CPU time that a worker uses.
///
/// Where reading the thread's CPU time costs a system call, two reads would take longer than a small
/// job. There the CPU clock is first read when the job has lasted [`WORTH_READING_NS`], between two
/// chunks. The time before counts as wall time.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuClock {
    /// When the worker began.
    started_ns: u64,
    /// The thread's CPU time when it was first read, less the wall time since the worker began.
    offset_ns: Option<u64>,
}

impl CpuClock {
    /// Starts to measure at `now_ns`. `is_long` tells whether the job is long enough for a slow clock.
    pub(super) fn start<P: Platform>(platform: &P, now_ns: u64, is_long: bool) -> Self {
        let reads = is_long || platform.thread_time_is_cheap();
        Self { started_ns: now_ns, offset_ns: reads.then(|| platform.thread_time_ns()) }
    }

    /// Reads the CPU clock if the worker has lasted long enough at `now_ns`, between two chunks.
    pub(super) fn tick<P: Platform>(&mut self, platform: &P, now_ns: u64) {
        let lasted_ns = now_ns.saturating_sub(self.started_ns);
        if self.offset_ns.is_none() && lasted_ns >= WORTH_READING_NS {
            // Wraps if the thread has used less CPU time than the worker's wall time: `used_ns` adds
            // it again.
            self.offset_ns = Some(platform.thread_time_ns().wrapping_sub(lasted_ns));
        }
    }

    /// Returns the time used until `now_ns`, in nanoseconds.
    pub(super) fn used_ns<P: Platform>(&self, platform: &P, now_ns: u64) -> u64 {
        match self.offset_ns {
            Some(offset_ns) => {
                let used_ns = platform.thread_time_ns().wrapping_sub(offset_ns);
                // A platform whose CPU clock goes backwards gets 0.
                if used_ns > u64::MAX / 2 { 0 } else { used_ns }
            }
            None => now_ns.saturating_sub(self.started_ns),
        }
    }
}
