//! Jobs in jobs, locks, and threads that are stopped: no job waits for a thread that cannot go on.

#[path = "common/park.rs"]
mod park;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread, ThreadId};
use std::time::Instant;

use ktask::hosted::Hosted;
use ktask::{Chunk, HelperId, HelperTask, Items, Job, Placement, Platform};

fn items(units: u64) -> Job<'static, Items> {
    Job::new(Items::new(0)..Items::new(units))
}

/// A platform with a queue and a few threads that cannot take a helper back.
#[derive(Clone)]
struct Queue {
    queue: SyncSender<HelperTask<Queue>>,
    epoch: Instant,
    caller: ThreadId,
    /// Times that the thread has parked that made the platform, and whether it is parked now.
    parks: Arc<AtomicUsize>,
    is_parked: Arc<AtomicBool>,
}

impl Queue {
    fn new(threads: usize) -> Self {
        let (queue, tasks) = sync_channel(64);
        let tasks: Arc<Mutex<Receiver<HelperTask<Self>>>> = Arc::new(Mutex::new(tasks));
        for _ in 0..threads {
            let tasks = tasks.clone();
            thread::spawn(move || {
                loop {
                    let next = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    match next {
                        Ok(task) => task.run(),
                        Err(_) => return,
                    }
                }
            });
        }
        Self {
            queue,
            epoch: Instant::now(),
            caller: thread::current().id(),
            parks: Arc::default(),
            is_parked: Arc::default(),
        }
    }
}

impl Platform for Queue {
    type Thread = Thread;

    fn online_cpus(&self) -> usize {
        8
    }

    fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    fn current_thread(&self) -> Thread {
        thread::current()
    }

    fn park(&self, deadline_ns: Option<u64>) {
        let is_caller = thread::current().id() == self.caller;
        if is_caller {
            self.parks.fetch_add(1, Ordering::SeqCst);
            self.is_parked.store(true, Ordering::SeqCst);
        }
        park::park(self.now_ns(), deadline_ns);
        if is_caller {
            self.is_parked.store(false, Ordering::SeqCst);
        }
    }

    fn unpark(&self, thread: &Thread) {
        thread.unpark();
    }

    fn start_helper(
        &self,
        task: HelperTask<Self>,
        _placement: Placement,
    ) -> Result<HelperId, HelperTask<Self>> {
        match self.queue.try_send(task) {
            Ok(()) => Ok(HelperId(0)),
            Err(TrySendError::Full(task) | TrySendError::Disconnected(task)) => Err(task),
        }
    }
}

/// Waits for `condition`, which other threads bring about.
fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

#[test]
fn nested_jobs_end_where_no_helper_can_be_taken_back() {
    let platform = Queue::new(3);
    for _ in 0..200 {
        let begun = AtomicUsize::new(0);
        let done = AtomicUsize::new(0);
        items(4)
            .threads_exact(4)
            .run(&platform, |_| {
                // All threads of the pool are in a chunk when each asks for a helper.
                begun.fetch_add(1, Ordering::SeqCst);
                wait_until(|| begun.load(Ordering::SeqCst) == 4 || done.load(Ordering::SeqCst) > 0);
                items(2)
                    .threads_exact(2)
                    .run(&platform, |inner| {
                        done.fetch_add(inner.len().get() as usize, Ordering::SeqCst);
                    })
                    .unwrap();
            })
            .unwrap();
        assert_eq!(done.load(Ordering::SeqCst), 8);
    }
}

#[test]
fn a_waiting_caller_takes_no_lock_of_another_job() {
    let platform = Hosted::builder().cpus(4).threads(3).build();
    let (lock, done) = (Mutex::new(()), AtomicUsize::new(0));
    let inside = |outer: &Chunk<Items>| {
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |inner: Chunk<Items>| _ = done.fetch_add(inner.len().get() as usize, Ordering::SeqCst);
        items(3).threads_exact(3).within(outer).run(&platform, count).unwrap();
    };
    for round in 1..=500 {
        // The chunks of the outer job wait for the lock that a caller of an inner job holds.
        items(4)
            .threads_exact(4)
            .run(&platform, |outer| outer.indices().for_each(|_| inside(&outer)))
            .unwrap();
        assert_eq!(done.load(Ordering::SeqCst), round * 12);
    }
}

