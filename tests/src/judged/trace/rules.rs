//! Rules that the trace of every correct run obeys.

use ktask_boot::trace::collect::{Names, Trace};
use std::collections::{BTreeMap, HashMap, HashSet};
use trace::{Event, Outcome, Stamped};

/// Result of a rule; the error says what breaks it.
type Rule<T = ()> = Result<T, String>;

/// A job, reconstructed from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedJob {
    /// Its name.
    pub name: String,
    /// Units of the job.
    pub units: u64,
    /// Processed chunks.
    pub chunks: u64,
    /// Threads that processed at least one chunk.
    pub threads: u32,
}

/// Checks that each CPU's events are of the thread that was switched to last, and that time does not go back.
pub fn one_thread_at_a_time(trace: &Trace) -> Rule {
    for (cpu, of_cpu) in &trace.cpus {
        let mut running = None;
        let mut last_ns = 0;
        for stamped in &of_cpu.events {
            if stamped.ns < last_ns {
                return Err(format!("cpu {cpu}: {stamped:?} comes after {last_ns} ns"));
            }
            last_ns = stamped.ns;
            if running.is_some_and(|running| running != stamped.thread) {
                return Err(format!("cpu {cpu}: {stamped:?}, but thread {running:?} was switched to"));
            }
            running = Some(match stamped.event {
                Event::Switch { next, .. } => next,
                _ => stamped.thread,
            });
        }
    }
    Ok(())
}

/// A period during which a thread ran on a CPU.
#[derive(Clone, Copy)]
struct Stay {
    cpu: u32,
    from_ns: u64,
    to_ns: u64,
}

/// Returns the stays of each thread on CPUs. On each CPU, one stay begins where the previous one ends.
fn stays(trace: &Trace) -> HashMap<u32, Vec<Stay>> {
    let mut stays: HashMap<u32, Vec<Stay>> = HashMap::new();
    for (cpu, of_cpu) in &trace.cpus {
        let mut from_ns = trace.since_ns;
        let mut stay = |thread, to_ns| {
            let stay = Stay { cpu: *cpu, from_ns, to_ns };
            from_ns = to_ns;
            stays.entry(thread).or_default().push(stay);
        };
        let mut running = None;
        for Stamped { ns, thread, event } in &of_cpu.events {
            running = Some(*thread);
            if let Event::Switch { next, .. } = event {
                stay(*thread, *ns);
                running = Some(*next);
            }
        }
        if let Some(thread) = running {
            stay(thread, trace.until_ns);
        }
    }
    stays
}

/// Checks that no thread is on two CPUs at once: invariant 3, observed from the trace.
pub fn threads_are_on_one_cpu(trace: &Trace) -> Rule {
    for (thread, mut stays) in stays(trace) {
        stays.sort_by_key(|stay| (stay.from_ns, stay.to_ns));
        for pair in stays.windows(2) {
            let (first, second) = (pair[0], pair[1]);
            if second.from_ns < first.to_ns {
                return Err(format!(
                    "thread {thread} is on two CPUs at once: on cpu {} up to {} ns, on cpu {} from {} ns on",
                    first.cpu, first.to_ns, second.cpu, second.from_ns
                ));
            }
        }
    }
    Ok(())
}

/// A woken thread that does not run yet.
struct Woken {
    ns: u64,
    cpu: u32,
    /// Number of times that the CPU where it is queued has halted since.
    halts: u32,
}

/// Checks that every woken thread runs before it is woken again, and that at the end no thread is queued on an idle CPU.
pub fn wake_ups_are_answered(trace: &Trace) -> Rule {
    let mut woken: BTreeMap<u32, Woken> = BTreeMap::new();
    for (cpu, _, &Stamped { ns, event, .. }) in trace.in_order() {
        match event {
            Event::Wake { thread, cpu } => {
                let now = Woken { ns, cpu: cpu.into(), halts: 0 };
                if let Some(before) = woken.insert(thread, now) {
                    return Err(format!(
                        "thread {thread} is woken at {} and {ns} ns, and does not run in between",
                        before.ns
                    ));
                }
            }
            Event::Switch { next, .. } => drop(woken.remove(&next)),
            Event::Migrate { thread, to, .. } => {
                if let Some(waiting) = woken.get_mut(&thread) {
                    (waiting.cpu, waiting.halts) = (to.into(), 0);
                }
            }
            Event::HaltEnter => {
                woken
                    .values_mut()
                    .filter(|waiting| waiting.cpu == cpu)
                    .for_each(|waiting| waiting.halts += 1);
            }
            _ => {}
        }
    }
    // One halt is allowed: the CPU checked its queue before the wake-up, and the interrupt is pending.
    match woken.iter().find(|(_, waiting)| waiting.halts > 1) {
        Some((thread, Woken { ns, cpu, halts })) => Err(format!(
            "thread {thread} waits for cpu {cpu} since {ns} ns, to the end; the CPU has halted {halts} times"
        )),
        None => Ok(()),
    }
}

/// A job that has not ended.
#[derive(Debug)]
struct Work {
    name: String,
    start: u64,
    units: u64,
    /// Chunks that have begun: start, units, worker.
    chunks: Vec<(u64, u64, u16)>,
}

