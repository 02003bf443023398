//! Worker pools: everything handed over is done once, workers come and go.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use ktask::{Items, Job, Profile};
use params::Param;

use params::registry::{
    FAULT_WORKER_SPAWN, KTASK_ENABLED, KTASK_MAX_THREADS, POOL_IDLE_MS, POOL_KEEP_WORKERS,
};
use runqueue::{CpuMask, Nice};

use super::counted;
use super::sched_share::{Spinners, Watch, a_quota};
use super::sched_snapshot::gets_into;
use crate::arch::{percpu, tsc};
use crate::debug::ktest::{Stopped, TestResult};
use crate::jobs::platform::Kernel;
use crate::platform::nodes;
use crate::sched::group::Group;
use crate::sched::pool::{self, Item, Pool, Request, SubmitError, Work};
use crate::sched::snapshot::{self, ThreadState};
use crate::sched::wait::Completion;
use crate::sched::{self, Spawn};
use crate::{check, kernel_tests, skip_if};

fn failed<T>(message: &str) -> Result<T, Stopped> {
    Err(Stopped::Failed(message.into()))
}

fn unbound() -> Result<&'static Pool, Stopped> {
    pool::unbound().map_or_else(|| failed("there are no pools"), Ok)
}

fn must<T>(result: Result<T, SubmitError>) -> Result<T, Stopped> {
    result.map_err(|error| Stopped::Failed(alloc::format!("{error}")))
}

/// Waits until `condition` holds; false after 20 s.
fn within_20_s(condition: impl Fn() -> bool) -> bool {
    let start_ns = tsc::now_ns();
    while !condition() {
        if tsc::now_ns() - start_ns > 20_000_000_000 {
            return false;
        }
        sched::sleep_ns(1_000_000);
    }
    true
}

/// Threads that work in any pool.
fn worker_threads() -> usize {
    let is_worker = |name: &str| {
        pool::all()
            .iter()
            .any(|pool| name.strip_prefix(pool.name()).is_some_and(|rest| rest.starts_with('/')))
    };
    snapshot::threads().filter(|report| is_worker(report.name())).count()
}

/// Runs `check` with other parameters, which are as before afterwards.
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

/// CPU time that [`spin`] takes, and more.
const SPIN_NS: u64 = 10_000_000;

/// Uses CPU time, and adds how much to `used_ns`.
fn spin(used_ns: &AtomicU64) {
    let start_ns = sched::current().cpu_time_ns();
    let ran_ns = || sched::current().cpu_time_ns() - start_ns;
    while ran_ns() < SPIN_NS {
        core::hint::spin_loop();
    }
    used_ns.fetch_add(ran_ns(), SeqCst);
}

/// Has a worker call `call`, and waits for it.
fn ask(call: impl Fn() + Send + Sync + 'static) {
    if let Some(pool) = pool::unbound()
        && let Ok((item, turn)) = pool::submit_fn(pool, Request::new(), call)
    {
        pool::wait(&*item, turn);
    }
}

fn jobs_have_helpers() -> bool {
    KTASK_ENABLED.get() && KTASK_MAX_THREADS.get() != 1
}

/// Keeps workers busy until it is opened.
struct Gate {
    begun: AtomicUsize,
    open: Completion,
}

impl Gate {
    fn new() -> Arc<Self> {
        Arc::new(Self { begun: AtomicUsize::new(0), open: Completion::new() })
    }

    fn submit(
        self: &Arc<Self>,
        pool: &'static Pool,
        request: Request,
    ) -> Result<(Arc<dyn Item>, workpool::Turn), Stopped> {
        let gate = self.clone();
        must(pool::submit_fn(pool, request, move || {
            gate.begun.fetch_add(1, SeqCst);
            gate.open.wait();
        }))
    }

    fn has_begun(&self, count: usize) -> bool {
        within_20_s(|| self.begun.load(SeqCst) >= count)
    }
}

