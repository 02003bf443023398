//! Threads that run until they are told to stop. They are told, and joined, wherever the work that needs them ends, also by an
//! error: a thread that is left behind would distort what is measured or tested next.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::sched::{self, JoinHandle, Spawn, SpawnError};

/// Threads that are stopped and joined when this is dropped.
pub struct Threads {
    stop: Stop,
    handles: Vec<JoinHandle>,
}

/// Tells a thread when to stop.
#[derive(Clone)]
pub struct Stop {
    is_set: Arc<AtomicBool>,
}

impl Stop {
    /// Returns whether the thread should end.
    pub fn is_set(&self) -> bool {
        self.is_set.load(SeqCst)
    }
}

impl Threads {
    /// Returns no threads, with room for `count`.
    pub fn with_capacity(count: usize) -> Self {
        let stop = Stop { is_set: Arc::new(AtomicBool::new(false)) };
        Self { stop, handles: Vec::with_capacity(count) }
    }

    /// Starts a thread. If `entry` parks, it looks at its argument after each return: a stop wakes it.
    pub fn start(
        &mut self,
        spawn: Spawn<'_>,
        entry: impl FnOnce(Stop) + Send + 'static,
    ) -> Result<(), SpawnError> {
        let stop = self.stop.clone();
        self.handles.push(spawn.start(move || entry(stop))?);
        Ok(())
    }

    /// Returns the threads, in the order in which they were started.
    pub fn handles(&self) -> &[JoinHandle] {
        &self.handles
    }

    /// Wakes all threads that park.
    pub fn unpark(&self) {
        for handle in &self.handles {
            sched::unpark(handle.thread());
        }
    }

    /// Waits until all threads have ended of their own accord.
    pub fn join(mut self) {
        self.handles.drain(..).for_each(JoinHandle::join);
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.is_set.store(true, SeqCst);
        self.unpark();
        self.handles.drain(..).for_each(JoinHandle::join);
    }
}
