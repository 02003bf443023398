//! The kernel as the platform of ktask: threads, time and helpers for jobs.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

#[cfg(debug_assertions)]
use ktask::{HelperContext, LockSet};
use ktask::{HelperId, HelperTask, NodeId, Placement, Platform, Stats, TracedChunk, TracedEnding, TracedJob};
use params::registry::{FAULT_HELPER_SPAWN, KTASK_ENABLED, KTASK_MAX_THREADS};
use runqueue::Nice;
use trace::event::ID_END;
use trace::{Event, EventClass, Named, Outcome};

use super::helpers;
pub use super::kernel::Kernel;
use crate::arch::chaos::{self, Point};
use crate::arch::percpu::{self, PerCpu};
use crate::arch::{tracepoint, tsc};
use crate::platform::nodes;
use crate::sched::{self, Thread};

/// Attempts to start a helper, for fault injection.
static HELPER_ATTEMPTS: AtomicU64 = AtomicU64::new(0);

/// Restarts the count of attempts to start a helper, for `fault.helper_spawn`.
pub fn restart_fault_count() {
    HELPER_ATTEMPTS.store(0, SeqCst);
}

/// Number of traced jobs.
static JOBS_TRACED: AtomicU32 = AtomicU32::new(0);

fn is_of_node(cpu: &PerCpu, node: NodeId) -> bool {
    nodes::of_cpu(cpu.id()) == node.0 as usize
}

/// Returns `cpus`, or as many as the quota of the caller's group is worth.
fn within_quota(cpus: usize, caller: &Thread) -> usize {
    caller.charged_group().quota().map_or(cpus, |quota| cpus.min(quota.cpus()))
}

impl Platform for Kernel {
    type Thread = Arc<Thread>;

    fn online_cpus(&self) -> usize {
        let caller = sched::current();
        within_quota((caller.allowed() & sched::online_cpus()).count(), caller)
    }

    fn nodes(&self) -> usize {
        nodes::nodes().len()
    }

    fn online_cpus_of_node(&self, node: NodeId) -> usize {
        let caller = sched::current();
        let allowed = caller.allowed() & sched::online_cpus();
        let is_usable = |cpu: &&PerCpu| allowed.contains(cpu.id().index()) && is_of_node(cpu, node);
        within_quota(percpu::all().filter(is_usable).count(), caller)
    }

    fn budget_cpus(&self, node: Option<NodeId>) -> usize {
        match node {
            None => sched::online_cpus().count(),
            Some(node) => percpu::all().filter(|cpu| cpu.is_online() && is_of_node(cpu, node)).count(),
        }
    }

    fn caller_level(&self) -> u8 {
        sched::current().level().map_or(u8::MAX, |level| level.get().abs_diff(Nice::MIN.get()))
    }

    fn current_node(&self) -> NodeId {
        NodeId(nodes::current() as u32)
    }

    fn node_distance(&self, from: NodeId, to: NodeId) -> u32 {
        nodes::nodes().distance(from.0 as usize, to.0 as usize).into()
    }

    fn now_ns(&self) -> u64 {
        tsc::now_ns()
    }

    fn current_thread(&self) -> Arc<Thread> {
        sched::current_arc()
    }

    fn park(&self, deadline_ns: Option<u64>) {
        sched::park(deadline_ns);
    }

    fn unpark(&self, thread: &Arc<Thread>) {
        sched::unpark(thread);
    }

    fn start_helper(
        &self,
        task: HelperTask<Self>,
        placement: Placement,
    ) -> Result<HelperId, HelperTask<Self>> {
        let attempt = HELPER_ATTEMPTS.fetch_add(1, SeqCst) + 1;
        if FAULT_HELPER_SPAWN.get().is_some_and(|first| attempt >= first) {
            return Err(task);
        }
        helpers::start(task, placement)
    }

    fn cancel_helper(&self, helper: HelperId) -> Option<HelperTask<Self>> {
        helpers::cancel(helper)
    }

    fn lend_weight(&self, helper: HelperId, lend: bool) {
        if lend {
            helpers::donate_weight(helper);
        } else {
            sched::withdraw_donation();
        }
    }

    fn charge(&self, _caller: &Arc<Thread>, _cpu_ns: u64) {
        // The worker's own account is charged up to now. `cpu_ns` is not used: the time of a task that runs while its thread
        // waits in another task is contained in both their times. A caller that runs a task itself is charged anyway.
        sched::current().flush_charges();
    }

    fn job_begins(&self, job: &TracedJob) -> u64 {
        let is_traced = tracepoint::is_on(EventClass::Job) || tracepoint::is_on(EventClass::Chunk);
        // Chunks have switch points, which only a job with a number reports.
        #[cfg(debug_assertions)]
        let is_traced = is_traced || chaos::is_on();
        if !is_traced {
            return 0;
        }
        // Never 0: that is the id of a job that is not traced.
        let number = JOBS_TRACED.fetch_add(1, SeqCst) % (ID_END - 1) + 1;
        tracepoint::name(Named::Job, number, job.name);
        let (start, units) = (job.start, job.units);
        tracepoint::event(EventClass::Job, || Event::JobBegin { job: number, start, units });
        number.into()
    }

    fn job_ends(&self, trace_id: u64, ending: TracedEnding, stats: &Stats) {
        let outcome = match ending {
            TracedEnding::Complete => Outcome::Complete,
            TracedEnding::Cancelled => Outcome::Cancelled,
            TracedEnding::DeadlinePassed => Outcome::DeadlinePassed,
            _ => Outcome::Failed,
        };
        let (chunks, threads) = (stats.chunks, stats.threads_used as u16);
        tracepoint::event(EventClass::Job, || Event::JobEnd {
            job: trace_id as u32,
            outcome,
            chunks,
            threads,
        });
    }

    fn chunk_begins(&self, trace_id: u64, chunk: TracedChunk) {
        chaos::point(Point::ChunkBegin);
        let TracedChunk { start, end, worker, .. } = chunk;
        let (job, worker, units) = (trace_id as u32, worker as u16, end - start);
        tracepoint::event(EventClass::Chunk, || Event::ChunkBegin { job, worker, start, units });
    }

    fn chunk_ends(&self, trace_id: u64, chunk: TracedChunk, is_done: bool) {
        let (job, start) = (trace_id as u32, chunk.start);
        tracepoint::event(EventClass::Chunk, || Event::ChunkEnd { job, ok: is_done, start });
        chaos::point(Point::ChunkEnd);
    }

    fn thread_time_ns(&self) -> u64 {
        sched::current().cpu_time_ns()
    }

    /// # Panics
    /// Where a thread must not block: the job may have to wait for its helpers.
    #[cfg(debug_assertions)]
    fn held_locks(&self) -> LockSet {
        sched::debug_assert_may_block("a job is run");
        LockSet(sched::held_classes())
    }

    #[cfg(debug_assertions)]
    fn begin_help(&self, context: HelperContext) -> HelperContext {
        sched::debug_assert_may_block("a helper starts");
        let mut before = HelperContext::NONE;
        (before.caller_locks.0, before.depth) =
            sched::enter_helper_context(context.caller_locks.0, context.depth);
        before
    }

    #[cfg(debug_assertions)]
    fn end_help(&self, before: HelperContext) {
        sched::debug_assert_may_block("a helper ends");
        sched::enter_helper_context(before.caller_locks.0, before.depth);
    }

    fn max_threads(&self) -> usize {
        match KTASK_MAX_THREADS.get() {
            0 => ktask::MAX_WORKERS,
            limit => limit as usize,
        }
    }

    fn enabled(&self) -> bool {
        KTASK_ENABLED.get()
    }
}
