//! The queue of helper tasks, and the loop of the threads that run them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{HelperId, HelperTask, NodeId, Platform};

/// Time for which a thread without work polls before it sleeps: about the cost of a wake-up.
const POLL_TIME: Duration = Duration::from_micros(20);

/// A queue of helper tasks with room for as many as there are threads.
#[derive(Debug)]
pub(super) struct Pool<P: Platform> {
    queue: Mutex<Queue<P>>,
    filled: Condvar,
    /// Number of tasks in the queue, for polling without the lock.
    queued: AtomicUsize,
    closed: AtomicBool,
    capacity: usize,
}

#[derive(Debug)]
struct Queue<P: Platform> {
    tasks: VecDeque<Queued<P>>,
    next_id: u64,
    sleepers: usize,
}

#[derive(Debug)]
struct Queued<P: Platform> {
    id: HelperId,
    node: Option<NodeId>,
    task: HelperTask<P>,
}

impl<P: Platform> Pool<P> {
    pub(super) fn new(capacity: usize) -> Self {
        let tasks = VecDeque::with_capacity(capacity);
        Self {
            queue: Mutex::new(Queue { tasks, next_id: 0, sleepers: 0 }),
            filled: Condvar::new(),
            queued: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            capacity,
        }
    }

    /// Queues a task, or gives it back if the queue is full.
    pub(super) fn push(&self, task: HelperTask<P>, node: Option<NodeId>) -> Result<HelperId, HelperTask<P>> {
        let mut queue = self.lock();
        if queue.tasks.len() >= self.capacity {
            return Err(task);
        }
        let id = HelperId(queue.next_id);
        queue.next_id += 1;
        queue.tasks.push_back(Queued { id, node, task });
        self.note_len(&queue);
        let wake = queue.sleepers > 0;
        drop(queue);
        if wake {
            self.filled.notify_one();
        }
        Ok(id)
    }

    /// Takes the task of `helper` out of the queue.
    pub(super) fn take(&self, helper: HelperId) -> Option<HelperTask<P>> {
        self.take_first(|queued| queued.id == helper)
    }

    pub(super) fn queued(&self) -> usize {
        self.lock().tasks.len()
    }

    /// Runs tasks until the pool is closed, tasks for `node` first.
    pub(super) fn serve(&self, node: NodeId) {
        while let Some(task) = self.next(node) {
            task.run();
        }
    }

    /// Closes the pool: drops the queued tasks, and ends each thread after its current task.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        self.closed.store(true, Ordering::SeqCst);
        let dropped = core::mem::take(&mut queue.tasks);
        self.note_len(&queue);
        drop(queue);
        drop(dropped);
        self.filled.notify_all();
    }

    fn next(&self, node: NodeId) -> Option<HelperTask<P>> {
        let until = Instant::now() + POLL_TIME;
        while self.queued.load(Ordering::SeqCst) == 0
            && !self.closed.load(Ordering::SeqCst)
            && Instant::now() < until
        {
            core::hint::spin_loop();
        }
        let mut queue = self.lock();
        loop {
            if let Some(task) = self.remove_for(&mut queue, node) {
                return Some(task);
            }
            if self.closed.load(Ordering::SeqCst) {
                return None;
            }
            queue.sleepers += 1;
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.sleepers -= 1;
        }
    }

    /// Removes the first task for `node`, or else the first task.
    fn remove_for(&self, queue: &mut Queue<P>, node: NodeId) -> Option<HelperTask<P>> {
        let own = queue.tasks.iter().position(|queued| queued.node == Some(node));
        let queued = queue.tasks.remove(own.unwrap_or(0))?;
        self.note_len(queue);
        Some(queued.task)
    }

    fn take_first(&self, wanted: impl Fn(&Queued<P>) -> bool) -> Option<HelperTask<P>> {
        // Most waiting callers find the queue empty, and do not need the lock to see it.
        if self.queued.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let mut queue = self.lock();
        let index = queue.tasks.iter().position(wanted)?;
        let queued = queue.tasks.remove(index)?;
        self.note_len(&queue);
        Some(queued.task)
    }

    fn note_len(&self, queue: &Queue<P>) {
        self.queued.store(queue.tasks.len(), Ordering::SeqCst);
    }

    /// Locks the queue. It is consistent at every point where a panic could leave it.
    fn lock(&self) -> MutexGuard<'_, Queue<P>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
