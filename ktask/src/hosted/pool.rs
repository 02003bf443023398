//! The queue of helper tasks, and the loop of the threads that run them.
//!
//! A thread without work polls briefly, and then sleeps. One of them sleeps in naps while jobs come: the
//! *watcher*. Tasks that are only offered wake no thread. If the watcher finds one that was there before
//! its nap, a job lasts longer than it seemed, and the offered tasks are run.
//!
//! A job takes a task back by making it void. It stays in the queue until the next look under the lock: most jobs
//! are so short that a second lock would cost them more than anything else.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::timer_slack;
use crate::{HelperId, HelperTask, NodeId, Platform};

/// Time for which a thread without work polls before it sleeps: about the cost of a wake-up.
const POLL_TIME: Duration = Duration::from_micros(20);

/// Length of the watcher's nap. A task that is offered waits for one to two naps, each of which takes
/// about 15 us more than asked for.
const NAP: Duration = Duration::from_micros(25);

/// Time without a new task after which the watcher sleeps like the others. Until then its naps use less
/// than a tenth of a CPU.
const WATCH_TIME: Duration = Duration::from_millis(20);

/// A nap that takes this long shows that the machine has no CPU to spare for a watcher.
const LATE_NAP: Duration = Duration::from_micros(250);

/// A queue of helper tasks with room for as many as there are threads.
#[derive(Debug)]
pub(super) struct Pool<P: Platform> {
    queue: Mutex<Queue<P>>,
    /// Where all threads but the watcher sleep.
    filled: Condvar,
    /// Where the watcher naps.
    watch: Condvar,
    /// Number of tasks that are to be run at once, for a look without the lock.
    due: AtomicUsize,
    closed: AtomicBool,
    capacity: usize,
}

#[derive(Debug)]
struct Queue<P: Platform> {
    tasks: VecDeque<Queued<P>>,
    next_id: u64,
    sleepers: usize,
    watcher: Watcher,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watcher {
    /// No thread watches.
    Missing,
    /// A thread that sleeps has been woken for it, and has not come yet.
    Called,
    /// A thread watches: it naps, or is about to.
    Naps,
}

#[derive(Debug)]
struct Queued<P: Platform> {
    id: HelperId,
    node: Option<NodeId>,
    task: HelperTask<P>,
    /// Whether the task is to be run at once; if not, it is only offered.
    is_due: bool,
}

impl<P: Platform> Queue<P> {
    /// Drops the tasks that no job needs. That runs no code of a client.
    fn drop_void(&mut self) {
        self.tasks.retain(|queued| !queued.task.is_void());
    }
}

impl<P: Platform> Pool<P> {
    pub(super) fn new(capacity: usize) -> Self {
        let tasks = VecDeque::with_capacity(capacity);
        Self {
            queue: Mutex::new(Queue { tasks, next_id: 0, sleepers: 0, watcher: Watcher::Missing }),
            filled: Condvar::new(),
            watch: Condvar::new(),
            due: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            capacity,
        }
    }

    /// Queues a task and wakes a thread for it, or gives the task back if the queue is full.
    pub(super) fn push(&self, task: HelperTask<P>, node: Option<NodeId>) -> Result<HelperId, HelperTask<P>> {
        let (id, queue) = self.add(task, node, true)?;
        let (sleeps, naps) = (queue.sleepers > 0, queue.watcher == Watcher::Naps);
        drop(queue);
        if sleeps {
            self.filled.notify_one();
        } else if naps {
            self.watch.notify_one();
        }
        Ok(id)
    }

    /// Queues a task that the watcher takes if it is still there after a nap, or gives the task back if
    /// the queue is full.
    pub(super) fn offer(&self, task: HelperTask<P>, node: Option<NodeId>) -> Result<HelperId, HelperTask<P>> {
        let (id, mut queue) = self.add(task, node, false)?;
        // Without a watcher, a thread that sleeps becomes one. Those that run look when they are done. A thread takes
        // longer to wake than many jobs take: it is called once.
        let wake = queue.sleepers > 0 && queue.watcher == Watcher::Missing;
        if wake {
            queue.watcher = Watcher::Called;
        }
        drop(queue);
        if wake {
            self.filled.notify_one();
        }
        Ok(id)
    }

    fn add(
        &self,
        task: HelperTask<P>,
        node: Option<NodeId>,
        is_due: bool,
    ) -> Result<(HelperId, MutexGuard<'_, Queue<P>>), HelperTask<P>> {
        let mut queue = self.lock();
        queue.drop_void();
        if queue.tasks.len() >= self.capacity {
            self.note_due(&queue);
            return Err(task);
        }
        let id = HelperId(queue.next_id);
        queue.next_id += 1;
        queue.tasks.push_back(Queued { id, node, task, is_due });
        self.note_due(&queue);
        Ok((id, queue))
    }

