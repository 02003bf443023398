//! The whole of a platform, here on standard threads: six methods and the thread type.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use ktask::{HelperId, HelperTask, Items, Job, Placement, Platform};

/// Worker threads that wait for helper tasks.
#[derive(Clone)]
pub struct Pool {
    // Room for a task per worker, allocated beforehand: starting a helper does not allocate.
    queue: SyncSender<HelperTask<Pool>>,
    helpers_started: Arc<AtomicU64>,
    epoch: Instant,
}

impl Pool {
    /// Starts the workers, which live as long as the pool.
    pub fn new(workers: usize) -> Self {
        let (queue, tasks) = sync_channel(workers);
        let tasks: Arc<Mutex<Receiver<HelperTask<Self>>>> = Arc::new(Mutex::new(tasks));
        for _ in 0..workers {
            let tasks = tasks.clone();
            thread::spawn(move || {
                loop {
                    let next = tasks.lock().expect("no worker panics with the lock").recv();
                    match next {
                        Ok(task) => task.run(),
                        Err(_) => return,
                    }
                }
            });
        }
        Self { queue, helpers_started: Arc::default(), epoch: Instant::now() }
    }
}

impl Platform for Pool {
    type Thread = Thread;

    fn online_cpus(&self) -> usize {
        thread::available_parallelism().map_or(1, usize::from)
    }

    fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    fn current_thread(&self) -> Thread {
        thread::current()
    }

    fn park(&self, deadline_ns: Option<u64>) {
        match deadline_ns {
            None => thread::park(),
            Some(deadline_ns) => {
                let timeout_ns = deadline_ns.saturating_sub(self.now_ns());
                thread::park_timeout(Duration::from_nanos(timeout_ns));
            }
        }
    }

    fn unpark(&self, thread: &Thread) {
        thread.unpark();
    }

    fn start_helper(
        &self,
        task: HelperTask<Self>,
        _anywhere: Placement,
    ) -> Result<HelperId, HelperTask<Self>> {
        match self.queue.try_send(task) {
            Ok(()) => Ok(HelperId(self.helpers_started.fetch_add(1, Ordering::Relaxed))),
            // Give the task back: the job continues on fewer threads.
            Err(TrySendError::Full(task) | TrySendError::Disconnected(task)) => Err(task),
        }
    }
}

fn main() {
    let pool = Pool::new(3);
    let stats = Job::new(Items::new(0)..Items::new(3_000)).min_chunk(Items::new(10)).threads_exact(4).run(
        &pool,
        |chunk| {
            thread::sleep(Duration::from_micros(chunk.len().get()));
        },
    );
    println!("{stats:#?}");
}