/// Checks that each chunk of a job begins and ends once, on one thread, nested as jobs are. The chunks of a completed job cover
/// each of its units exactly once: invariant 5, observed from the trace.
pub fn chunks_tile_jobs(trace: &Trace) -> Rule<Vec<TracedJob>> {
    let mut names: Names = trace.names();
    let mut jobs: HashMap<u32, Work> = HashMap::new();
    let mut at_work: HashMap<u32, Vec<(u32, u64)>> = HashMap::new();
    let mut done = Vec::new();
    for (_, _, Stamped { ns, thread, event }) in trace.in_order() {
        names.note(event);
        match *event {
            Event::JobBegin { job, start, units } => {
                let work = Work { name: names.job(job), start, units, chunks: Vec::new() };
                if jobs.insert(job, work).is_some() {
                    return Err(format!("job {job} begins at {ns} ns before it has ended"));
                }
            }
            Event::ChunkBegin { job, worker, start, units } => {
                at_work.entry(*thread).or_default().push((job, start));
                let work = jobs
                    .get_mut(&job)
                    .ok_or(format!("a chunk of job {job} at {ns} ns, which is not running"))?;
                work.chunks.push((start, units, worker));
            }
            Event::ChunkEnd { job, start, .. } => {
                let open = at_work.entry(*thread).or_default().pop();
                if open != Some((job, start)) {
                    return Err(format!(
                        "thread {thread} ends a chunk {:?} at {ns} ns, but is in {open:?}",
                        (job, start)
                    ));
                }
            }
            Event::JobEnd { job, outcome, chunks, threads } => {
                let work =
                    jobs.remove(&job).ok_or(format!("job {job} ends at {ns} ns without a beginning"))?;
                if let Some((thread, _)) =
                    at_work.iter().find(|(_, open)| open.iter().any(|(of, _)| *of == job))
                {
                    return Err(format!("job {job} ends at {ns} ns while thread {thread} works on it"));
                }
                done.push(work.judge(job, outcome, chunks, threads)?);
            }
            _ => {}
        }
    }
    match (jobs.keys().next(), done.is_empty()) {
        (Some(job), _) => Err(format!("job {job} never ends")),
        (None, true) => Err("there is no job in the trace".into()),
        (None, false) => Ok(done),
    }
}