/// Runs jobs three deep; each level holds its mutex while it runs the next.
fn three_deep<P: Platform>(platform: &P, locks: &[Mutex<u64>; 2], rounds: usize) {
    for round in 1..=rounds as u64 {
        items(3)
            .threads_exact(3)
            .run(platform, |outer| {
                for _ in outer.indices() {
                    let mut first = locks[0].lock().unwrap_or_else(PoisonError::into_inner);
                    *first += 1;
                    let middle = items(2).threads_exact(2).within(&outer);
                    middle
                        .run(platform, |middle| {
                            for _ in middle.indices() {
                                let mut second = locks[1].lock().unwrap_or_else(PoisonError::into_inner);
                                *second += 1;
                                items(2).threads_exact(2).within(&middle).run(platform, |_| ()).unwrap();
                            }
                        })
                        .unwrap();
                }
            })
            .unwrap();
        assert_eq!(*locks[0].lock().unwrap(), round * 3);
        assert_eq!(*locks[1].lock().unwrap(), round * 6);
    }
}

#[test]
fn jobs_three_deep_under_mutexes_end() {
    three_deep(&Hosted::builder().cpus(4).threads(3).build(), &Default::default(), 500);
    three_deep(&Queue::new(3), &Default::default(), 500);
}

/// The same for as long as it takes to trust it: `cargo test --release -p ktask --test nesting --
/// --ignored`.
#[test]
#[ignore = "takes a minute"]
fn jobs_three_deep_under_mutexes_end_100_000_times() {
    three_deep(&Hosted::builder().cpus(4).threads(3).build(), &Default::default(), 100_000);
    three_deep(&Queue::new(3), &Default::default(), 100_000);
}

#[test]
fn a_caller_parks_behind_a_stopped_helper() {
    // As on a kernel of strict priorities with one CPU: a helper runs only while the caller is parked.
    let platform = Queue::new(1);
    let caller = thread::current().id();
    let helper_has_begun = AtomicBool::new(false);
    let as_helper = || {
        if thread::current().id() != caller {
            helper_has_begun.store(true, Ordering::SeqCst);
            wait_until(|| platform.is_parked.load(Ordering::SeqCst));
        }
    };
    let stats = items(64)
        .max_chunk(Items::new(1))
        .threads_exact(2)
        .run_walk(
            &platform,
            0,
            |from, steps| {
                as_helper();
                from + steps
            },
            |chunk, positions| {
                assert_eq!(positions.start, chunk.start().get());
                if thread::current().id() == caller {
                    // From now on the helper has the turn, and is stopped in it.
                    wait_until(|| helper_has_begun.load(Ordering::SeqCst));
                }
            },
        )
        .unwrap();
    assert_eq!(stats.units, 64);
    assert!(platform.parks.load(Ordering::SeqCst) > 0);
}

#[test]
fn a_caller_parks_while_a_helper_merges() {
    let platform = Queue::new(1);
    let caller = thread::current().id();
    let helper_has_begun = AtomicBool::new(false);
    let (sum, _) = items(64)
        .max_chunk(Items::new(1))
        .threads_exact(2)
        .run_reduce(
            &platform,
            || 0,
            |sum, chunk| {
                *sum += chunk.len().get();
                if thread::current().id() == caller {
                    wait_until(|| helper_has_begun.load(Ordering::SeqCst));
                } else {
                    helper_has_begun.store(true, Ordering::SeqCst);
                }
            },
            |a, b| {
                if thread::current().id() != caller {
                    wait_until(|| platform.is_parked.load(Ordering::SeqCst));
                }
                a + b
            },
        )
        .unwrap();
    assert_eq!(sum, 64);
}
