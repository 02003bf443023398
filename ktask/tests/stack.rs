//! The stack that a job takes of its caller: small, and the same for any number of threads.
//!
//! A kernel's stacks have a few KiB. The numbers are measured: the stack below the caller is filled
//! with a pattern, a job runs, and the lowest word that has changed tells how deep it went.
#![cfg(all(target_pointer_width = "64", not(miri)))]

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use ktask::{
    CancelToken, Chunk, HelperId, HelperTask, Items, Job, NodeId, NodeRange, Placement, Platform, Trail,
    Tuning,
};

/// Most bytes for a job on one thread that is given a thread function.
const SOLO_BYTES: usize = 1 << 10;

/// Most bytes for a job on one thread that also has elements, accumulators or positions.
const SOLO_WITH_MORE_BYTES: usize = SOLO_BYTES + 256;

/// Most bytes for any job, and for the undo of one that fails beside them.
const JOB_BYTES: usize = 4 << 10;

/// Bytes that are filled with the pattern.
const PAINTED_BYTES: usize = 64 << 10;

const PATTERN: u64 = 0x5ca1_ab1e_0ddb_a115;

/// Bytes below the measuring function's frame that its own calls may use.
const OWN_BYTES: usize = 256;

/// Returns the bytes of stack that `f` takes below its own frame. `f` calls [`Top::set`] first.
#[inline(never)]
fn stack_of(f: &mut dyn FnMut(&Top)) -> usize {
    let marker = 0_u64;
    let below = core::ptr::from_ref(&marker).expose_provenance() & !7;
    let words = || {
        (below - PAINTED_BYTES..below - OWN_BYTES)
            .step_by(8)
            .map(core::ptr::with_exposed_provenance_mut::<u64>)
    };
    for word in words() {
        // SAFETY: the word is below every frame of this thread, inside its stack of 1 MiB, and aligned. No
        // Rust object lies there.
        unsafe { word.write_volatile(PATTERN) };
    }
    let top = Top(Cell::new(0));
    f(&top);
    // SAFETY: as above; the words were written before.
    let untouched = words().take_while(|&word| unsafe { word.read_volatile() } == PATTERN).count();
    top.0.get() - (below - PAINTED_BYTES) - untouched * 8
}

/// The address at which the frame of the function ends that calls a job. The methods that run a job are
/// never inlined, so their frames lie below it.
struct Top(Cell<usize>);

impl Top {
    #[inline(never)]
    fn set(&self) {
        let marker = 0_u64;
        self.0.set(core::ptr::from_ref(core::hint::black_box(&marker)).addr());
    }
}

/// A platform with two nodes, one thread for helpers, and a queue for the others that no thread serves.
/// Its methods take little stack.
#[derive(Clone)]
struct Lean {
    shared: Arc<Shared>,
}

struct Shared {
    /// The task for the helper's thread.
    task: Mutex<Option<HelperTask<Lean>>>,
    /// Tasks that no thread ever begins.
    kept: Mutex<Vec<HelperTask<Lean>>>,
    started: AtomicUsize,
    helper: Mutex<Option<Thread>>,
}

impl Lean {
    fn new() -> Self {
        let shared = Arc::new(Shared {
            task: Mutex::new(None),
            kept: Mutex::new(Vec::with_capacity(4096)),
            started: AtomicUsize::new(0),
            helper: Mutex::new(None),
        });
        let platform = Self { shared };
        let own = platform.clone();
        let helper = thread::spawn(move || {
            loop {
                let task = own.shared.task.lock().unwrap_or_else(PoisonError::into_inner).take();
                match task {
                    Some(task) => task.run(),
                    None => thread::park(),
                }
            }
        });
        *platform.shared.helper.lock().unwrap() = Some(helper.thread().clone());
        platform
    }
}

impl Platform for Lean {
    type Thread = Thread;

    fn online_cpus(&self) -> usize {
        1024
    }

    fn budget_cpus(&self, _node: Option<NodeId>) -> usize {
        usize::MAX
    }

    fn nodes(&self) -> usize {
        64
    }

    fn now_ns(&self) -> u64 {
        // Every reading is a quarter of a millisecond later, so that a governor has something to measure.
        self.shared.started.fetch_add(1, Ordering::Relaxed) as u64 * 250_000
    }

    fn current_thread(&self) -> Thread {
        thread::current()
    }