impl Work {
    fn judge(mut self, job: u32, outcome: Outcome, chunks: u64, threads: u16) -> Rule<TracedJob> {
        let name = &self.name;
        if self.chunks.len() as u64 != chunks {
            return Err(format!(
                "job {job}, {name}: the trace has {} chunks, the job's end {chunks}",
                self.chunks.len()
            ));
        }
        let workers: HashSet<u16> = self.chunks.iter().map(|(.., worker)| *worker).collect();
        if workers.len() != usize::from(threads) {
            return Err(format!(
                "job {job}, {name}: workers {workers:?}, but {threads} threads at the job's end"
            ));
        }
        self.chunks.sort_unstable();
        let mut end = self.start;
        for &(start, units, _) in &self.chunks {
            if start < end || units == 0 {
                return Err(format!(
                    "job {job}, {name}: the chunk of {units} from {start} on begins before {end}"
                ));
            }
            end = start + units;
        }
        let units: u64 = self.chunks.iter().map(|(_, units, _)| units).sum();
        if outcome == Outcome::Complete && units != self.units {
            return Err(format!("job {job}, {name}: the chunks have {units} units, of {}", self.units));
        }
        Ok(TracedJob { name: self.name, units: self.units, chunks, threads: threads.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trace::Why;

    /// Returns a trace with the events of CPUs 0 and 1.
    fn trace(cpus: [&[(u64, u32, Event)]; 2]) -> Trace {
        let mut trace = Trace::default();
        for (number, events) in cpus.into_iter().enumerate() {
            let of_cpu = trace.cpus.entry(number as u32).or_default();
            of_cpu.events = events.iter().map(|&(ns, thread, event)| Stamped { ns, thread, event }).collect();
            trace.until_ns = trace.until_ns.max(of_cpu.events.last().map_or(0, |event| event.ns));
        }
        trace
    }

    fn switch(next: u32) -> Event {
        Event::Switch { next, why: Why::Blocked, waiting: 0 }
    }

    fn breaks(rule: Rule, part: &str) {
        let what = rule.expect_err("the rule is broken");
        assert!(what.contains(part), "{what}");
    }

    #[test]
    fn cpu_runs_the_thread_that_it_switched_to() {
        let valid = [(10, 1, switch(2)), (20, 2, Event::HaltEnter)];
        assert_eq!(one_thread_at_a_time(&trace([&valid, &[]])), Ok(()));
        let other = [(10, 1, switch(2)), (20, 3, Event::HaltEnter)];
        breaks(one_thread_at_a_time(&trace([&other, &[]])), "thread: 3");
        let back = [(10, 1, switch(2)), (9, 2, Event::HaltEnter)];
        breaks(one_thread_at_a_time(&trace([&[], &back])), "comes after 10");
    }

    #[test]
    fn thread_on_two_cpus_is_found() {
        let first = [(10, 0, switch(7)), (30, 7, switch(0))];
        let after = [(5, 1, Event::HaltExit), (30, 1, switch(7)), (50, 7, switch(1))];
        assert_eq!(threads_are_on_one_cpu(&trace([&first, &after])), Ok(()));
        let during = [(5, 1, Event::HaltExit), (29, 1, switch(7)), (50, 7, switch(1))];
        breaks(threads_are_on_one_cpu(&trace([&first, &during])), "thread 7 is on two CPUs");
        // Also a thread that never leaves its CPU.
        let stays = [(10, 0, switch(7)), (60, 7, Event::HaltEnter)];
        breaks(threads_are_on_one_cpu(&trace([&stays, &after])), "thread 7 is on two CPUs");
    }

    #[test]
    fn lost_wake_up_is_found() {
        let wake = Event::Wake { thread: 7, cpu: 1 };
        let waker = [(10, 0, wake)];
        let answers = [(5, 1, Event::HaltEnter), (20, 1, Event::HaltExit), (21, 1, switch(7))];
        assert_eq!(wake_ups_are_answered(&trace([&waker, &answers])), Ok(()));
        let halts = [(5, 1, Event::HaltEnter), (20, 1, Event::HaltEnter), (30, 1, Event::HaltEnter)];
        breaks(wake_ups_are_answered(&trace([&waker, &halts])), "thread 7 waits for cpu 1 since 10 ns");
        // One halt is allowed; a stolen thread is queued on another CPU.
        assert_eq!(wake_ups_are_answered(&trace([&waker, &halts[..2]])), Ok(()));
        let fetched = [(10, 0, wake), (11, 0, Event::Migrate { thread: 7, from: 1, to: 0 })];
        assert_eq!(wake_ups_are_answered(&trace([&fetched, &halts])), Ok(()));
        breaks(
            wake_ups_are_answered(&trace([&[(10, 0, wake), (12, 0, wake)], &[]])),
            "is woken at 10 and 12",
        );
    }

    /// Judges a job of 100 units in two chunks, with the given second chunk and numbers at its end.
    fn job(second: (u64, u64), at_end: (u64, u16)) -> Rule<Vec<TracedJob>> {
        let chunk = |worker, start, units| Event::ChunkBegin { job: 3, worker, start, units };
        let end = |start| Event::ChunkEnd { job: 3, ok: true, start };
        let caller = [
            (10, 1, Event::JobBegin { job: 3, start: 0, units: 100 }),
            (11, 1, chunk(0, 0, 60)),
            (15, 1, end(0)),
            (
                30,
                1,
                Event::JobEnd { job: 3, outcome: Outcome::Complete, chunks: at_end.0, threads: at_end.1 },
            ),
        ];
        let helper = [(12, 2, chunk(1, second.0, second.1)), (14, 2, end(second.0)), (40, 2, switch(0))];
        chunks_tile_jobs(&trace([&caller, &helper]))
    }

    #[test]
    fn units_processed_twice_or_never_are_found() {
        let valid = TracedJob { name: "job 3".into(), units: 100, chunks: 2, threads: 2 };
        assert_eq!(job((60, 40), (2, 2)), Ok(vec![valid]));
        for (second, at_end, part) in [
            ((59, 41), (2, 2), "begins before 60"),
            ((59, 40), (2, 2), "begins before 60"),
            ((60, 39), (2, 2), "the chunks have 99 units, of 100"),
            ((60, 41), (2, 2), "the chunks have 101 units, of 100"),
            ((60, 40), (3, 2), "the trace has 2 chunks, the job's end 3"),
            ((60, 40), (2, 1), "but 1 threads at the job's end"),
        ] {
            breaks(job(second, at_end).map(drop), part);
        }
    }

    #[test]
    fn chunks_that_do_not_nest_are_found() {
        let begin = |start| Event::ChunkBegin { job: 3, worker: 0, start, units: 1 };
        let end = |start| Event::ChunkEnd { job: 3, ok: true, start };
        let job_begins = Event::JobBegin { job: 3, start: 0, units: 2 };
        let job_ends = Event::JobEnd { job: 3, outcome: Outcome::Complete, chunks: 2, threads: 1 };
        let crossed = [(1, 1, job_begins), (2, 1, begin(0)), (3, 1, begin(1)), (4, 1, end(0))];
        breaks(chunks_tile_jobs(&trace([&crossed, &[]])).map(drop), "ends a chunk (3, 0)");
        let outlives = [(1, 1, job_begins), (2, 1, begin(0)), (3, 1, job_ends)];
        breaks(chunks_tile_jobs(&trace([&outlives, &[]])).map(drop), "while thread 1 works on it");
        breaks(chunks_tile_jobs(&trace([&outlives[..2], &[]])).map(drop), "job 3 never ends");
        breaks(chunks_tile_jobs(&trace([&[(1, 1, begin(0))], &[]])).map(drop), "which is not running");
        breaks(chunks_tile_jobs(&trace([&[], &[]])).map(drop), "no job");
    }
}
