//! The order of items by weight, and the weight that waiting threads donate to items and their workers.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use ktask::{Items, Job};
use runqueue::Nice;
use workpool::Generation;

use super::pools::{Gate, must, unbound};
use super::wait::{jobs_have_helpers, reaches_state, within_20_s};
use crate::arch::percpu;
use crate::arch::spin_lock::IrqSpinLock;
use crate::debug::ktest::Stopped;
use crate::jobs::platform::Kernel;
use crate::sched::mutex::Mutex;
use crate::sched::pool::{self, Item, Pool, WorkAttrs};
use crate::sched::snapshot::{self, ThreadState};
use crate::sched::wait::Completion;
use crate::sched::{self, JoinHandle, Spawn, Thread};
use crate::{check, kernel_tests, skip_if};

type Submitted = (Arc<dyn Item>, Generation);

fn nice(level: i8) -> Nice {
    Nice::new(level).unwrap_or_default()
}

/// Attributes of an item that runs with little weight, and waits for a worker at `level`.
fn queued_at(level: Nice) -> WorkAttrs {
    WorkAttrs::new().nice(Nice::MAX).queued_at(level)
}

/// Starts a thread at `level`, and returns once `call` has blocked.
fn blocks(level: Nice, call: impl FnOnce() + Send + 'static) -> Result<JoinHandle, Stopped> {
    let thread = Spawn::new("test/waiter").nice(level).start(call);
    let thread = thread.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
    check!(reaches_state(thread.thread(), ThreadState::Blocked), "the waiter does not block");
    Ok(thread)
}

/// Starts a thread at `level`, which waits for `item` by the time that this returns.
fn waits_for((item, generation): &Submitted, level: Nice) -> Result<JoinHandle, Stopped> {
    let (item, generation) = (item.clone(), *generation);
    blocks(level, move || pool::wait(&item, generation))
}

/// Spinning items of the heaviest level, one for each CPU: no other item gets a worker until one is released.
struct FullPool {
    pool: &'static Pool,
    spinning: Vec<(Arc<AtomicBool>, Submitted)>,
}

impl FullPool {
    /// Fills `pool`, whose workers become idle before.
    fn new(pool: &'static Pool) -> Result<Self, Stopped> {
        let mut full = Self { pool, spinning: Vec::new() };
        // By then no worker counts as blocked.
        check!(within_20_s(|| pool.workers().0 == pool.workers().1), "a worker is busy");
        full.fill()?;
        Ok(full)
    }

    fn fill(&mut self) -> Result<(), Stopped> {
        let begun = Arc::new(AtomicUsize::new(0));
        for _ in 0..percpu::online_count() {
            self.spin(&begun)?;
        }
        check!(within_20_s(|| begun.load(SeqCst) == percpu::online_count()), "no worker for each cpu");
        Ok(())
    }

    /// Submits an item that counts its begin in `begun`.
    fn spin(&mut self, begun: &Arc<AtomicUsize>) -> Result<(), Stopped> {
        let stop = Arc::new(AtomicBool::new(false));
        let (is_stopped, begun) = (stop.clone(), begun.clone());
        let item = pool::submit_fn(self.pool, queued_at(Nice::MIN), move || {
            begun.fetch_add(1, SeqCst);
            while !is_stopped.load(SeqCst) {
                core::hint::spin_loop();
            }
        });
        self.spinning.push((stop, must(item)?));
        Ok(())
    }

    /// Lets the worker of the oldest item go on. It alone runs what is queued.
    fn release_one(&mut self) {
        let (stop, _) = self.spinning.remove(0);
        stop.store(true, SeqCst);
    }
}

impl Drop for FullPool {
    fn drop(&mut self) {
        for (stop, (item, generation)) in &self.spinning {
            stop.store(true, SeqCst);
            pool::wait(item, *generation);
        }
    }
}