kernel_tests! { "pools":
    fn every_item_is_done_once() {
        const ITEMS: usize = 500;
        let counts: Arc<Vec<AtomicUsize>> = Arc::new((0..ITEMS).map(|_| AtomicUsize::new(0)).collect());
        let items = (0..ITEMS).map(|number| {
            let counts = counts.clone();
            let pool = &pool::all()[number % pool::all().len()];
            must(pool::submit_fn(pool, Request::new(), move || { counts[number].fetch_add(1, SeqCst); }))
        });
        let items: Vec<_> = items.collect::<Result<_, _>>()?;
        for (item, turn) in &items {
            pool::wait(&**item, *turn);
        }
        let wrong = counts.iter().position(|count| count.load(SeqCst) != 1);
        check!(wrong.is_none(), "item {wrong:?} was not done once");
    }

    fn an_item_is_queued_once_at_a_time_and_then_again() {
        let pool = unbound()?;
        let gate = Gate::new();
        let (item, turn) = gate.submit(pool, Request::new())?;
        check!(pool.submit(item.clone(), Request::new()) == Err(SubmitError::Busy));
        check!(gate.has_begun(1));
        check!(pool.submit(item.clone(), Request::new()) == Err(SubmitError::Busy), "while it is worked at");
        check!(!pool::cancel(&*item, turn), "a worker is at it");
        gate.open.complete();
        pool::wait(&*item, turn);
        let again = must(pool.submit(item.clone(), Request::new()))?;
        check!(again != turn);
        pool::wait(&*item, again);
        check!(gate.begun.load(SeqCst) == 2);
    }

    /// Owners queue and cancel all the time: each turn is either done or cancelled, and every one is over.
    fn cancelling_races_with_work() {
        struct Tally { work: Work, done: AtomicU64 }
        impl Item for Tally {
            fn work(&self) -> &Work { &self.work }
            fn run(&self) { self.done.fetch_add(1, SeqCst); }
        }
        let pool = unbound()?;
        let owners: Vec<_> = (0..4u64).map(|number| {
            let wrong = Arc::new(AtomicU64::new(u64::MAX));
            let told = wrong.clone();
            let owner = sched::spawn("test/owner", move || {
                let item = Arc::new(Tally { work: Work::new(), done: AtomicU64::new(0) });
                let handle: Arc<dyn Item> = item.clone();
                let mut cancelled = 0;
                const TURNS: u64 = 1500;
                for round in 0..TURNS {
                    let Ok(turn) = pool.submit(handle.clone(), Request::new()) else { return };
                    for _ in 0..(round * 7 + number) % 40 {
                        core::hint::spin_loop();
                    }
                    if round % 3 == 0 {
                        sched::yield_now();
                    }
                    cancelled += u64::from(pool::cancel(&*handle, turn));
                    pool::wait(&*handle, turn);
                }
                told.store(TURNS.abs_diff(cancelled + item.done.load(SeqCst)), SeqCst);
            });
            (owner, wrong)
        }).collect();
        for (owner, wrong) in owners {
            owner.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?.join();
            check!(wrong.load(SeqCst) == 0, "{} turns were not done or cancelled once", wrong.load(SeqCst));
        }
    }

    fn a_flush_waits_for_what_was_queued_before() {
        let pool = unbound()?;
        let gate = Gate::new();
        let first = gate.submit(pool, Request::new())?;
        let second = gate.submit(pool, Request::new())?;
        check!(gate.has_begun(2));
        let flushed = Arc::new(AtomicBool::new(false));
        let told = flushed.clone();
        let flusher = sched::spawn("test/flusher", move || {
            pool.flush();
            told.store(true, SeqCst);
        });
        let flusher = flusher.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        // Nothing else that it does blocks.
        check!(gets_into(flusher.thread(), ThreadState::Blocked), "no flush waits for two items");
        // What comes later, and stays, is not waited for.
        let later = Gate::new();
        let last = later.submit(pool, Request::new())?;
        check!(!flushed.load(SeqCst), "flushed, and two items are not done");
        gate.open.complete();
        let result = within_20_s(|| flushed.load(SeqCst));
        later.open.complete();
        for (item, turn) in [first, second, last] {
            pool::wait(&*item, turn);
        }
        check!(result, "not flushed");
        flusher.join();
    }

    /// Items that wait for each other need workers beyond the number of CPUs.
    fn blocked_workers_are_replaced() {
        let pool = unbound()?;
        let cpus = percpu::online_count();
        let (gate, count) = (Gate::new(), 2 * cpus + 1);
        let items: Vec<_> = (0..count).map(|_| gate.submit(pool, Request::new())).collect::<Result<_, _>>()?;
        let all = gate.has_begun(count);
        gate.open.complete();
        for (item, turn) in &items {
            pool::wait(&**item, *turn);
        }
        check!(all, "{} of {count} items have begun", gate.begun.load(SeqCst));
    }

    /// Items that only compute get no more workers than there are CPUs.
    fn busy_workers_are_not() {
        let pool = unbound()?;
        let cpus = percpu::online_count();
        let (stop, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        check!(within_20_s(|| pool.workers().0 <= cpus || pool.workers().0 == pool.workers().1));
        let items: Vec<_> = (0..3 * cpus).map(|_| {
            let (stop, begun) = (stop.clone(), begun.clone());
            must(pool::submit_fn(pool, Request::new().nice(Nice::MAX), move || {
                begun.fetch_add(1, SeqCst);
                while !stop.load(SeqCst) {
                    core::hint::spin_loop();
                }
            }))
        }).collect::<Result<_, _>>()?;
        let there = pool.workers().0.max(cpus);
        let some = within_20_s(|| begun.load(SeqCst) >= cpus);
        // The manager has looked a few times by then.
        sched::sleep_ns(100_000_000);
        let (workers, _) = pool.workers();
        stop.store(true, SeqCst);
        for (item, turn) in &items {
            pool::wait(&**item, *turn);
        }
        check!(some, "{} items have begun on {cpus} cpus", begun.load(SeqCst));
        check!(workers <= there, "{workers} workers for {cpus} cpus");
        check!(begun.load(SeqCst) == 3 * cpus);
    }

    fn idle_workers_go_and_leave_no_memory_behind() {
        with(&[(&POOL_IDLE_MS, "20"), (&POOL_KEEP_WORKERS, "0")], || {
            let round = || -> Result<(usize, u64), Stopped> {
                let gate = Gate::new();
                let count = 2 * percpu::online_count();
                let items = (0..count).map(|_| gate.submit(unbound()?, Request::new()));
                let items: Vec<_> = items.collect::<Result<_, _>>()?;
                let all = gate.has_begun(count);
                let workers = worker_threads();
                gate.open.complete();
                for (item, turn) in &items {
                    pool::wait(&**item, *turn);
                }
                check!(all, "{} of {count} have begun", gate.begun.load(SeqCst));
                check!(workers >= count, "{workers} workers at {count} items");
                drop((items, gate));
                check!(within_20_s(|| worker_threads() == 0), "{} workers are left", worker_threads());
                sched::settle();
                Ok((crate::mm::heap::usage().0, crate::mm::pages::free_pages()))
            };
            round()?;
            let before = round()?;
            let (_, free_after) = round()?;
            // The manager may have been kept from letting go of the one that it told last.
            let heap = || crate::mm::heap::usage().0;
            check!(within_20_s(|| heap() <= before.0), "heap grew from {} to {} bytes", before.0, heap());
            check!(free_after == before.1, "free pages went from {} to {free_after}", before.1);
            Ok(())
        })?;
    }

    /// Not one worker can be made: everything is done all the same.
    fn without_workers_the_manager_does_it() {
        with(&[(&POOL_IDLE_MS, "1"), (&POOL_KEEP_WORKERS, "0")], || {
            let (item, turn) = must(pool::submit_fn(unbound()?, Request::new(), || {}))?;
            pool::wait(&*item, turn);
            check!(within_20_s(|| worker_threads() == 0), "{} workers are left", worker_threads());
            pool::restart_fault_count();
            check!(FAULT_WORKER_SPAWN.set("1").is_ok());
            let done = Arc::new(AtomicUsize::new(0));
            let items: Vec<_> = (0..50).map(|number| {
                let done = done.clone();
                let pool = &pool::all()[number % pool::all().len()];
                must(pool::submit_fn(pool, Request::new(), move || { done.fetch_add(1, SeqCst); }))
            }).collect::<Result<_, _>>()?;
            for (item, turn) in &items {
                pool::wait(&**item, *turn);
            }
            check!(done.load(SeqCst) == 50);
            check!(worker_threads() == 0, "there are workers after all");
            for pool in pool::all() {
                pool.flush();
            }
            Ok(())
        })?;
    }

    /// An item runs at its own weight, on CPUs that it may use, and at the expense of who asked.
    fn an_item_is_done_as_asked() {
        struct Seen { nice: Option<Nice>, cpu: usize, allowed: CpuMask }
        for cpu in sched::online_cpus().iter() {
            for level in [Nice::MAX, Nice::DEFAULT, Nice::MIN] {
                let pool = pool::of_node(nodes::of_cpu(percpu::CpuId::new(cpu).unwrap_or(percpu::this_cpu().id())), &CpuMask::ALL);
                let Some(pool) = pool else { return failed("there are no pools") };
                let seen = Arc::new(crate::arch::irq::IrqLock::new(None));
                let slot = seen.clone();
                let (item, turn) = must(pool::submit_fn(pool, Request::new().nice(level).on(CpuMask::single(cpu)), move || {
                    let me = sched::current();
                    let nice = snapshot::threads().find(|report| report.tid() == me.tid()).and_then(|report| report.nice);
                    *slot.lock() = Some(Seen { nice, cpu: percpu::this_cpu().id().index(), allowed: me.allowed() });
                }))?;
                pool::wait(&*item, turn);
                let Some(seen) = seen.lock().take() else { return failed("it was not done") };
                check!(seen.nice == Some(level), "nice {:?}, asked for {level}", seen.nice);
                check!(seen.cpu == cpu && seen.allowed == CpuMask::single(cpu), "on cpu {} of {}", seen.cpu, seen.allowed);
            }
        }
        // The next one is not bound by what the last one wanted.
        let allowed = Arc::new(crate::arch::irq::IrqLock::new(CpuMask::EMPTY));
        let slot = allowed.clone();
        let pool = unbound()?;
        let (item, turn) = must(pool::submit_fn(pool, Request::new(), move || *slot.lock() = sched::current().allowed()))?;
        pool::wait(&*item, turn);
        check!(*allowed.lock() == CpuMask::ALL, "{}", *allowed.lock());
    }

    /// A worker that has worked on one CPU does not wait for that one when the next item may run elsewhere.
    fn the_last_items_cpus_hold_nobody() {
        let last = sched::online_cpus().iter().last().unwrap_or(0);
        skip_if!(last == 0, "needs two cpus");
        let pool = unbound()?;
        let (item, turn) = must(pool::submit_fn(pool, Request::new().on(CpuMask::single(last)), || ()))?;
        pool::wait(&*item, turn);
        // It rests, the one that is called next.
        check!(within_20_s(|| pool.workers().0 == pool.workers().1), "a worker is busy");
        let mut spinners = Spinners::new();
        spinners.start(Spawn::new("test/load").nice(Nice::MIN).on(CpuMask::single(last)))?;
        spinners.measure(20_000_000)?;
        let start_ns = tsc::now_ns();
        let (item, turn) = must(pool::submit_fn(pool, Request::new().nice(Nice::MAX), || ()))?;
        pool::wait(&*item, turn);
        let ns = tsc::now_ns() - start_ns;
        spinners.skip_if_stolen(400_000_000)?;
        check!(ns < 500_000_000, "it took {} ms behind the load on cpu {last}", ns / 1_000_000);
    }

    fn node_pools_work_on_their_nodes() {
        skip_if!(nodes::nodes().len() < 2, "needs two nodes");
        for node in 0..nodes::nodes().len() {
            let cpus = *nodes::cpus_of(node) & sched::online_cpus();
            let Some(pool) = pool::of_node(node, &CpuMask::ALL) else { return failed("there are no pools") };
            if cpus.is_empty() {
                check!(pool.name() == "any", "node {node} has no cpu, and a pool");
                continue;
            }
            check!(pool.cpus() == *nodes::cpus_of(node));
            let elsewhere = Arc::new(AtomicUsize::new(0));
            let items: Vec<_> = (0..50).map(|_| {
                let elsewhere = elsewhere.clone();
                must(pool::submit_fn(pool, Request::new(), move || {
                    elsewhere.fetch_add(usize::from(nodes::current() != node), SeqCst);
                }))
            }).collect::<Result<_, _>>()?;
            for (item, turn) in &items {
                pool::wait(&**item, *turn);
            }
            check!(elsewhere.load(SeqCst) == 0, "{} of 50 ran on other nodes than {node}", elsewhere.load(SeqCst));
            // Who may not use the node's CPUs gets others.
            let others = sched::online_cpus().without(cpus);
            check!(pool::of_node(node, &others).is_some_and(|pool| pool.name() == "any"));
        }
    }

    /// A heavy item is done soon although the CPU is busy, for its worker has its weight from the wake-up on.
    fn weight_counts_from_the_wake_up_on() {
        let last = CpuMask::single(sched::online_cpus().iter().last().unwrap_or(0));
        let mut spinners = Spinners::new();
        for _ in 0..3 {
            spinners.start(Spawn::new("test/load").on(last))?;
        }
        spinners.measure(20_000_000)?;
        let pool = unbound()?;
        let (mut used_ns, stolen_ns) = (Vec::new(), Arc::new(AtomicU64::new(0)));
        for level in [Nice::MAX, Nice::MIN] {
            let used = Arc::new(AtomicU64::new(0));
            let slot = used.clone();
            let stolen = stolen_ns.clone();
            let (item, turn) = must(pool::submit_fn(pool, Request::new().nice(level).on(last), move || {
                let start_ns = tsc::now_ns();
                let before_ns = sched::current().cpu_time_ns();
                let mut watch = Watch::start();
                let mut look = || stolen.fetch_add(watch.stolen_ns(), SeqCst);
                while tsc::now_ns() - start_ns < 200_000_000 {
                    look();
                    core::hint::spin_loop();
                }
                slot.store(sched::current().cpu_time_ns() - before_ns, SeqCst);
                look();
            }))?;
            pool::wait(&*item, turn);
            used_ns.push(used.load(SeqCst));
        }
        spinners.skip_if_stolen(400_000_000)?;
        skip_if!(stolen_ns.load(SeqCst) > 4_000_000, "the host took the cpus away");
        // Beside three of default weight: 0.5 % and 97 %.
        check!(used_ns[0] <= 20_000_000, "the lightest used {} of 200 ms", used_ns[0]);
        check!(used_ns[1] >= 150_000_000, "the heaviest used {} of 200 ms", used_ns[1]);
    }

    /// The group that asked pays for the whole item, and for what that asks for in turn.
    fn who_asks_pays_for_what_that_asks_for() {
        let group = Group::new("test", None);
        let used_ns = Arc::new(AtomicU64::new(0));
        let inner = used_ns.clone();
        let nested = move || {
            spin(&inner);
            let innermost = inner.clone();
            ask(move || spin(&innermost));
        };
        let asker = Spawn::new("test/asker").group(&group).start(move || ask(nested));
        asker.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?.join();
        let (usage, used_ns) = (group.usage(), used_ns.load(SeqCst));
        check!(used_ns >= 2 * SPIN_NS, "not both were done");
        check!(usage.helped_ns >= used_ns, "{usage:?}, {used_ns} ns of work");
    }

    /// What a group has had is what its threads used and what others used for it, to the nanosecond; and for helpers not
    /// much more than their work.
    fn accounts_add_up() {
        let group = Group::new("test", None);
        let used_ns = Arc::new(AtomicU64::new(0));
        let (by_item, by_helper) = (used_ns.clone(), used_ns.clone());
        let asker = Spawn::new("test/asker").group(&group).start(move || {
            ask(move || spin(&by_item));
            let caller = sched::current_arc();
            let has_begun = AtomicBool::new(false);
            let job = Job::new(Items::new(0)..Items::new(2)).threads_exact(2);
            let _ = job.run(&Kernel, |_| {
                if sched::current().tid() != caller.tid() {
                    has_begun.store(true, SeqCst);
                    sched::unpark(&caller);
                    spin(&by_helper);
                }
                // The other chunk is for the helper. (Without helpers, by parameter, this would be for ever.)
                while jobs_have_helpers() && !has_begun.load(SeqCst) {
                    sched::park(None);
                }
                Ok::<(), ()>(())
            });
        });
        let asker = asker.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        let thread = asker.thread().clone();
        asker.join();
        // Its last steps are charged when it leaves its CPU.
        sched::settle();
        let (usage, used_ns) = (group.usage(), used_ns.load(SeqCst));
        let own_ns = thread.cpu_time_ns();
        check!(usage.cpu_time_ns == own_ns + usage.helped_ns, "{usage:?}, the thread itself used {own_ns} ns");
        check!(usage.helped_ns >= used_ns, "{usage:?}, {used_ns} ns of work");
        check!(used_ns >= SPIN_NS * if jobs_have_helpers() { 2 } else { 1 }, "not both were done");
        // Elsewhere the host may take the CPU away just between the work and the end.
        let is_exact = usage.helped_ns <= used_ns + 100_000;
        check!(is_exact || !counted::is_counted(), "{usage:?}, {used_ns} ns of work");
    }

    /// Helpers' time counts against the quota of who asked, in the end.
    fn a_quota_holds_with_helpers() {
        skip_if!(percpu::online_count() < 2 || !jobs_have_helpers(), "no helpers here");
        let quota = a_quota(30_000_000, 20_000_000);
        let group = Group::new("test", Some(quota));
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let start_ns = tsc::now_ns();
        let asker = Spawn::new("test/asker").group(&group).start(move || {
            while !stopping.load(SeqCst) {
                let job = Job::new(Items::new(0)..Items::new(40)).profile(Profile::Boot);
                let _ = job.run(&Kernel, |chunk| {
                    for _ in chunk.indices() {
                        let start_ns = sched::current().cpu_time_ns();
                        while sched::current().cpu_time_ns() - start_ns < 200_000 {
                            core::hint::spin_loop();
                        }
                    }
                    Ok::<(), ()>(())
                });
            }
        });
        let asker = asker.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        sched::sleep_ns(600_000_000);
        stop.store(true, SeqCst);
        asker.join();
        sched::settle();
        let (usage, elapsed_ns) = (group.usage(), tsc::now_ns() - start_ns);
        // In whole periods, and one more; and what the last job used beyond: at most all that it had to do.
        let allowed_ns = (elapsed_ns / quota.period_ns() + 2) * quota.quota_ns() + 40 * 200_000;
        // A turn of the loop during which the host had the CPU counts as used: a tenth for that.
        check!(usage.cpu_time_ns <= allowed_ns + allowed_ns / 10, "{usage:?} in {elapsed_ns} ns, {allowed_ns} ns allowed");
        check!(usage.helped_ns > 0, "{usage:?}: nobody helped");
    }
}
