//! Parameters that change at run time, as `sysctl` changes them: each change has an effect, or is refused.

use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use ::trace::EventClass;
use ktask::{Items, Job};
use params::registry::{ALL, APPLIED_WHEN_CHANGED, TRACE_BUFFER_EVENTS};
use spin::Mutex;

use super::pools::{must, unbound};
use super::wait::{jobs_have_helpers, within_20_s};
use crate::arch::tracepoint;
use crate::debug::ktest::{Stopped, TestResult};
use crate::debug::trace;
use crate::jobs::platform::Kernel;
use crate::sched::{self, pool, pool::WorkAttrs};
use crate::shell::sysctl;
use crate::{check, kernel_tests, skip_if};

/// Changes a parameter as `sysctl` does.
fn change(name: &str, value: &str) -> TestResult {
    sysctl::change(name, value).map_err(Stopped::Failed)
}

/// Runs `check`, and then sets the parameters back to the given values.
fn then_restore(defaults: &[(&str, &str)], check: impl FnOnce() -> TestResult) -> TestResult {
    let result = check();
    for (name, value) in defaults {
        change(name, value)?;
    }
    result
}

/// Returns whether no pool has a worker.
fn are_all_retired() -> bool {
    pool::all().iter().all(|pool| pool.workers().0 == 0)
}

/// Returns the name of the thread that runs a work item.
fn name_of_the_worker() -> Result<String, Stopped> {
    let name = Arc::new(Mutex::new(String::new()));
    let slot = name.clone();
    let tell = move || *slot.lock() = sched::current_name().into();
    let (item, generation) = must(pool::submit_fn(unbound()?, WorkAttrs::new(), tell))?;
    pool::wait(&item, generation);
    let name = name.lock().clone();
    Ok(name)
}

/// Runs a job on two threads, and returns whether a helper came.
fn is_helped() -> bool {
    let begun = AtomicUsize::new(0);
    let job = Job::new(Items::new(0)..Items::new(2)).min_chunk(Items::new(1)).threads_exact(2);
    let stats = job.run(&Kernel, |_| {
        begun.fetch_add(1, SeqCst);
        // A helper that was refused never comes; one that was started may come late.
        within_20_s(|| begun.load(SeqCst) == 2);
    });
    stats.is_ok_and(|stats| stats.threads_used == 2)
}

kernel_tests! { "parameters":
    fn every_change_is_applied_by_a_function() {
        for param in ALL {
            let name = param.name();
            let is_listed = APPLIED_WHEN_CHANGED.iter().any(|other| other.name() == name);
            let functions = sysctl::applied().filter(|other| *other == name).count();
            check!(functions == usize::from(is_listed), "{functions} functions apply {name}");
        }
    }

    /// The manager sleeps while there is nothing to retire: a change of the limits wakes it.
    fn idle_workers_leave_when_the_limits_change() {
        then_restore(&[("pool.idle_ms", "5000"), ("pool.keep_workers", "1")], || {
            change("pool.keep_workers", "4096")?;
            change("pool.idle_ms", "1")?;
            name_of_the_worker()?;
            check!(within_20_s(|| pool::all().iter().all(|pool| pool.workers().0 == pool.workers().1)), "a worker is busy");
            change("pool.keep_workers", "0")?;
            check!(within_20_s(are_all_retired), "pool.keep_workers had no effect");
            change("pool.idle_ms", "3600000")?;
            name_of_the_worker()?;
            check!(!are_all_retired(), "the worker left at once");
            change("pool.idle_ms", "1")?;
            check!(within_20_s(are_all_retired), "pool.idle_ms had no effect");
            Ok(())
        })?;
    }

    /// However many workers were started before the change.
    fn the_nth_worker_is_counted_from_the_change() {
        let defaults = [("fault.worker_spawn", "none"), ("pool.idle_ms", "5000"), ("pool.keep_workers", "1")];
        then_restore(&defaults, || {
            change("pool.keep_workers", "0")?;
            change("pool.idle_ms", "1")?;
            for _ in 0..3 {
                check!(within_20_s(are_all_retired), "a worker stays");
                name_of_the_worker()?;
            }
            check!(within_20_s(are_all_retired), "a worker stays");
            change("fault.worker_spawn", "2")?;
            let first = name_of_the_worker()?;
            check!(within_20_s(are_all_retired), "a worker stays");
            let second = name_of_the_worker()?;
            check!(first.starts_with("any/"), "thread {first} ran the first item, not a worker");
            check!(!second.starts_with("any/"), "worker {second} was started");
            Ok(())
        })?;
    }

    fn the_nth_helper_is_counted_from_the_change() needs(Cpus(2)) {
        skip_if!(!jobs_have_helpers(), "no helpers here");
        then_restore(&[("fault.helper_spawn", "none")], || {
            check!(is_helped() && is_helped(), "no helper came before the change");
            change("fault.helper_spawn", "2")?;
            check!(is_helped(), "the first request was refused");
            Ok(())
        })?;
    }

    fn a_change_of_the_traced_classes_counts_at_once() {
        skip_if!(tracepoint::is_any_on(), "tracing is on for the whole run");
        then_restore(&[("trace.events", "all")], || {
            check!(trace::start() == Ok(()));
            let result = change("trace.events", "halt");
            let classes = [EventClass::Switch, EventClass::Halt].map(tracepoint::is_on);
            check!(trace::stop());
            result?;
            check!(classes == [false, true], "switches and halts are traced: {classes:?}");
            change("trace.events", "switch")?;
            check!(!tracepoint::is_any_on(), "a change has switched tracing on");
            Ok(())
        })?;
    }

    fn the_size_of_trace_buffers_that_exist_cannot_change() {
        if !trace::has_rings() {
            check!(trace::start() == Ok(()) && trace::stop());
        }
        let before = TRACE_BUFFER_EVENTS.get();
        let refused = sysctl::change("trace.buffer_events", "32");
        check!(refused.is_err(), "it was not refused");
        check!(TRACE_BUFFER_EVENTS.get() == before, "it is {} now", TRACE_BUFFER_EVENTS.get());
    }
}
