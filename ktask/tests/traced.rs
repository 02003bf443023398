//! The calls to a platform that traces: every job and chunk once, on its thread, in order.

#[path = "common/park.rs"]
mod park;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread, ThreadId};
use std::time::Instant;

use ktask::{
    CancelToken, HelperId, HelperTask, Items, Job, Placement, Platform, Stats, TracedChunk, TracedEnding,
    TracedJob,
};

#[derive(Clone, Debug, PartialEq)]
enum Call {
    JobBegins(TracedJob),
    JobEnds(TracedEnding, Box<Stats>),
    ChunkBegins(TracedChunk),
    ChunkEnds(TracedChunk, bool),
}

/// A platform that makes a thread per helper and records its trace calls.
#[derive(Clone)]
struct Tracer {
    calls: Arc<Mutex<Vec<(u64, ThreadId, Call)>>>,
    jobs: Arc<AtomicU64>,
    accepts_jobs: bool,
    epoch: Instant,
}

impl Tracer {
    fn new(accepts_jobs: bool) -> Self {
        Self { calls: Arc::default(), jobs: Arc::default(), accepts_jobs, epoch: Instant::now() }
    }

    fn push(&self, trace_id: u64, call: Call) {
        self.calls.lock().unwrap().push((trace_id, thread::current().id(), call));
    }

    fn calls(&self) -> Vec<(u64, ThreadId, Call)> {
        self.calls.lock().unwrap().clone()
    }
}

impl Platform for Tracer {
    type Thread = Thread;

    fn online_cpus(&self) -> usize {
        4
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
        thread::spawn(move || task.run());
        Ok(HelperId(0))
    }
    fn job_begins(&self, job: &TracedJob) -> u64 {
        if !self.accepts_jobs {
            return 0;
        }
        let trace_id = 10 + self.jobs.fetch_add(1, Ordering::SeqCst);
        self.push(trace_id, Call::JobBegins(*job));
        trace_id
    }
    fn job_ends(&self, trace_id: u64, ending: TracedEnding, stats: &Stats) {
        self.push(trace_id, Call::JobEnds(ending, Box::new(*stats)));
    }
    fn chunk_begins(&self, trace_id: u64, chunk: TracedChunk) {
        self.push(trace_id, Call::ChunkBegins(chunk));
    }
    fn chunk_ends(&self, trace_id: u64, chunk: TracedChunk, is_done: bool) {
        self.push(trace_id, Call::ChunkEnds(chunk, is_done));
    }
}

fn job(threads: usize) -> Job<'static, Items> {
    Job::new(Items::new(5)..Items::new(1005)).min_chunk(Items::new(7)).threads_exact(threads).name("test")
}

#[test]
fn job_is_traced_with_all_its_chunks() {
    for threads in [1, 2, 4] {
        let tracer = Tracer::new(true);
        let stats = job(threads).run(&tracer, |_| Ok::<(), ()>(())).unwrap();
        let calls = tracer.calls();
        assert!(calls.iter().all(|(trace_id, ..)| *trace_id == 10));
        let (first, last) = (&calls[0].2, &calls[calls.len() - 1].2);
        assert!(
            matches!(first, Call::JobBegins(TracedJob { name: "test", start: 5, units: 1000, .. })),
            "{first:?}"
        );
        assert_eq!(*last, Call::JobEnds(TracedEnding::Complete, Box::new(stats)));
        // Each unit is in one chunk. A chunk begins and ends on the same thread, with no other call of
        // this thread in between.
        let mut units = Vec::new();
        let mut in_progress = std::collections::HashMap::new();
        for (_, thread, call) in &calls {
            match call {
                Call::ChunkBegins(chunk) => {
                    assert_eq!(in_progress.insert(*thread, *chunk), None);
                    assert!(chunk.worker < threads);
                    units.extend(chunk.start..chunk.end);
                }
                Call::ChunkEnds(chunk, is_done) => {
                    assert_eq!((in_progress.remove(thread), *is_done), (Some(*chunk), true));
                }
                _ => assert!(in_progress.is_empty()),
            }
        }
        units.sort_unstable();
        assert!(units.into_iter().eq(5..1005), "{threads} threads");
        let chunks = calls.iter().filter(|(.., call)| matches!(call, Call::ChunkBegins(_))).count();
        assert_eq!(chunks as u64, stats.chunks);
    }
}

#[test]
fn platform_that_declines_a_job_gets_no_more_calls() {
    let tracer = Tracer::new(false);
    job(2).run(&tracer, |_| Ok::<(), ()>(())).unwrap();
    assert_eq!(tracer.calls(), []);
}

#[test]
fn failure_and_cancellation_are_traced_and_the_undo_is_not() {
    for threads in [1, 3] {
        let tracer = Tracer::new(true);
        let undo = |_| {};
        let failing = job(threads).undo(&undo);
        let failed =
            failing.run(&tracer, |chunk| if chunk.indices().contains(&500) { Err(()) } else { Ok(()) });
        let stats = failed.unwrap_err().stats;
        let calls = tracer.calls();
        assert_eq!(calls[calls.len() - 1].2, Call::JobEnds(TracedEnding::Failed, Box::new(stats)));
        let begun = calls.iter().filter(|(.., call)| matches!(call, Call::ChunkBegins(_))).count();
        assert_eq!(begun as u64, stats.chunks, "{threads} threads");
        let failed: Vec<_> =
            calls.iter().filter(|(.., call)| matches!(call, Call::ChunkEnds(_, false))).collect();
        assert_eq!(failed.len(), 1);
    }
    let tracer = Tracer::new(true);
    let token = CancelToken::new();
    token.cancel();
    let stats = job(1).cancel(&token).run(&tracer, |_| Ok::<(), ()>(())).unwrap_err().stats;
    assert_eq!(tracer.calls()[1].2, Call::JobEnds(TracedEnding::Cancelled, Box::new(stats)));
}

#[test]
fn nested_jobs_have_different_trace_numbers() {
    let tracer = Tracer::new(true);
    let outer = Job::new(Items::new(0)..Items::new(2)).threads_exact(1);
    let ran = outer.run(&tracer, |chunk| {
        let inner = Job::new(Items::new(0)..Items::new(3)).threads_exact(1).within(&chunk);
        inner.run(&tracer, |_| Ok::<(), ()>(())).map(drop).map_err(drop)
    });
    assert!(ran.is_ok());
    let ids: Vec<u64> = tracer.calls().iter().map(|(trace_id, ..)| *trace_id).collect();
    // The inner job runs inside the chunk of the outer job.
    assert_eq!(ids, [10, 10, 11, 11, 11, 11, 10, 10]);
}
