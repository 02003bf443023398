//! Worker pools: every item runs once, with its attributes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use runqueue::{CpuMask, Nice};

use super::wait::{reaches_state, within_20_s};
use crate::arch::percpu;
use crate::debug::ktest::Stopped;
use crate::platform::nodes;
use crate::sched;
use crate::sched::pool::{self, Item, Pool, SubmitError, Work, WorkAttrs};
use crate::sched::snapshot::{self, ThreadState};
use crate::sched::wait::Completion;
use crate::{check, kernel_tests};

pub(super) fn failed<T>(message: &str) -> Result<T, Stopped> {
    Err(Stopped::Failed(message.into()))
}

pub(super) fn unbound() -> Result<&'static Pool, Stopped> {
    pool::unbound().map_or_else(|| failed("there are no pools"), Ok)
}

pub(super) fn must<T>(result: Result<T, SubmitError>) -> Result<T, Stopped> {
    result.map_err(|error| Stopped::Failed(alloc::format!("{error}")))
}

/// Items that keep workers busy until the gate is opened.
pub(super) struct Gate {
    /// The number of items that have begun.
    pub(super) begun: AtomicUsize,
    /// The items end when this is complete.
    pub(super) open: Completion,
}

impl Gate {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { begun: AtomicUsize::new(0), open: Completion::new() })
    }

    pub(super) fn submit(
        self: &Arc<Self>,
        pool: &'static Pool,
        attrs: WorkAttrs,
    ) -> Result<(Arc<dyn Item>, workpool::Generation), Stopped> {
        let gate = self.clone();
        must(pool::submit_fn(pool, attrs, move || {
            gate.begun.fetch_add(1, SeqCst);
            gate.open.wait();
        }))
    }

    pub(super) fn has_begun(&self, count: usize) -> bool {
        within_20_s(|| self.begun.load(SeqCst) >= count)
    }
}

