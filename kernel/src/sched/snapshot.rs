//! Threads and CPUs as a listing shows them.
//!
//! Nothing is stopped, and no lock is held from one thread to the next. So the reports are not of one moment: a thread may
//! have changed before the next one is read. A report only keeps its thread's record from being freed.

use alloc::collections::TryReserveError;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst};

use runqueue::{CpuMask, Nice, Tid, Weight};

use super::account::{NO_CPU, Usage};
use super::cpus;
use super::group::Group;
use super::table;
use super::thread::Thread;
use crate::arch::percpu::{self, PerCpu};
use crate::arch::tsc;
use crate::platform::nodes;

/// What a thread is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ThreadState {
    /// A CPU runs it.
    Running,
    /// It is queued.
    Ready,
    /// It is blocked until a deadline at the latest.
    Sleeping,
    /// It is blocked until it is woken.
    Blocked,
    /// Its group has used up its quota.
    Throttled,
    /// It has ended, and is not freed yet.
    Ended,
}

impl fmt::Display for ThreadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Ready => "ready",
            Self::Sleeping => "sleeping",
            Self::Blocked => "blocked",
            Self::Throttled => "throttled",
            Self::Ended => "ended",
        })
    }
}

/// The report about one thread.
#[derive(Debug, Clone)]
pub struct ThreadReport {
    thread: Arc<Thread>,
    /// What it is doing.
    pub state: ThreadState,
    /// The CPU that runs it, ran it last, or has it in its queue.
    pub cpu: usize,
    /// That CPU's memory node.
    pub node: usize,
    /// The memory node whose CPUs it prefers, if any.
    pub preferred_node: Option<usize>,
    /// Its nice level; `None`: it is in the idle class.
    pub nice: Option<Nice>,
    /// Its weight now, with donations.
    pub weight: Weight,
    /// CPUs that it may run on.
    pub allowed: CpuMask,
    /// What it has used.
    pub usage: Usage,
}

impl ThreadReport {
    fn of(thread: Arc<Thread>) -> Self {
        let cpu = thread.cpu.load(SeqCst);
        Self {
            state: state_of(&thread),
            cpu,
            node: nodes::nodes().node_of_cpu(cpu),
            preferred_node: thread.preferred_node(),
            nice: thread.entity.nice().filter(|_| !thread.is_idle()),
            weight: thread.entity.weight(),
            allowed: thread.allowed(),
            usage: thread.usage(),
            thread,
        }
    }

    /// Returns the thread.
    pub fn thread(&self) -> &Arc<Thread> {
        &self.thread
    }

    /// Returns its number.
    pub fn tid(&self) -> Tid {
        self.thread.tid()
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        self.thread.name()
    }

    /// Returns the group that it belongs to.
    pub fn group(&self) -> &Arc<Group> {
        self.thread.group()
    }
}

fn state_of(thread: &Thread) -> ThreadState {
    // Each of these may change meanwhile: the answer was true at some time during the call.
    if thread.has_ended() {
        ThreadState::Ended
    } else if thread.is_running() {
        ThreadState::Running
    } else if thread.is_throttled.load(SeqCst) {
        ThreadState::Throttled
    } else if !thread.park.is_parked() {
        ThreadState::Ready
    } else if thread.timer_cpu.load(SeqCst) != NO_CPU {
        ThreadState::Sleeping
    } else {
        ThreadState::Blocked
    }
}

/// The report about one CPU.
#[derive(Debug, Clone)]
pub struct CpuReport {
    /// Its number.
    pub cpu: usize,
    /// Its memory node.
    pub node: usize,
    /// Whether it takes threads.
    pub is_online: bool,
    /// The thread that it runs, perhaps its idle thread; `None`: it never started.
    pub running: Option<Arc<Thread>>,
    /// Threads in its queue.
    pub nr_queued: u32,
    /// Weight of these and the running one; 0 for the idle thread.
    pub weight: u32,
    /// Time for which it ran its idle thread, in nanoseconds.
    pub idle_ns: u64,
    /// Switches from one thread to another.
    pub switches: u64,
    /// Interrupts taken.
    pub interrupts: u64,
}

impl CpuReport {
    fn of(block: &PerCpu) -> Self {
        let cpu = block.id().index();
        let data = cpus::get(cpu);
        Self {
            cpu,
            node: nodes::of_cpu(block.id()),
            is_online: cpus::is_active(cpu),
            running: table::current_on(block),
            nr_queued: data.nr_queued(),
            weight: data.weight(),
            idle_ns: if data.has_started() { data.idle_thread().cpu_time_ns() } else { 0 },
            switches: data.switches(),
            // Relaxed: only shown.
            interrupts: block.interrupt_count.load(Relaxed),
        }
    }

    /// Whether it runs its idle thread.
    pub fn is_idle(&self) -> bool {
        self.running.as_ref().is_none_or(|thread| thread.is_idle())
    }
}

/// Reports every thread, by number, idle threads included. Takes no memory.
pub fn threads() -> impl Iterator<Item = ThreadReport> {
    (0..table::MAX_THREADS).filter_map(table::at).map(ThreadReport::of)
}

/// Reports every CPU that was found, by number. Takes no memory.
pub fn cpu_reports() -> impl Iterator<Item = CpuReport> {
    percpu::all().map(CpuReport::of)
}

/// The reports about all threads and CPUs.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When it was started, on the clock of [`tsc::now_ns`].
    pub taken_ns: u64,
    /// Threads by number.
    pub threads: Vec<ThreadReport>,
    /// CPUs by number.
    pub cpus: Vec<CpuReport>,
}

/// Reports all threads and CPUs; an error when there is no memory for the reports.
pub fn snapshot() -> Result<Snapshot, TryReserveError> {
    let taken_ns = tsc::now_ns();
    let mut found = Vec::new();
    found.try_reserve(table::thread_count())?;
    for report in threads() {
        // More may have come since they were counted.
        found.try_reserve(1)?;
        found.push(report);
    }
    let mut cpus = Vec::new();
    cpus.try_reserve_exact(percpu::cpu_count())?;
    cpus.extend(cpu_reports());
    Ok(Snapshot { taken_ns, threads: found, cpus })
}