    /// Returns the number of tasks that wait for a thread.
    pub(super) fn queued(&self) -> usize {
        self.lock().tasks.iter().filter(|queued| !queued.task.is_void()).count()
    }

    /// Runs tasks until the pool is closed, tasks for `node` first.
    pub(super) fn serve(&self, node: NodeId) {
        timer_slack::make_sleeps_exact();
        while let Some(task) = self.next(node) {
            task.run();
        }
    }

    /// Closes the pool: drops the queued tasks, and ends each thread after its current task.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        self.closed.store(true, Ordering::SeqCst);
        let dropped = core::mem::take(&mut queue.tasks);
        self.note_due(&queue);
        drop(queue);
        drop(dropped);
        self.filled.notify_all();
        self.watch.notify_all();
    }

    fn next(&self, node: NodeId) -> Option<HelperTask<P>> {
        let until = Instant::now() + POLL_TIME;
        while self.due.load(Ordering::Relaxed) == 0
            && !self.closed.load(Ordering::SeqCst)
            && Instant::now() < until
        {
            core::hint::spin_loop();
        }
        let mut queue = self.lock();
        // A thread that has polled has been needed a moment ago.
        let mut may_watch = true;
        loop {
            if let Some(task) = self.remove_due(&mut queue, node) {
                if queue.watcher == Watcher::Called {
                    // This thread may be the one that was called. The next offer calls another.
                    queue.watcher = Watcher::Missing;
                }
                return Some(task);
            }
            if self.closed.load(Ordering::SeqCst) {
                return None;
            }
            let is_wanted = match queue.watcher {
                Watcher::Missing => may_watch,
                Watcher::Called => true,
                Watcher::Naps => false,
            };
            queue = if is_wanted {
                may_watch = false;
                self.nap_for_offers(queue)
            } else {
                queue.sleepers += 1;
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.sleepers -= 1;
                may_watch = !queue.tasks.is_empty();
                queue
            };
        }
    }

    /// Watches offered tasks: naps until a task is due, which an offered one is if it was there before a
    /// nap and is after it, or until no tasks come.
    fn nap_for_offers<'q>(&self, mut queue: MutexGuard<'q, Queue<P>>) -> MutexGuard<'q, Queue<P>> {
        queue.watcher = Watcher::Naps;
        let mut woke_at = Instant::now();
        let mut last_task_at = woke_at;
        loop {
            let next_id = queue.next_id;
            queue = self.watch.wait_timeout(queue, NAP).unwrap_or_else(PoisonError::into_inner).0;
            let slept_at = core::mem::replace(&mut woke_at, Instant::now());
            if queue.next_id != next_id {
                last_task_at = woke_at;
            }
            queue.drop_void();
            if queue.tasks.iter().any(|queued| queued.id.0 < next_id) {
                // A job that still runs: the caller of an offered task waits for all that it offered.
                queue.tasks.iter_mut().for_each(|queued| queued.is_due = true);
                self.note_due(&queue);
                for _ in 1..queue.tasks.len() {
                    self.filled.notify_one();
                }
            }
            let has_due = queue.tasks.iter().any(|queued| queued.is_due);
            let is_idle = woke_at - last_task_at >= WATCH_TIME || woke_at - slept_at >= LATE_NAP;
            if has_due || self.closed.load(Ordering::SeqCst) || (is_idle && queue.tasks.is_empty()) {
                queue.watcher = Watcher::Missing;
                return queue;
            }
        }
    }

    /// Removes the first due task for `node`, or else the first due task.
    fn remove_due(&self, queue: &mut Queue<P>, node: NodeId) -> Option<HelperTask<P>> {
        queue.drop_void();
        let due = |queued: &Queued<P>| queued.is_due;
        let own = queue.tasks.iter().position(|queued| due(queued) && queued.node == Some(node));
        let index = own.or_else(|| queue.tasks.iter().position(due));
        let queued = index.and_then(|index| queue.tasks.remove(index));
        self.note_due(queue);
        Some(queued?.task)
    }

    /// Updates the number for looks without the lock.
    fn note_due(&self, queue: &Queue<P>) {
        // Relaxed, also where it is read: a hint. A thread that polls looks again under the lock before it sleeps.
        self.due.store(queue.tasks.iter().filter(|queued| queued.is_due).count(), Ordering::Relaxed);
    }

    /// Locks the queue. It is consistent at every point where a panic could leave it.
    fn lock(&self) -> MutexGuard<'_, Queue<P>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
