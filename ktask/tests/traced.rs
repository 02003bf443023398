//! What a platform that traces is told: every job and chunk once, by who does it, in order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread, ThreadId};
use std::time::{Duration, Instant};

use ktask::{
    CancelToken, HelperId, HelperTask, Items, Job, Placement, Platform, Stats, TracedChunk, TracedEnding,
    TracedJob,
};

#[derive(Clone, Debug, PartialEq)]
enum Told {
    JobBegins(TracedJob),
    JobEnds(TracedEnding, Box<Stats>),
    ChunkBegins(TracedChunk),
    ChunkEnds(TracedChunk, bool),
}

/// Threads made as they are needed, and everything that is told.
#[derive(Clone)]
struct Tracer {
    told: Arc<Mutex<Vec<(u64, ThreadId, Told)>>>,
    jobs: Arc<AtomicU64>,
    wants: bool,
    epoch: Instant,
}

impl Tracer {
    fn new(wants: bool) -> Self {
        Self { told: Arc::default(), jobs: Arc::default(), wants, epoch: Instant::now() }
    }

    fn push(&self, trace_id: u64, told: Told) {
        self.told.lock().unwrap().push((trace_id, thread::current().id(), told));
    }

    fn told(&self) -> Vec<(u64, ThreadId, Told)> {
        self.told.lock().unwrap().clone()
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
        match deadline_ns {
            None => thread::park(),
            Some(at_ns) => thread::park_timeout(Duration::from_nanos(at_ns.saturating_sub(self.now_ns()))),
        }
    }
    fn unpark(&self, thread: &Thread) {
        thread.unpark();
    }
    fn start_helper(&self, task: HelperTask<Self>, _: Placement) -> Result<HelperId, HelperTask<Self>> {
        thread::spawn(move || task.run());
        Ok(HelperId(0))
    }
    fn job_begins(&self, job: &TracedJob) -> u64 {
        if !self.wants {
            return 0;
        }
        let trace_id = 10 + self.jobs.fetch_add(1, Ordering::SeqCst);
        self.push(trace_id, Told::JobBegins(*job));
        trace_id
    }
    fn job_ends(&self, trace_id: u64, ending: TracedEnding, stats: &Stats) {
        self.push(trace_id, Told::JobEnds(ending, Box::new(*stats)));
    }
    fn chunk_begins(&self, trace_id: u64, chunk: TracedChunk) {
        self.push(trace_id, Told::ChunkBegins(chunk));
    }
    fn chunk_ends(&self, trace_id: u64, chunk: TracedChunk, is_done: bool) {
        self.push(trace_id, Told::ChunkEnds(chunk, is_done));
    }
}

fn job(threads: usize) -> Job<'static, Items> {
    Job::new(Items::new(5)..Items::new(1005)).min_chunk(Items::new(7)).threads_exact(threads).name("test")
}

#[test]
fn a_job_is_told_with_all_its_chunks() {
    for threads in [1, 2, 4] {
        let tracer = Tracer::new(true);
        let stats = job(threads).run(&tracer, |_| Ok::<(), ()>(())).unwrap();
        let told = tracer.told();
        assert!(told.iter().all(|(trace_id, ..)| *trace_id == 10));
        let (first, last) = (&told[0].2, &told[told.len() - 1].2);
        assert!(
            matches!(first, Told::JobBegins(TracedJob { name: "test", start: 5, units: 1000, .. })),
            "{first:?}"
        );
        assert_eq!(*last, Told::JobEnds(TracedEnding::Complete, Box::new(stats)));
        // Each unit is in one chunk, which begins and ends on one thread with nothing of it in between.
        let mut units = Vec::new();
        let mut at_work = std::collections::HashMap::new();
        for (_, thread, told) in &told {
            match told {
                Told::ChunkBegins(chunk) => {
                    assert_eq!(at_work.insert(*thread, *chunk), None);
                    assert!(chunk.worker < threads);
                    units.extend(chunk.start..chunk.end);
                }
                Told::ChunkEnds(chunk, is_done) => {
                    assert_eq!((at_work.remove(thread), *is_done), (Some(*chunk), true));
                }
                _ => assert!(at_work.is_empty()),
            }
        }
        units.sort_unstable();
        assert!(units.into_iter().eq(5..1005), "{threads} threads");
        let chunks = told.iter().filter(|(.., told)| matches!(told, Told::ChunkBegins(_))).count();
        assert_eq!(chunks as u64, stats.chunks);
    }
}

#[test]
fn who_does_not_want_to_be_told_is_not() {
    let tracer = Tracer::new(false);
    job(2).run(&tracer, |_| Ok::<(), ()>(())).unwrap();
    assert_eq!(tracer.told(), []);
}

#[test]
fn failures_and_cancelling_are_told_and_the_undo_is_not() {
    for threads in [1, 3] {
        let tracer = Tracer::new(true);
        let undo = |_| {};
        let failing = job(threads).undo(&undo);
        let failed =
            failing.run(&tracer, |chunk| if chunk.indices().contains(&500) { Err(()) } else { Ok(()) });
        let stats = failed.unwrap_err().stats;
        let told = tracer.told();
        assert_eq!(told[told.len() - 1].2, Told::JobEnds(TracedEnding::Failed, Box::new(stats)));
        let begun = told.iter().filter(|(.., told)| matches!(told, Told::ChunkBegins(_))).count();
        assert_eq!(begun as u64, stats.chunks, "{threads} threads");
        let failed: Vec<_> =
            told.iter().filter(|(.., told)| matches!(told, Told::ChunkEnds(_, false))).collect();
        assert_eq!(failed.len(), 1);
    }
    let tracer = Tracer::new(true);
    let token = CancelToken::new();
    token.cancel();
    let stats = job(1).cancel(&token).run(&tracer, |_| Ok::<(), ()>(())).unwrap_err().stats;
    assert_eq!(tracer.told()[1].2, Told::JobEnds(TracedEnding::Cancelled, Box::new(stats)));
}

#[test]
fn nested_jobs_have_numbers_of_their_own() {
    let tracer = Tracer::new(true);
    let outer = Job::new(Items::new(0)..Items::new(2)).threads_exact(1);
    let ran = outer.run(&tracer, |chunk| {
        let inner = Job::new(Items::new(0)..Items::new(3)).threads_exact(1).within(&chunk);
        inner.run(&tracer, |_| Ok::<(), ()>(())).map(drop).map_err(drop)
    });
    assert!(ran.is_ok());
    let ids: Vec<u64> = tracer.told().iter().map(|(trace_id, ..)| *trace_id).collect();
    // The outer one's chunk lies around the inner job.
    assert_eq!(ids, [10, 10, 11, 11, 11, 11, 10, 10]);
}
