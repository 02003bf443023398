//! How much of the machine the kernel's jobs may use. No job chooses for itself: [`Kind`] makes all of them.
//!
//! While the machine boots, nothing else needs it. Once it is up, other threads do: a job then keeps to the limits of
//! [`Profile::Runtime`], its helpers have the lowest weight, and they stay within the mask and the quota of its caller.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use ktask::{Job, NodeRange, Profile, Tuning, Unit};

/// Whether the boot has ended.
static IS_UP: AtomicBool = AtomicBool::new(false);

/// Ends the boot, for jobs: from now on they leave room for other threads.
pub fn machine_is_up() {
    IS_UP.store(true, SeqCst);
}

fn profile() -> Profile {
    if IS_UP.load(SeqCst) { Profile::Runtime } else { Profile::Boot }
}

/// A kind of job, a static for each: its name in a trace, and the thread count that its runs have learned.
#[derive(Debug)]
pub struct Kind {
    name: &'static str,
    tuning: Tuning,
}

impl Kind {
    /// Makes a kind whose jobs have `name`.
    pub const fn new(name: &'static str) -> Self {
        Self { name, tuning: Tuning::new() }
    }

    /// Describes a job of this kind over `range`, on `threads` threads (`None`: as many as help).
    pub fn job<U: Unit>(&self, range: Range<U>, threads: Option<usize>) -> Job<'_, U> {
        self.with_manners(Job::new(range), threads)
    }

    /// Describes a job of this kind over several ranges, each on its node, on `threads` threads (`None`: as many as help).
    pub fn job_over_nodes<'a, U: Unit>(
        &'a self,
        ranges: &'a [NodeRange<U>],
        threads: Option<usize>,
    ) -> Job<'a, U> {
        self.with_manners(Job::over_nodes(ranges), threads)
    }

    /// An exact number of threads is a measurement: no limit applies, and nothing is learned.
    fn with_manners<'a, U: Unit>(&'a self, job: Job<'a, U>, threads: Option<usize>) -> Job<'a, U> {
        let job = job.name(self.name).profile(profile());
        match threads {
            Some(threads) => job.threads_exact(threads),
            None => job.tuning(&self.tuning),
        }
    }
}
