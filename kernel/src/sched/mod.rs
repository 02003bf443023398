//! Kernel threads: per-CPU run queues, preemption, blocking, sleeping.
//!
//! The files, each of which imports only files above it:
//!
//! * [`account`]: CPU time and counts of threads and groups; [`group`]: groups and their quotas.
//! * `thread_locks`, `completion`, `donee` and `turnstile`: parts of a thread's record. [`thread`]: the record. [`table`]: all threads, by number.
//! * [`timer_queue`]: the deadlines of one CPU. [`cpus`]: the scheduler data of each CPU. [`queue`]: its run queue, locked.
//! * [`timer`]: the one-shot timers.
//! * [`place`]: on which CPU a thread is queued: waking up, balance.
//! * [`resched`]: what changes which thread should run. [`misplaced`]: threads queued where they may not run.
//! * [`steal`]: threads for a CPU that has none.
//! * [`reap`](mod@reap): dead threads, to be freed.
//! * [`switch`]: the one function that switches threads.
//! * [`park`](mod@park): how threads block, wake each other and end.
//! * [`preempt`]: when the current thread leaves its CPU without blocking.
//! * [`affinity`]: which CPUs a thread may run on.
//! * [`wait`]: wait queues, completions and semaphores, built on park and unpark.
//! * [`spawn`](mod@spawn): how threads begin, end and are joined. [`idle_poll`]: an idle CPU that polls. [`idle`]: the idle thread of
//!   each CPU.
//! * [`held`]: checks of the mutexes that a thread holds, in debug builds.
//! * [`donation`]: weight that a waiting thread gives to the thread or work item that it waits for.
//! * [`mutex`]: a lock whose waiters sleep, and donate their weight to its owner.
//! * `exits`: waiting until no ended thread is left.
//! * [`pool`]: worker threads, which run the work items of others.
//! * [`hotplug`]: CPUs that go offline and come back.
//! * [`snapshot`](mod@snapshot): threads and CPUs as a listing shows them.
//!
//! A thread is on at most one CPU (invariant 3). A run queue is only touched under its lock, with interrupts off
//! (invariant 4). Only spawning allocates.

mod account;
mod affinity;
mod completion;
mod cpus;
mod donation;
mod donee;
mod exits;
pub mod group;
mod held;
pub mod hotplug;
mod idle;
mod idle_poll;
mod misplaced;
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
mod steal;
mod switch;
mod table;
mod thread;
#[cfg(debug_assertions)]
mod thread_locks;
mod timer;
mod timer_queue;
mod turnstile;
pub mod wait;

pub use affinity::{AffinityError, set_affinity, set_node_preference};
pub use cpus::{active as online_cpus, attach as attach_cpu, idle_count};
pub use donation::{donate_weight, set_nice, withdraw_donation};
pub use exits::reap_all_exited;
#[cfg(debug_assertions)]
pub use held::{enter_helper_context, held_classes};
pub use idle::{idle_forever, start_cpu};
pub use idle_poll::{is_polling, pin_polling, polled_wakes};
#[cfg(debug_assertions)]
pub use park::debug_assert_may_block;
pub use park::{park, unpark};
#[cfg(debug_assertions)]
pub use preempt::preempt_by_chaos;
pub use preempt::{interrupt_return, reschedule_interrupt, timer_interrupt, yield_now};
pub use snapshot::snapshot;
pub use spawn::{JoinHandle, Spawn, SpawnError, spawn, spawn_on};
pub use steal::search_as_idle;
pub use table::{name_while_stopped, thread_count};
pub use thread::{Thread, current, current_arc, current_name, name_of_current_on};
pub use timer::move_all as move_deadlines;

use crate::arch::tsc;

/// Returns the number of switches from one thread to another on CPU number `cpu`.
pub fn switches_of(cpu: usize) -> u64 {
    cpus::get(cpu).switches()
}

/// Returns the number of decisions which thread runs next on CPU number `cpu`: switches, and slices after which the current
/// thread kept the CPU. While threads are queued there, the number grows, whatever the decisions are.
pub fn sched_decisions(cpu: usize) -> u64 {
    cpus::get(cpu).sched_decisions()
}

/// Returns the number of threads that are queued on CPU number `cpu`.
pub fn queue_length(cpu: usize) -> u32 {
    cpus::get(cpu).nr_queued()
}

/// Whether CPU number `cpu` has nothing to run.
pub fn is_idle(cpu: usize) -> bool {
    cpus::load_of(cpu).is_some_and(runqueue::Load::is_idle)
}

/// Blocks the calling thread for at least `ns` nanoseconds.
pub fn sleep_ns(ns: u64) {
    let deadline_ns = tsc::now_ns().saturating_add(ns);
    while tsc::now_ns() < deadline_ns {
        park(Some(deadline_ns));
    }
}
