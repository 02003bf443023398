//! Platforms that misuse helper tasks in every way that safe code permits.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ktask::{HelperId, HelperTask, NodeId, Placement, Platform};

/// What a platform does with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Runs it on a thread, as it should.
    Threads,
    /// Runs it at once, on the job's caller.
    Inline,
    /// Gives every second one back.
    Refuses,
    /// Accepts it, and drops it.
    Drops,
    /// Keeps it until the caller waits, and runs it there.
    Hoards,
    /// Keeps it until the next helper is asked for, of this job or another, and runs it there.
    Mixes,
    /// Keeps it for ever.
    Keeps,
    /// Keeps it until a thread is woken, and runs it there.
    Wakes,
    /// Takes back helpers that it never had, and drops them.
    Forges,
}

impl Manner {
    pub const ALL: [Self; 9] = [
        Self::Threads,
        Self::Inline,
        Self::Refuses,
        Self::Drops,
        Self::Hoards,
        Self::Mixes,
        Self::Keeps,
        Self::Wakes,
        Self::Forges,
    ];
}

/// A platform of one [`Manner`], whose other answers are wrong or absurd.
#[derive(Clone)]
pub struct Hostile {
    manner: Manner,
    hoard: Arc<Mutex<Vec<HelperTask<Hostile>>>>,
    epoch: Instant,
}

impl Hostile {
    pub fn new(manner: Manner) -> Self {
        Self { manner, hoard: Arc::default(), epoch: Instant::now() }
    }

    fn hoarded(&self) -> Option<HelperTask<Self>> {
        self.hoard.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn hoard(&self, task: HelperTask<Self>) {
        self.hoard.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }
}

impl Platform for Hostile {
    type Thread = thread::Thread;

    fn online_cpus(&self) -> usize {
        usize::MAX
    }

    fn now_ns(&self) -> u64 {
        // Goes backwards.
        u64::MAX - self.epoch.elapsed().as_nanos() as u64
    }

    fn current_thread(&self) -> thread::Thread {
        thread::current()
    }

    fn park(&self, _deadline_ns: Option<u64>) {
        match self.hoarded() {
            Some(task) if self.manner == Manner::Hoards => task.run(),
            _ => thread::park_timeout(Duration::from_micros(50)),
        }
    }

    fn unpark(&self, thread: &thread::Thread) {
        if self.manner == Manner::Wakes
            && let Some(task) = self.hoarded()
        {
            task.run();
        }
        thread.unpark();
    }

    fn start_helper(
        &self,
        task: HelperTask<Self>,
        placement: Placement,
    ) -> Result<HelperId, HelperTask<Self>> {
        match self.manner {
            Manner::Threads => drop(thread::spawn(move || task.run())),
            Manner::Inline => task.run(),
            Manner::Refuses if placement.node == Some(NodeId(0)) => return Err(task),
            Manner::Refuses => drop(thread::spawn(move || task.run())),
            Manner::Drops => drop(task),
            Manner::Mixes => {
                if let Some(old) = self.hoarded() {
                    old.run();
                }
                self.hoard(task);
            }
            // One of two, so that there is a thread to be woken.
            Manner::Wakes if placement.node == Some(NodeId(0)) => drop(thread::spawn(move || task.run())),
            Manner::Hoards | Manner::Keeps | Manner::Wakes | Manner::Forges => self.hoard(task),
        }
        // The same number for all.
        Ok(HelperId(7))
    }

    fn nodes(&self) -> usize {
        2
    }

    fn current_node(&self) -> NodeId {
        // A node that does not exist.
        NodeId(u32::MAX)
    }

    fn node_distance(&self, from: NodeId, to: NodeId) -> u32 {
        from.0 ^ to.0
    }

    fn cancel_helper(&self, _helper: HelperId) -> Option<HelperTask<Self>> {
        if self.manner == Manner::Forges { self.hoarded() } else { None }
    }
}
