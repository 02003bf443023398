//! Callers of different levels share the budget of helpers.

#[path = "common/park.rs"]
mod park;

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread, ThreadId};
use std::time::{Duration, Instant};

use ktask::{Budget, CancelToken, HelperId, HelperTask, Items, Job, Placement, Platform};

const HEAVY: u8 = 0;
const LIGHT: u8 = 39;

thread_local! {
    static LEVEL: Cell<u8> = const { Cell::new(HEAVY) };
}

/// A platform of eight CPUs, of which helpers may occupy six. Each helper has its own thread.
#[derive(Clone)]
struct Levels {
    epoch: Instant,
    started: Arc<AtomicUsize>,
}

static BUDGET: Budget = Budget::new();

impl Platform for Levels {
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
        park::park(self.now_ns(), deadline_ns);
    }
    fn unpark(&self, thread: &Thread) {
        thread.unpark();
    }
    fn start_helper(&self, task: HelperTask<Self>, _: Placement) -> Result<HelperId, HelperTask<Self>> {
        self.started.fetch_add(1, Ordering::SeqCst);
        thread::spawn(move || task.run());
        Ok(HelperId(0))
    }
    fn budget(&self) -> &Budget {
        &BUDGET
    }
    fn caller_level(&self) -> u8 {
        LEVEL.get()
    }
}

/// Waits for `condition`, which other threads bring about. The time only ends a test that fails.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < Duration::from_secs(60), "waited a minute until {what}");
        thread::yield_now();
    }
}

/// Cancels a job when the test ends, also if it fails.
struct CancelAtEnd<'t>(&'t CancelToken);

impl Drop for CancelAtEnd<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs a job of endless chunks on three threads until `token` is cancelled.
fn endless(platform: &Levels, token: &CancelToken, chunk: impl Fn() + Sync) {
    let one = Items::new(1);
    let job = Job::new(Items::new(0)..Items::new(u64::MAX)).min_chunk(one).max_chunk(one);
    let result = job.max_threads(3).cancel(token).run(platform, |_| {
        chunk();
        thread::yield_now();
    });
    assert!(result.is_err(), "the job is cancelled");
}

#[test]
fn as_many_light_helpers_leave_as_a_heavy_caller_needs() {
    let platform = Levels { epoch: Instant::now(), started: Arc::default() };
    let (light_token, heavy_token) = (CancelToken::new(), CancelToken::new());
    // The threads that began a chunk of a light job before the heavy one had its helpers, and after.
    let (before, after) = (Mutex::<HashSet<ThreadId>>::default(), Mutex::<HashSet<ThreadId>>::default());
    let (has_helpers, has_ended) = (AtomicBool::new(false), AtomicBool::new(false));
    // All threads of light jobs are in a chunk when the heavy job gets its helpers, and end it at the same time.
    let (is_held, held) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen = |threads: &Mutex<HashSet<ThreadId>>| threads.lock().unwrap().len();
    let light = || {
        let threads = if has_helpers.load(Ordering::SeqCst) { &after } else { &before };
        threads.lock().unwrap().insert(thread::current().id());
        if is_held.load(Ordering::SeqCst) {
            held.fetch_add(1, Ordering::SeqCst);
            wait_until("chunks may end", || !is_held.load(Ordering::SeqCst));
        }
    };
    let caller = thread::current().id();
    let heavy_helpers = AtomicUsize::new(0);
    let heavy = || {
        if thread::current().id() != caller {
            heavy_helpers.fetch_add(1, Ordering::SeqCst);
            return wait_until("the heavy caller has ended", || has_ended.load(Ordering::SeqCst));
        }
        if heavy_helpers.load(Ordering::SeqCst) < 2 {
            return;
        }
        assert_eq!(BUDGET.in_use(), 8);
        is_held.store(false, Ordering::SeqCst);
        wait_until("light helpers have left", || BUDGET.in_use() <= 6);
        has_helpers.store(true, Ordering::SeqCst);
        // Three callers and four helpers.
        wait_until("the others go on", || seen(&after) >= 7);
        let others = after.lock().unwrap().difference(&before.lock().unwrap()).count();
        assert_eq!((others, platform.started.load(Ordering::SeqCst)), (0, 8), "other helpers began");
        has_ended.store(true, Ordering::SeqCst);
        heavy_token.cancel();
    };
    thread::scope(|scope| {
        let _end = CancelAtEnd(&light_token);
        for _ in 0..3 {
            scope.spawn(|| {
                LEVEL.set(LIGHT);
                endless(&platform, &light_token, light);
            });
        }
        wait_until("light jobs have all helpers", || seen(&before) == 9);
        is_held.store(true, Ordering::SeqCst);
        wait_until("all of them are in a chunk", || held.load(Ordering::SeqCst) == 9);
        endless(&platform, &heavy_token, heavy);
    });
    wait_until("all permits are back", || BUDGET.in_use() == 0);
}
