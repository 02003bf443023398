//! The workers of the pools: started on demand, as many as the items need, retired when they stay idle.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use params::Param;
use params::registry::{FAULT_WORKER_SPAWN, POOL_IDLE_MS, POOL_KEEP_WORKERS};
use runqueue::{CpuMask, Nice};

use super::pools::{Gate, failed, must, unbound};
use super::spinners::Spinners;
use super::wait::within_20_s;
use crate::arch::{percpu, tsc};
use crate::debug::ktest::{Stopped, TestResult};
use crate::sched::pool::{self, WorkAttrs};
use crate::sched::{self, Spawn, snapshot};
use crate::{check, kernel_tests};

/// Returns the number of worker threads of all pools.
fn worker_threads() -> usize {
    let is_worker = |name: &str| {
        pool::all()
            .iter()
            .any(|pool| name.strip_prefix(pool.name()).is_some_and(|rest| rest.starts_with('/')))
    };
    snapshot::threads().filter(|report| is_worker(report.name())).count()
}

/// Runs `check` with other parameters, and then restores the defaults.
fn with(values: &[(&dyn Param, &str)], check: impl FnOnce() -> TestResult) -> TestResult {
    for (param, value) in values {
        if param.set(value).is_err() {
            return failed("a parameter cannot be set");
        }
    }
    pool::update_limits();
    let result = check();
    for (param, default) in
        [(&FAULT_WORKER_SPAWN as &dyn Param, "none"), (&POOL_IDLE_MS, "5000"), (&POOL_KEEP_WORKERS, "1")]
    {
        check!(param.set(default).is_ok());
    }
    pool::update_limits();
    result
}

kernel_tests! { "pools":
    /// Items that wait for each other need workers beyond the number of CPUs.
    fn blocked_workers_are_replaced() {
        let pool = unbound()?;
        let cpus = percpu::online_count();
        let (gate, count) = (Gate::new(), 2 * cpus + 1);
        let items: Vec<_> = (0..count).map(|_| gate.submit(pool, WorkAttrs::new())).collect::<Result<_, _>>()?;
        let all = gate.has_begun(count);
        gate.open.complete();
        for (item, generation) in &items {
            pool::wait(item, *generation);
        }
        check!(all, "{} of {count} items have begun", gate.begun.load(SeqCst));
    }

    /// Items that only compute get no more workers than there are CPUs.
    fn busy_workers_are_not_replaced() {
        let pool = unbound()?;
        let cpus = percpu::online_count();
        let (stop, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        check!(within_20_s(|| pool.workers().0 <= cpus || pool.workers().0 == pool.workers().1));
        let items: Vec<_> = (0..3 * cpus).map(|_| {
            let (stop, begun) = (stop.clone(), begun.clone());
            must(pool::submit_fn(pool, WorkAttrs::new().nice(Nice::MAX), move || {
                begun.fetch_add(1, SeqCst);
                while !stop.load(SeqCst) {
                    core::hint::spin_loop();
                }
            }))
        }).collect::<Result<_, _>>()?;
        let allowed = pool.workers().0.max(cpus);
        let some = within_20_s(|| begun.load(SeqCst) >= cpus);
        // Long enough for a few looks of the manager.
        sched::sleep_ns(100_000_000);
        let (workers, _) = pool.workers();
        stop.store(true, SeqCst);
        for (item, generation) in &items {
            pool::wait(item, *generation);
        }
        check!(some, "{} items have begun on {cpus} cpus", begun.load(SeqCst));
        check!(workers <= allowed, "{workers} workers for {cpus} cpus");
        check!(begun.load(SeqCst) == 3 * cpus);
    }

    fn idle_workers_are_retired_and_free_their_memory() {
        with(&[(&POOL_IDLE_MS, "20"), (&POOL_KEEP_WORKERS, "0")], || {
            let round = || -> Result<(usize, u64), Stopped> {
                let gate = Gate::new();
                let count = 2 * percpu::online_count();
                let items = (0..count).map(|_| gate.submit(unbound()?, WorkAttrs::new()));
                let items: Vec<_> = items.collect::<Result<_, _>>()?;
                let all = gate.has_begun(count);
                let workers = worker_threads();
                gate.open.complete();
                for (item, generation) in &items {
                    pool::wait(item, *generation);
                }
                check!(all, "{} of {count} have begun", gate.begun.load(SeqCst));
                check!(workers >= count, "{workers} workers at {count} items");
                drop((items, gate));
                check!(within_20_s(|| worker_threads() == 0), "{} workers are left", worker_threads());
                sched::reap_all_exited();
                Ok((crate::mm::heap::usage().0, crate::mm::stats::free_pages()))
            };
            round()?;
            let before = round()?;
            let (_, free_after) = round()?;
            // The manager may not have dropped its handle of the last retired worker yet.
            let heap = || crate::mm::heap::usage().0;
            check!(within_20_s(|| heap() <= before.0), "heap grew from {} to {} bytes", before.0, heap());
            check!(free_after == before.1, "free pages went from {} to {free_after}", before.1);
            Ok(())
        })?;
    }

    /// No worker can be started, and all items run all the same.
    fn without_workers_the_manager_runs_the_items() {
        with(&[(&POOL_IDLE_MS, "1"), (&POOL_KEEP_WORKERS, "0")], || {
            let (item, generation) = must(pool::submit_fn(unbound()?, WorkAttrs::new(), || {}))?;
            pool::wait(&item, generation);
            check!(within_20_s(|| worker_threads() == 0), "{} workers are left", worker_threads());
            pool::restart_fault_count();
            check!(FAULT_WORKER_SPAWN.set("1").is_ok());
            let done = Arc::new(AtomicUsize::new(0));
            let items: Vec<_> = (0..50).map(|number| {
                let done = done.clone();
                let pool = &pool::all()[number % pool::all().len()];
                must(pool::submit_fn(pool, WorkAttrs::new(), move || { done.fetch_add(1, SeqCst); }))
            }).collect::<Result<_, _>>()?;
            for (item, generation) in &items {
                pool::wait(item, *generation);
            }
            check!(done.load(SeqCst) == 50);
            check!(worker_threads() == 0, "a worker exists");
            for pool in pool::all() {
                pool.flush();
            }
            Ok(())
        })?;
    }

    /// A worker that ran an item on one CPU does not wait for that CPU if the next item may run elsewhere.
    fn the_next_item_does_not_wait_for_the_cpus_of_the_last() needs(CountedTime, Cpus(2)) {
        let last = sched::online_cpus().iter().last().unwrap_or(0);
        let pool = unbound()?;
        let (item, generation) = must(pool::submit_fn(pool, WorkAttrs::new().on(CpuMask::single(last)), || ()))?;
        pool::wait(&item, generation);
        // The worker is parked, and is the next to be called.
        check!(within_20_s(|| pool.workers().0 == pool.workers().1), "a worker is busy");
        let mut spinners = Spinners::new();
        spinners.start(Spawn::new("test/load").nice(Nice::MIN).on(CpuMask::single(last)))?;
        spinners.measure(20_000_000);
        let start_ns = tsc::now_ns();
        let (item, generation) = must(pool::submit_fn(pool, WorkAttrs::new().nice(Nice::MAX), || ()))?;
        pool::wait(&item, generation);
        let ns = tsc::now_ns() - start_ns;
        check!(ns < 500_000_000, "it took {} ms beside the load on cpu {last}", ns / 1_000_000);
    }
}