/// The names of items, in the order in which they began.
#[derive(Clone)]
struct Order(Arc<IrqSpinLock<Vec<&'static str>>>);

impl Order {
    fn new() -> Self {
        Self(Arc::new(IrqSpinLock::new(Vec::with_capacity(16))))
    }

    fn submit(&self, pool: &'static Pool, level: Nice, name: &'static str) -> Result<Submitted, Stopped> {
        let order = self.clone();
        must(pool::submit_fn(pool, queued_at(level), move || order.0.lock().push(name)))
    }

    /// Waits until all of `items` have begun, and returns the names.
    fn of(&self, items: &[Submitted]) -> String {
        // Not for the items themselves: that would raise them.
        let _ = within_20_s(|| self.0.lock().len() == items.len());
        for (item, generation) in items {
            pool::wait(item, *generation);
        }
        self.0.lock().join(" ")
    }
}

/// An item that blocks until it is told to end, and the thread that runs it.
struct Held {
    gate: Arc<Gate>,
    worker: Arc<IrqSpinLock<Option<Arc<Thread>>>>,
    item: Submitted,
}

impl Held {
    fn submit(pool: &'static Pool) -> Result<Self, Stopped> {
        let gate = Gate::new();
        let worker = Arc::new(IrqSpinLock::new(None));
        let (inner, slot) = (gate.clone(), worker.clone());
        let item = must(pool::submit_fn(pool, queued_at(Nice::MAX), move || {
            *slot.lock() = Some(sched::current_arc());
            inner.begun.fetch_add(1, SeqCst);
            inner.open.wait();
        }))?;
        Ok(Self { gate, worker, item })
    }

    /// Waits until its worker runs at `level`.
    fn has_level(&self, level: Nice) -> bool {
        within_20_s(|| self.worker.lock().as_ref().is_some_and(|thread| thread.level() == Some(level)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.open.complete();
        pool::wait(&self.item.0, self.item.1);
    }
}

kernel_tests! { "pools":
    fn items_begin_in_order_of_weight() {
        let pool = unbound()?;
        let mut full = FullPool::new(pool)?;
        let order = Order::new();
        let levels = [(19, "e"), (0, "c"), (-20, "a"), (5, "d"), (19, "f"), (-20, "b")];
        let items = levels.map(|(level, name)| order.submit(pool, nice(level), name));
        let items: Vec<_> = items.into_iter().collect::<Result<_, _>>()?;
        full.release_one();
        let order = order.of(&items[..]);
        check!(order == "a b c d e f", "{order}");
    }

    fn a_waiting_thread_raises_its_item() {
        let pool = unbound()?;
        let mut full = FullPool::new(pool)?;
        let order = Order::new();
        let first = order.submit(pool, nice(0), "first")?;
        let light = order.submit(pool, Nice::MAX, "light")?;
        let awaited = order.submit(pool, Nice::MAX, "awaited")?;
        let waiter = waits_for(&awaited, nice(-5))?;
        full.release_one();
        waiter.join();
        let order = order.of(&[first, light, awaited]);
        check!(order == "awaited first light", "{order}");
    }

    /// A thread may wait for a generation that is submitted later.
    fn an_item_is_queued_with_what_it_receives() {
        let pool = unbound()?;
        let order = Order::new();
        let early = order.submit(pool, Nice::MAX, "early")?;
        pool::wait(&early.0, early.1);
        order.0.lock().clear();
        let next = Generation::new(early.1.number() + 1);
        let waiter = waits_for(&(early.0.clone(), next), nice(-5))?;
        let mut full = FullPool::new(pool)?;
        let first = order.submit(pool, nice(0), "first")?;
        let again = (early.0.clone(), must(pool.submit(early.0, queued_at(Nice::MAX)))?);
        check!(again.1 == next);
        full.release_one();
        let order = order.of(&[first, again]);
        waiter.join();
        check!(order == "early first", "{order}");
    }

    /// A thread that waits for an item passes on what it receives itself, and later changes of it.
    fn an_item_receives_through_threads_that_wait() {
        let pool = unbound()?;
        let mut full = FullPool::new(pool)?;
        let order = Order::new();
        let first = order.submit(pool, nice(0), "first")?;
        let changed = order.submit(pool, Nice::MAX, "changed")?;
        let owned = order.submit(pool, Nice::MAX, "owned")?;
        let mutex = Arc::new(Mutex::new(()));
        let (own, (item, generation)) = (mutex.clone(), owned.clone());
        let owner = blocks(nice(10), move || {
            let _guard = own.lock();
            pool::wait(&item, generation);
        })?;
        let heavy = blocks(nice(-20), move || drop(mutex.lock()))?;
        let waiter = waits_for(&changed, nice(10))?;
        sched::set_nice(waiter.thread(), nice(-10));
        full.release_one();
        for thread in [owner, heavy, waiter] {
            thread.join();
        }
        let order = order.of(&[first, changed, owned]);
        check!(order == "owned changed first", "{order}");
    }

    /// The worker of an item has the weight of the threads that wait for it, from its begin to its end.
    fn a_worker_receives_from_threads_that_wait() {
        let pool = unbound()?;
        let mut full = FullPool::new(pool)?;
        let levels: Arc<[IrqSpinLock<Option<Nice>>; 2]> = Arc::new([const { IrqSpinLock::new(None) }; 2]);
        let look = |index: usize| {
            let levels = levels.clone();
            must(pool::submit_fn(pool, queued_at(Nice::MAX), move || *levels[index].lock() = sched::current().level()))
        };
        let (awaited, next) = (look(0)?, look(1)?);
        // This thread goes on donating when the item has ended.
        let (item, generation) = awaited.clone();
        let done = Arc::new(Completion::new());
        let is_done = done.clone();
        let donor = blocks(nice(-20), move || {
            pool::donate_weight(item, generation);
            is_done.wait();
        })?;
        full.release_one();
        // Without a donation of this thread.
        let has_ended = within_20_s(|| levels[1].lock().is_some());
        done.complete();
        donor.join();
        for (item, generation) in [awaited, next] {
            pool::wait(&item, generation);
        }
        check!(has_ended, "the items did not run");
        let levels = [0, 1].map(|index| *levels[index].lock());
        check!(levels == [Some(Nice::MIN), Some(Nice::MAX)], "{levels:?}");
    }

    fn a_running_item_receives_too() {
        let held = Held::submit(unbound()?)?;
        check!(held.gate.has_begun(1) && held.has_level(Nice::MAX));
        let heavy = waits_for(&held.item, nice(-7))?;
        check!(held.has_level(nice(-7)), "{:?}", held.worker.lock().as_ref().map(|thread| thread.level()));
        held.gate.open.complete();
        heavy.join();
    }

    fn a_flush_donates_to_the_oldest_item() {
        let pool = unbound()?;
        // Those that run, one after the other.
        let (first, second) = (Held::submit(pool)?, Held::submit(pool)?);
        check!(first.gate.has_begun(1) && second.gate.has_begun(1));
        let flusher = blocks(nice(-7), || pool.flush())?;
        check!(first.has_level(nice(-7)) && second.has_level(Nice::MAX), "the first is the oldest");
        first.gate.open.complete();
        check!(second.has_level(nice(-7)), "the second is the oldest now");
        second.gate.open.complete();
        flusher.join();
        drop((first, second));
        // One that waits behind younger ones.
        let mut full = FullPool::new(pool)?;
        let order = Order::new();
        let oldest = order.submit(pool, Nice::MAX, "oldest")?;
        let begun = Arc::new(AtomicUsize::new(0));
        for _ in 0..percpu::online_count() {
            full.spin(&begun)?;
            full.release_one();
        }
        check!(within_20_s(|| begun.load(SeqCst) == percpu::online_count()), "the younger do not run");
        let younger = order.submit(pool, nice(0), "younger")?;
        let flusher = blocks(nice(-20), || pool.flush())?;
        full.release_one();
        let order = order.of(&[younger, oldest]);
        drop(full);
        flusher.join();
        check!(order == "oldest younger", "{order}");
    }

    /// Threads of several levels submit items of several levels, cancel some of them, wait for them and flush. Each generation
    /// is done or cancelled, and in the end no worker has the weight of a waiting thread.
    fn nothing_is_lost_while_items_are_raised() {
        const GENERATIONS: usize = 400;
        let pool = unbound()?;
        let owners = [-20, 0, 10, 19].map(|own| {
            let wrong = Arc::new(AtomicUsize::new(usize::MAX));
            let result = wrong.clone();
            let owner = Spawn::new("test/owner").nice(nice(own)).start(move || {
                let done = Arc::new(AtomicUsize::new(0));
                let count = done.clone();
                let add = move || { count.fetch_add(1, SeqCst); };
                let level_of = |round: usize| nice((round * 13 % 40) as i8 - 20);
                let Ok((item, first)) = pool::submit_fn(pool, queued_at(level_of(0)), add) else { return };
                pool::wait(&item, first);
                let mut cancelled = 0;
                for round in 1..GENERATIONS {
                    let Ok(generation) = pool.submit(item.clone(), queued_at(level_of(round))) else { return };
                    match round % 4 {
                        0 => pool::donate_weight(item.clone(), generation),
                        1 => sched::yield_now(),
                        2 => pool.flush(),
                        _ => {}
                    }
                    cancelled += usize::from(round % 3 == 0 && pool::cancel(&*item, generation));
                    pool::wait(&item, generation);
                }
                result.store(GENERATIONS.abs_diff(cancelled + done.load(SeqCst)), SeqCst);
            });
            (owner, wrong)
        });
        let mut failures = Vec::new();
        for (owner, wrong) in owners {
            owner.map(JoinHandle::join).map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
            failures.push(wrong.load(SeqCst));
        }
        check!(failures.iter().all(|wrong| *wrong == 0), "lost or run twice: {failures:?}");
        let workers = || snapshot::threads().filter(|report| report.name().starts_with("any/"));
        let are_light = || workers().all(|report| report.weight == Nice::MAX.weight());
        check!(within_20_s(|| pool.workers().0 == pool.workers().1 && are_light()), "a worker kept weight");
    }

    /// The helpers of a light job have all workers, and a heavy caller's get one all the same.
    fn a_heavy_callers_job_starts_beside_a_light_one() {
        skip_if!(!jobs_have_helpers(), "no helpers here");
        let pool = unbound()?;
        check!(within_20_s(|| pool.workers().0 == pool.workers().1), "a worker is busy");
        let helpers = percpu::online_count();
        let (stop, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (is_stopped, has_begun) = (stop.clone(), begun.clone());
        let light = Spawn::new("test/light").nice(Nice::MAX).start(move || {
            let threads = helpers + 1;
            let job = Job::new(Items::new(0)..Items::new(threads as u64)).threads_exact(threads);
            let _ = job.run(&Kernel, |_| {
                has_begun.fetch_add(1, SeqCst);
                while !is_stopped.load(SeqCst) {
                    core::hint::spin_loop();
                }
                Ok::<(), ()>(())
            });
        });
        let light = light.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        let is_full = within_20_s(|| begun.load(SeqCst) > helpers);
        let met = Arc::new(AtomicBool::new(true));
        let have_met = met.clone();
        let heavy = Spawn::new("test/heavy").nice(Nice::MIN).start(move || {
            let begun = AtomicUsize::new(0);
            let job = Job::new(Items::new(0)..Items::new(2)).threads_exact(2);
            let _ = job.run(&Kernel, |_| {
                begun.fetch_add(1, SeqCst);
                // One thread alone waits in vain for the other chunk, with its first.
                let both = within_20_s(|| begun.load(SeqCst) == 2);
                have_met.fetch_and(both, SeqCst);
                Ok::<(), ()>(())
            });
        });
        if let Ok(heavy) = &heavy {
            heavy.clone().join();
        }
        let all_held = !stop.swap(true, SeqCst);
        light.join();
        check!(is_full && all_held, "{} of {} chunks have begun", begun.load(SeqCst), helpers + 1);
        check!(heavy.is_ok() && met.load(SeqCst), "no helper has begun");
    }
}
