//! CPU time and other counts of threads and groups.
//!
//! Relaxed throughout unless said otherwise: each word is written by one CPU at a time, ordered by `on_cpu` (invariant 3)
//! and the run queues' locks (invariant 4); others read it for reports.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

use crate::arch::tsc;

/// A clock of CPU time, which needs no store to be right while it runs.
///
/// While the clock is stopped, the word is the time used. While it runs, the word is [`RUNS`] and the time at which a clock
/// that never stopped would have been started. One word, so that a reader on another CPU never sees half a change.
#[derive(Debug)]
pub(super) struct RunClock(AtomicU64);

/// No CPU: of a thread that has run on none, or has no deadline.
pub(super) const NO_CPU: usize = usize::MAX;

const RUNS: u64 = 1 << 63;

impl RunClock {
    /// A stopped clock that has not run yet.
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Starts the stopped clock. One writer at a time.
    #[inline(always)]
    pub(super) fn start(&self, now_ns: u64) {
        // The CPU that stopped it may be ahead of this one; the time used never is.
        self.0.store(now_ns.saturating_sub(self.0.load(Relaxed)) | RUNS, Relaxed);
    }

    /// Stops the running clock, on the CPU that started it. One writer at a time.
    #[inline(always)]
    pub(super) fn stop(&self, now_ns: u64) {
        // On one CPU `now_ns` is not before the start. The difference still has the flag, which is cleared.
        self.0.store(now_ns.wrapping_sub(self.0.load(Relaxed)) ^ RUNS, Relaxed);
    }

    /// Whether the clock runs at this moment.
    pub(super) fn is_running(&self) -> bool {
        self.0.load(SeqCst) & RUNS != 0
    }

    /// Returns the time used up to now. For a clock that another CPU is about to stop the answer may be ahead by as long as
    /// that takes, and smaller the next time.
    pub(super) fn read(&self) -> u64 {
        loop {
            let word = self.0.load(SeqCst);
            if word & RUNS == 0 {
                return word;
            }
            let now_ns = tsc::now_ns();
            // The same before and after: the clock ran all the while, and the time was read in between.
            if self.0.load(SeqCst) == word {
                return now_ns.saturating_sub(word & !RUNS);
            }
        }
    }
}

/// Adds to a counter that has one writer at a time. Of nanoseconds, it would wrap after 584 years.
#[inline(always)]
pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(amount), Relaxed);
}

/// What a thread has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// CPU time, in nanoseconds.
    pub cpu_time_ns: u64,
    /// Time in run queues, in nanoseconds.
    pub run_delay_ns: u64,
    /// Number of switches to it.
    pub switches: u64,
    /// Number of times that it ran on another CPU than before.
    pub migrations: u64,
}

/// A thread's clock and counters.
pub(super) struct Account {
    pub(super) cpu_time: RunClock,
    run_delay_ns: AtomicU64,
    queued_at_ns: AtomicU64,
    switches: AtomicU64,
    migrations: AtomicU64,
    /// The CPU that it ran on last, or [`NO_CPU`].
    ran_on: AtomicUsize,
}

impl Account {
    pub(super) fn new(now_ns: u64) -> Self {
        Self {
            cpu_time: RunClock::new(),
            run_delay_ns: AtomicU64::new(0),
            queued_at_ns: AtomicU64::new(now_ns),
            switches: AtomicU64::new(0),
            migrations: AtomicU64::new(0),
            ran_on: AtomicUsize::new(NO_CPU),
        }
    }

    /// Counts a switch to the thread, which was queued until now.
    #[inline(always)]
    pub(super) fn note_running(&self, now_ns: u64) {
        self.cpu_time.start(now_ns);
        add(&self.run_delay_ns, now_ns.saturating_sub(self.queued_at_ns.load(Relaxed)));
        add(&self.switches, 1);
    }

    /// Whether the thread ran on CPU number `cpu` last.
    #[inline(always)]
    pub(super) fn ran_on(&self, cpu: usize) -> bool {
        self.ran_on.load(Relaxed) == cpu
    }

    /// Counts a migration to CPU number `cpu`.
    pub(super) fn note_cpu(&self, cpu: usize) {
        add(&self.migrations, u64::from(self.ran_on.load(Relaxed) != NO_CPU));
        self.ran_on.store(cpu, Relaxed);
    }

    /// Starts the run delay: the thread is queued from now on.
    #[inline(always)]
    pub(super) fn note_queued(&self, now_ns: u64) {
        self.queued_at_ns.store(now_ns, Relaxed);
    }

    /// Returns when the thread was queued last.
    pub(super) fn queued_at_ns(&self) -> u64 {
        self.queued_at_ns.load(Relaxed)
    }

    /// Returns all of it up to now, with the current run delay if the thread `is_queued`.
    pub(super) fn usage(&self, is_queued: &AtomicBool) -> Usage {
        Usage {
            cpu_time_ns: self.cpu_time.read(),
            run_delay_ns: self.run_delay_ns(is_queued),
            switches: self.switches.load(Relaxed),
            migrations: self.migrations.load(Relaxed),
        }
    }

    fn run_delay_ns(&self, is_queued: &AtomicBool) -> u64 {
        loop {
            let run_delay_ns = self.run_delay_ns.load(SeqCst);
            if !is_queued.load(SeqCst) {
                return run_delay_ns;
            }
            let delay_ns = tsc::now_ns().saturating_sub(self.queued_at_ns.load(SeqCst));
            // The same before and after: the current delay is not counted yet, or has begun meanwhile.
            if is_queued.load(SeqCst) && self.run_delay_ns.load(SeqCst) == run_delay_ns {
                return run_delay_ns + delay_ns;
            }
        }
    }
}
