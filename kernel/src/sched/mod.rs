//! Kernel threads: per-CPU run queues, preemption, blocking, sleeping.
//!
//! * [`thread`]: what a thread is.
//! * [`table`]: all threads, by number.
//! * [`spawn`]: how threads begin and end.
//! * [`account`]: what a thread has had.
//! * [`cpus`]: what each CPU has, its run queue first of all.
//! * [`queue`]: a CPU's run queue, locked.
//! * [`place`]: on which CPU a thread is queued: waking up, stealing, balance.
//! * [`resched`]: what changes which thread should run.
//! * [`switch`]: the one function that switches threads.
//! * [`park`]: how threads block, wake each other and end.
//! * [`reap`](mod@reap): dead threads, to be freed.
//! * [`preempt`]: when the current thread leaves its CPU without blocking.
//! * [`affinity`]: which CPUs a thread may run on.
//! * [`idle`]: the idle thread of each CPU.
//! * [`group`]: what threads use and may use together.
//! * [`held`]: checks of the mutexes that a thread holds, in debug builds. `thread_locks` is the part in its record.
//! * [`donation`]: weight that a waiting thread gives to the thread it waits for.
//! * [`hotplug`]: CPUs that go and come back.
//! * [`wait`]: wait queues, completions and semaphores, built on park and unpark. `completion` is the part in its record.
//! * [`mutex`]: a lock that is waited for asleep, with an owner who is lent weight.
//! * [`snapshot`]: threads and CPUs as a listing shows them.
//! * [`timer_queue`] and [`timer`]: deadlines, and the one-shot timer behind them.
//! * [`pool`]: threads that wait for work to be handed to them.
//!
//! A thread is on at most one CPU (invariant 3); a run queue is only touched
//! under its lock, with interrupts off (invariant 4). Nothing here allocates but
//! spawning.

mod account;
mod affinity;
mod completion;
mod cpus;
mod donation;
pub mod group;
mod held;
pub mod hotplug;
mod idle;
pub mod mutex;
mod park;
mod place;
pub mod pool;
mod preempt;
mod queue;
mod reap;
mod resched;
pub mod snapshot;
mod spawn;
mod switch;
mod table;
mod thread;
#[cfg(debug_assertions)]
mod thread_locks;
mod timer;
mod timer_queue;
pub mod wait;

pub use affinity::{AffinityError, set_affinity, set_node_preference};
pub use cpus::{active as online_cpus, attach as attach_cpu, idle_count};
pub use donation::{donate_weight, set_nice, withdraw_donation};
#[cfg(debug_assertions)]
pub use held::{enter_helper_context, held_classes};
pub use idle::{idle_forever, start_cpu};
#[cfg(debug_assertions)]
pub use park::debug_assert_may_block;
pub use park::{park, unpark};
pub use preempt::{interrupt_return, reschedule_interrupt, timer_interrupt, yield_now};
pub use reap::reap;
pub use snapshot::snapshot;
pub use spawn::{JoinHandle, Spawn, SpawnError, spawn, spawn_on};
pub use table::{name_while_stopped, thread_count};
pub use thread::{Thread, current, current_arc, current_name, name_of_current_on};

use crate::arch::tsc;

/// Switches from one thread to another on CPU number `cpu` so far.
pub fn switches_of(cpu: usize) -> u64 {
    cpus::get(cpu).switches()
}

/// Times that it was decided who runs on on CPU number `cpu`: switches, and slices after which the running thread was let
/// run on. While threads wait there, these go on, whoever wins.
pub fn sched_decisions(cpu: usize) -> u64 {
    cpus::get(cpu).sched_decisions()
}

/// Threads that wait for CPU number `cpu`.
pub fn queue_length(cpu: usize) -> u32 {
    cpus::get(cpu).nr_queued()
}

/// Whether CPU number `cpu` has nothing to run.
pub fn is_idle(cpu: usize) -> bool {
    cpus::load_of(cpu).is_some_and(runqueue::Load::is_idle)
}

/// Returns once every thread that has ended has left its stack and was freed.
pub fn reap_all_exited() {
    while table::ended_count() > 0 {
        reap();
        yield_now();
    }
}

/// Blocks the calling thread for at least `ns` nanoseconds.
pub fn sleep_ns(ns: u64) {
    let deadline_ns = tsc::now_ns().saturating_add(ns);
    while tsc::now_ns() < deadline_ns {
        park(Some(deadline_ns));
    }
}