kernel_tests! { "pools":
    fn every_item_runs_once() {
        const ITEMS: usize = 500;
        let counts: Arc<Vec<AtomicUsize>> = Arc::new((0..ITEMS).map(|_| AtomicUsize::new(0)).collect());
        let items = (0..ITEMS).map(|number| {
            let counts = counts.clone();
            let pool = &pool::all()[number % pool::all().len()];
            must(pool::submit_fn(pool, WorkAttrs::new(), move || { counts[number].fetch_add(1, SeqCst); }))
        });
        let items: Vec<_> = items.collect::<Result<_, _>>()?;
        for (item, generation) in &items {
            pool::wait(item, *generation);
        }
        let wrong = counts.iter().position(|count| count.load(SeqCst) != 1);
        check!(wrong.is_none(), "item {wrong:?} did not run once");
    }

    fn an_item_is_queued_once_at_a_time_and_then_again() {
        let pool = unbound()?;
        let gate = Gate::new();
        let (item, generation) = gate.submit(pool, WorkAttrs::new())?;
        check!(pool.submit(item.clone(), WorkAttrs::new()) == Err(SubmitError::Busy));
        check!(gate.has_begun(1));
        check!(pool.submit(item.clone(), WorkAttrs::new()) == Err(SubmitError::Busy), "while it is running");
        check!(!pool::cancel(&*item, generation), "a worker is running it");
        gate.open.complete();
        pool::wait(&item, generation);
        let again = must(pool.submit(item.clone(), WorkAttrs::new()))?;
        check!(again != generation);
        pool::wait(&item, again);
        check!(gate.begun.load(SeqCst) == 2);
    }

    /// Owners queue and cancel continuously. Each generation is done or cancelled, and is over in the end.
    fn cancelling_races_with_running() {
        struct Tally { work: Work, done: AtomicU64 }
        impl Item for Tally {
            fn work(&self) -> &Work { &self.work }
            fn run(&self) { self.done.fetch_add(1, SeqCst); }
        }
        let pool = unbound()?;
        let owners: Vec<_> = (0..4u64).map(|number| {
            let wrong = Arc::new(AtomicU64::new(u64::MAX));
            let result = wrong.clone();
            let owner = sched::spawn("test/owner", move || {
                let item = Arc::new(Tally { work: Work::new(), done: AtomicU64::new(0) });
                let handle: Arc<dyn Item> = item.clone();
                let mut cancelled = 0;
                const GENERATIONS: u64 = 1500;
                for round in 0..GENERATIONS {
                    let Ok(generation) = pool.submit(handle.clone(), WorkAttrs::new()) else { return };
                    for _ in 0..(round * 7 + number) % 40 {
                        core::hint::spin_loop();
                    }
                    if round % 3 == 0 {
                        sched::yield_now();
                    }
                    cancelled += u64::from(pool::cancel(&*handle, generation));
                    pool::wait(&handle, generation);
                }
                result.store(GENERATIONS.abs_diff(cancelled + item.done.load(SeqCst)), SeqCst);
            });
            (owner, wrong)
        }).collect();
        for (owner, wrong) in owners {
            owner.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?.join();
            check!(wrong.load(SeqCst) == 0, "{} generations were not done or cancelled once", wrong.load(SeqCst));
        }
    }

    fn a_flush_waits_for_earlier_items() {
        let pool = unbound()?;
        let gate = Gate::new();
        let first = gate.submit(pool, WorkAttrs::new())?;
        let second = gate.submit(pool, WorkAttrs::new())?;
        check!(gate.has_begun(2));
        let flushed = Arc::new(AtomicBool::new(false));
        let is_flushed = flushed.clone();
        let flusher = sched::spawn("test/flusher", move || {
            pool.flush();
            is_flushed.store(true, SeqCst);
        });
        let flusher = flusher.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        // The flusher blocks in the flush and nowhere else.
        let waits = reaches_state(flusher.thread(), ThreadState::Blocked);
        // The flush does not wait for a later item.
        let later = Gate::new();
        let last = later.submit(pool, WorkAttrs::new())?;
        let is_early = flushed.load(SeqCst);
        gate.open.complete();
        let result = within_20_s(|| flushed.load(SeqCst));
        later.open.complete();
        for (item, generation) in [first, second, last] {
            pool::wait(&item, generation);
        }
        check!(waits && !is_early, "flushed while two items were running");
        check!(result, "not flushed");
        flusher.join();
    }

    /// An item runs with its own weight, on the CPUs that it allows.
    fn an_item_runs_with_its_attributes() {
        struct Seen { nice: Option<Nice>, cpu: usize, allowed: CpuMask }
        for cpu in sched::online_cpus().iter() {
            for level in [Nice::MAX, Nice::DEFAULT, Nice::MIN] {
                let pool = pool::of_node(nodes::of_cpu(percpu::CpuId::new(cpu).unwrap_or(percpu::this_cpu().id())), &CpuMask::ALL);
                let Some(pool) = pool else { return failed("there are no pools") };
                let seen = Arc::new(crate::arch::spin_lock::IrqSpinLock::new(None));
                let slot = seen.clone();
                let (item, generation) = must(pool::submit_fn(pool, WorkAttrs::new().nice(level).on(CpuMask::single(cpu)), move || {
                    let me = sched::current();
                    let nice = snapshot::threads().find(|report| report.tid() == me.tid()).and_then(|report| report.nice);
                    *slot.lock() = Some(Seen { nice, cpu: percpu::this_cpu().id().index(), allowed: me.allowed() });
                }))?;
                pool::wait(&item, generation);
                let Some(seen) = seen.lock().take() else { return failed("it did not run") };
                check!(seen.nice == Some(level), "nice {:?}, asked for {level}", seen.nice);
                check!(seen.cpu == cpu && seen.allowed == CpuMask::single(cpu), "on cpu {} of {}", seen.cpu, seen.allowed);
            }
        }
        // The next item is not bound to the CPUs of the last one.
        let allowed = Arc::new(crate::arch::spin_lock::IrqSpinLock::new(CpuMask::EMPTY));
        let slot = allowed.clone();
        let pool = unbound()?;
        let (item, generation) = must(pool::submit_fn(pool, WorkAttrs::new(), move || *slot.lock() = sched::current().allowed()))?;
        pool::wait(&item, generation);
        check!(*allowed.lock() == CpuMask::ALL, "{}", *allowed.lock());
    }

    fn node_pools_run_on_their_nodes() needs(MemoryNodes(2)) {
        for node in 0..nodes::nodes().len() {
            let cpus = *nodes::cpus_of(node) & sched::online_cpus();
            let Some(pool) = pool::of_node(node, &CpuMask::ALL) else { return failed("there are no pools") };
            if cpus.is_empty() {
                check!(pool.name() == "any", "node {node} has a pool, but no cpu");
                continue;
            }
            check!(pool.cpus() == *nodes::cpus_of(node));
            let elsewhere = Arc::new(AtomicUsize::new(0));
            let items: Vec<_> = (0..50).map(|_| {
                let elsewhere = elsewhere.clone();
                must(pool::submit_fn(pool, WorkAttrs::new(), move || {
                    elsewhere.fetch_add(usize::from(nodes::current() != node), SeqCst);
                }))
            }).collect::<Result<_, _>>()?;
            for (item, generation) in &items {
                pool::wait(item, *generation);
            }
            check!(elsewhere.load(SeqCst) == 0, "{} of 50 ran on other nodes than {node}", elsewhere.load(SeqCst));
            // A caller that may not use the node's CPUs gets the pool of all CPUs.
            let others = sched::online_cpus().without(cpus);
            check!(pool::of_node(node, &others).is_some_and(|pool| pool.name() == "any"));
        }
    }


}