    fn park(&self, _deadline_ns: Option<u64>) {
        thread::park_timeout(Duration::from_millis(1));
    }

    fn unpark(&self, thread: &Thread) {
        thread.unpark();
    }

    fn start_helper(
        &self,
        task: HelperTask<Self>,
        _placement: Placement,
    ) -> Result<HelperId, HelperTask<Self>> {
        let mut next = self.shared.task.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none() {
            *next = Some(task);
            drop(next);
            if let Some(helper) = &*self.shared.helper.lock().unwrap_or_else(PoisonError::into_inner) {
                helper.unpark();
            }
        } else {
            self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner).push(task);
        }
        Ok(HelperId(0))
    }
}

/// Checks what each of several ways to run a job takes.
fn for_each_way(f: impl Fn(&Lean) -> [(&'static str, usize); 7] + Send + 'static, what: &str) {
    let measured = on_measured_thread(move |platform| {
        f(platform);
        f(platform)
    });
    for (way, bytes) in measured {
        let most = if ["run", "run_beside"].contains(&way) { SOLO_BYTES } else { SOLO_WITH_MORE_BYTES };
        check(&format!("{way}, {what}"), bytes, most);
    }
}

/// Returns the most that `f` returns, called with a platform.
fn measure(f: impl Fn(&Lean) -> usize + Send + 'static) -> usize {
    on_measured_thread(move |platform| {
        // The first run also links functions.
        f(platform);
        (0..3).map(|_| f(platform)).max().unwrap()
    })
}

/// Calls `f` with a platform, on a thread with room for the pattern.
fn on_measured_thread<R: Send + 'static>(f: impl FnOnce(&Lean) -> R + Send + 'static) -> R {
    let measured = thread::Builder::new().stack_size(1 << 20).spawn(move || f(&Lean::new()));
    measured.unwrap().join().unwrap()
}

fn work(chunk: &Chunk<Items>) {
    core::hint::black_box(chunk);
}

fn items(units: u64) -> Job<'static, Items> {
    Job::new(Items::new(0)..Items::new(units))
}

/// Returns 64 ranges of `units` units, each on a node, with gaps of as many.
fn node_ranges(units: u64) -> [NodeRange<Items>; 64] {
    core::array::from_fn(|node| {
        let start = node as u64 * 2 * units;
        NodeRange::new(NodeId(node as u32), Items::new(start)..Items::new(start + units))
    })
}

/// Checks a size. The limits are those of an optimised build, which a kernel is; other builds may take
/// four times as much.
fn check(what: &str, bytes: usize, most: usize) {
    println!("{what}: {bytes} bytes");
    let most = if cfg!(debug_assertions) { 4 * most } else { most };
    assert!(bytes <= most, "{what}: {bytes} bytes, must be at most {most}");
}

/// Ways to run a job, each with the bytes of stack that it takes of its caller for `$job`.
macro_rules! ways {
    ($platform:expr, $job:expr) => {{
        let (platform, job) = ($platform, $job);
        let mut slice = [0_u8; 1000];
        let mut slots = [0_u8; 64];
        let nodes: [Node; 1] = [Node(None)];
        [
            (
                "run",
                stack_of(&mut |top| {
                    top.set();
                    _ = job.run(platform, |chunk| work(&chunk)).unwrap();
                }),
            ),
            (
                "for_each_mut",
                stack_of(&mut |top| {
                    top.set();
                    _ = job.for_each_mut(platform, &mut slice, |chunk, _| work(&chunk)).unwrap();
                }),
            ),
            (
                "run_reduce",
                stack_of(&mut |top| {
                    top.set();
                    let sum = |sum: &mut u64, chunk: Chunk<Items>| *sum += chunk.len().get();
                    job.run_reduce(platform, || 0, sum, |a, b| a + b).unwrap();
                }),
            ),
            (
                "run_ordered",
                stack_of(&mut |top| {
                    top.set();
                    _ = job.run_ordered(platform, &mut slots, |_, chunk| work(&chunk)).unwrap();
                }),
            ),
            (
                "find_any",
                stack_of(&mut |top| {
                    top.set();
                    job.find_any(platform, |chunk| (chunk.len().get() == 0).then_some(chunk.start()))
                        .unwrap();
                }),
            ),
            (
                "run_beside",
                stack_of(&mut |top| {
                    top.set();
                    job.run_beside(platform, |chunk| work(&chunk), || 7).unwrap();
                }),
            ),
            (
                "run_list",
                stack_of(&mut |top| {
                    top.set();
                    let next = |node: &'_ Node| node.0;
                    _ = job.run_list(platform, Some(&nodes[0]), next, |chunk, _| work(&chunk)).unwrap();
                }),
            ),
        ]
    }};
}

