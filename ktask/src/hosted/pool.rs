//! The threads that helpers are borrowed from, and the queue in front of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{HelperId, HelperTask, NodeId, Platform};

/// How long a thread without work looks for some before it sleeps: about what waking
/// it would cost.
const LOOK_OUT: Duration = Duration::from_micros(20);

/// A queue of helper tasks with room for as many as there are threads.
#[derive(Debug)]
pub(super) struct Pool<P: Platform> {
    queue: Mutex<Queue<P>>,
    filled: Condvar,
    /// Tasks in the queue: a hint for threads that look out for one without the lock.
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

    /// Puts a task in the queue, or gives it back when there is no room.
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

    /// Takes one task back.
    pub(super) fn take(&self, helper: HelperId) -> Option<HelperTask<P>> {
        self.take_first(|queued| queued.id == helper)
    }

    /// Takes the oldest task of a family.
    pub(super) fn take_of_family(&self, family: u64) -> Option<HelperTask<P>> {
        self.take_first(|queued| queued.task.family() == family)
    }

    pub(super) fn queued(&self) -> usize {
        self.lock().tasks.len()
    }

    /// Runs tasks until the pool is closed; those meant for `node` first.
    pub(super) fn serve(&self, node: NodeId) {
        while let Some(task) = self.next(node) {
            task.run();
        }
    }

    /// Has all threads end when they are done with what they run; what is queued is dropped.
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
        let until = Instant::now() + LOOK_OUT;
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

    fn remove_for(&self, queue: &mut Queue<P>, node: NodeId) -> Option<HelperTask<P>> {
        let own = queue.tasks.iter().position(|queued| queued.node == Some(node));
        let queued = queue.tasks.remove(own.unwrap_or(0))?;
        self.note_len(queue);
        Some(queued.task)
    }

    fn take_first(&self, wanted: impl Fn(&Queued<P>) -> bool) -> Option<HelperTask<P>> {
        // Most callers that wait find the queue empty, and are told so without the lock.
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

    /// The queue is sound at every point where a panic could leave it.
    fn lock(&self) -> MutexGuard<'_, Queue<P>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