/// A node of a list.
struct Node(Option<&'static Node>);

#[test]
fn a_job_on_one_thread_takes_little_stack() {
    for_each_way(|platform| ways!(platform, items(1000).max_threads(1)), "one thread");
    let with_token = |platform: &Lean| {
        let token = CancelToken::new();
        ways!(platform, items(1000).max_threads(1).cancel(&token))
    };
    for_each_way(with_token, "one thread, with a token");
}

#[test]
fn any_job_takes_the_same_stack() {
    for threads in [2, 64, 1024] {
        let exact = measure(move |platform| {
            let job = items(100_000).threads_exact(threads);
            stack_of(&mut |top| {
                top.set();
                _ = job.run(platform, |chunk| work(&chunk)).unwrap();
            })
        });
        check(&format!("{threads} threads"), exact, JOB_BYTES);
        let governed = measure(move |platform| {
            let (tuning, trail) = (Tuning::new(), Trail::new());
            let job = items(1_000_000).max_threads(threads).tuning(&tuning).trail(&trail);
            stack_of(&mut |top| {
                top.set();
                _ = job.run(platform, |chunk| work(&chunk)).unwrap();
            })
        });
        check(&format!("{threads} threads, governed"), governed, JOB_BYTES);
        let deepest = measure(move |platform| {
            let (tuning, trail) = (Tuning::new(), Trail::new());
            let ranges = node_ranges(4_000);
            let job = Job::over_nodes(&ranges).max_threads(threads).tuning(&tuning).trail(&trail);
            let once = || {
                stack_of(&mut |top| {
                    top.set();
                    job.run_reduce(platform, || 0, |sum, chunk| *sum += chunk.len().get(), |a, b| a + b)
                        .unwrap();
                })
            };
            let mut bytes = once();
            // Until the governor has looked, and decided: its functions are on the stack that is measured. Where
            // the host holds the helpers up, the caller ends a job before.
            for _ in 0..100 {
                if threads < 4 || trail.taken() > 0 {
                    break;
                }
                bytes = bytes.max(once());
            }
            assert!(threads < 4 || trail.taken() > 0, "{trail:?}");
            bytes
        });
        check(
            &format!("{threads} threads, governed, with accumulators, over 64 node ranges"),
            deepest,
            JOB_BYTES,
        );
        let reduced = measure(move |platform| {
            let job = items(100_000).threads_exact(threads);
            stack_of(&mut |top| {
                top.set();
                job.run_reduce(platform, || 0, |sum, chunk| *sum += chunk.len().get(), |a, b| a + b).unwrap();
            })
        });
        check(&format!("{threads} threads, with accumulators"), reduced, JOB_BYTES);
        let over_nodes = measure(move |platform| {
            let ranges = node_ranges(500);
            let job = Job::over_nodes(&ranges).threads_exact(threads);
            stack_of(&mut |top| {
                top.set();
                _ = job.run(platform, |chunk| work(&chunk)).unwrap();
            })
        });
        check(&format!("{threads} threads, over 64 node ranges"), over_nodes, JOB_BYTES);
    }
}

#[test]
fn an_undo_takes_no_more_than_the_job_again() {
    for (threads, is_governed) in [(1, false), (2, false), (64, false), (1024, false), (64, true)] {
        let bytes = measure(move |platform| {
            let ranges = node_ranges(4_000);
            let undo = |chunk: Chunk<Items>| work(&chunk);
            let job = Job::over_nodes(&ranges).undo(&undo);
            let job = if is_governed { job.max_threads(threads) } else { job.threads_exact(threads) };
            let fail = |chunk: Chunk<Items>| if chunk.end().get() > 500_000 { Err(()) } else { Ok(()) };
            stack_of(&mut |top| {
                top.set();
                _ = job.run(platform, fail).unwrap_err();
            })
        });
        check(
            &format!("{threads} threads, failed and undone, over 64 node ranges, governed: {is_governed}"),
            bytes,
            2 * JOB_BYTES,
        );
    }
}
