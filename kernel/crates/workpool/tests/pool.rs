//! Queue and pool against models: no item is lost, no worker idles while items wait, and no surplus worker stays.
#![cfg(not(loom))]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;
use workpool::{Limits, Link, Next, Pool, Queue, WakeAction};

#[derive(Debug)]
struct Item {
    name: usize,
    next: RefCell<Option<Handle>>,
    number: Cell<u64>,
    cancelled: Cell<bool>,
}

#[derive(Clone, Debug)]
struct Handle(Rc<Item>);

impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Link for Handle {
    fn set_next(&self, next: Option<Self>) -> Option<Self> {
        self.0.next.replace(next)
    }
    fn next(&self) -> Option<Self> {
        self.0.next.borrow().clone()
    }
    fn set_number(&self, number: u64) {
        self.0.number.set(number);
    }
    fn number(&self) -> u64 {
        self.0.number.get()
    }
}

fn item(name: usize) -> Handle {
    let next = RefCell::new(None);
    Handle(Rc::new(Item { name, next, number: Cell::new(0), cancelled: Cell::new(false) }))
}

const MS: u64 = 1_000_000;
const LIMITS: Limits = Limits { active: 3, most: 6, keep: 1, idle_timeout_ns: 100 * MS };

fn begin(item: &Handle) -> bool {
    !item.0.cancelled.get()
}

#[test]
fn the_last_worker_is_called_and_the_longest_idle_is_retired() {
    let mut pool = Pool::new(6, LIMITS);
    for worker in 0..3 {
        assert_eq!(pool.start_ahead(), Some(worker));
    }
    assert_eq!(pool.start_ahead(), None, "as many as may run items");
    assert_eq!(pool.next(0, || 0, begin), Next::Park { wake_manager: true });
    assert_eq!(pool.next(1, || MS, begin), Next::Park { wake_manager: false }, "the manager knows");
    assert_eq!(pool.next(2, || 2 * MS, begin), Next::Park { wake_manager: false });
    assert_eq!(pool.next_look_ns(2 * MS, MS), Some(100 * MS), "when the first may be retired");
    for _ in 0..3 {
        assert_eq!(pool.submit(item(0)), WakeAction::Worker(2), "the last that worked");
        assert!(matches!(pool.next(2, || 50 * MS, begin), Next::Run(_)));
        assert_eq!(pool.next(2, || 60 * MS, begin), Next::Park { wake_manager: false });
    }
    assert_eq!(pool.retire_idle(100 * MS - 1), None, "too early");
    assert_eq!(pool.retire_idle(100 * MS), Some(0));
    assert_eq!(pool.retire_idle(101 * MS), Some(1));
    assert_eq!(pool.retire_idle(1000 * MS), None, "one is kept");
    assert_eq!(pool.next(0, || 102 * MS, begin), Next::Exit);
    assert_eq!(pool.next_look_ns(102 * MS, MS), None, "nothing to watch");
    assert_eq!((pool.alive(), pool.idle()), (1, 1));
}

#[test]
fn workers_are_started_on_demand_and_more_when_they_block() {
    let mut pool = Pool::new(6, LIMITS);
    assert_eq!(pool.start(0), None, "nothing to do");
    for _ in 0..5 {
        assert_eq!(pool.submit(item(0)), WakeAction::Manager);
    }
    assert_eq!((0..4).map(|_| pool.start(0)).collect::<Vec<_>>(), [Some(0), Some(1), Some(2), None]);
    assert_eq!(pool.start_failed(1), None);
    assert_eq!(pool.start(0), Some(1), "again");
    for worker in 0..3 {
        assert!(matches!(pool.next(worker, || 0, begin), Next::Run(_)));
    }
    assert!(pool.should_count_blocked());
    assert_eq!(pool.start(0), None, "all are busy");
    assert_eq!(pool.next_look_ns(0, 10 * MS), Some(10 * MS), "they may block");
    assert_eq!(pool.submit(item(0)), WakeAction::None, "the manager looks anyway");
    assert_eq!(pool.start(1), Some(3), "one more for a blocked one");
    assert_eq!(pool.start(1), None);
    assert_eq!(pool.start(100), Some(4));
    assert_eq!(pool.start(100), Some(5));
    assert_eq!(pool.start(100), None, "the maximum");
    assert_eq!(pool.busy().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_flush_waits_for_earlier_items() {
    let mut pool = Pool::new(2, LIMITS);
    let items: Vec<Handle> = (0..3).map(item).collect();
    let barriers: Vec<u64> = items
        .iter()
        .map(|item| {
            let _ = pool.submit(item.clone());
            pool.next_item()
        })
        .collect();
    let flushed = |pool: &Pool<Handle>| barriers.iter().filter(|barrier| pool.is_flushed(**barrier)).count();
    pool.start(0).unwrap();
    pool.start(0).unwrap();
    assert!(matches!(pool.next(0, || 0, begin), Next::Run(_)));
    assert!(matches!(pool.next(1, || 0, begin), Next::Run(_)));
    assert_eq!(flushed(&pool), 0);
    items[2].0.cancelled.set(true);
    // The second ends before the first; the third is skipped.
    let _ = pool.next(1, || 0, begin);
    assert_eq!(flushed(&pool), 0, "the oldest is still running");
    let _ = pool.next(0, || 0, begin);
    assert_eq!(flushed(&pool), 3);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Submit,
    Cancel(usize),
    /// An awake worker does its next step.
    Work(usize),
    /// A worker wakes up spuriously.
    Spurious(usize),
    Manager {
        blocked: usize,
        succeeds: bool,
    },
    Wait(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Submit),
        1 => any::<usize>().prop_map(Step::Cancel),
        6 => any::<usize>().prop_map(Step::Work),
        1 => any::<usize>().prop_map(Step::Spurious),
        2 => (0..3_usize, prop::bool::weighted(0.8)).prop_map(|(blocked, succeeds)| Step::Manager { blocked, succeeds }),
        2 => (1..150_u64).prop_map(Step::Wait),
    ]
}

/// The threads of the pool, as a kernel would have them.
#[derive(Default)]
struct Threads {
    /// Running threads, and the name of the item that each runs.
    awake: BTreeMap<usize, Option<usize>>,
    asleep: BTreeSet<usize>,
}

fn pick<T: Copy>(among: impl Iterator<Item = T>, which: usize) -> Option<T> {
    let among: Vec<T> = among.collect();
    (!among.is_empty()).then(|| among[which % among.len()])
}

/// While a worker is being started, another becomes idle, and is not called for the item that the new worker was to take.
#[test]
fn an_idle_worker_replaces_one_that_cannot_be_started() {
    let mut pool = Pool::new(6, LIMITS);
    assert_eq!(pool.submit(item(0)), WakeAction::Manager);
    assert_eq!(pool.start(0), Some(0));
    assert!(matches!(pool.next(0, || 0, begin), Next::Run(_)));
    let _ = pool.submit(item(1));
    assert_eq!(pool.start(0), Some(1));
    // The first worker takes the item, and then is idle.
    assert!(matches!(pool.next(0, || 0, begin), Next::Run(_)));
    assert!(matches!(pool.next(0, || 0, begin), Next::Park { .. }));
    assert_eq!(pool.submit(item(2)), WakeAction::None, "the second is coming");
    assert_eq!(pool.start_failed(1), Some(0));
    assert!(matches!(pool.next(0, || 0, begin), Next::Run(_)));
}

proptest! {
    #[test]
    fn queues_are_lists(steps in prop::collection::vec((0..4_u8, 0..8_usize), 0..60)) {
        let mut queue = Queue::new();
        let mut model: Vec<Handle> = Vec::new();
        for (number, (what, which)) in steps.into_iter().enumerate() {
            match what {
                0 | 1 => {
                    let item = item(number);
                    queue.push(item.clone());
                    model.push(item);
                }
                2 => {
                    let expected = (!model.is_empty()).then(|| model.remove(0));
                    prop_assert_eq!(queue.pop(), expected);
                }
                _ => {
                    let stranger = item(number);
                    let wanted = model.get(which).unwrap_or(&stranger).clone();
                    prop_assert_eq!(queue.take_where(|item| *item == wanted).is_some(), model.contains(&wanted));
                    model.retain(|item| *item != wanted);
                }
            }
            prop_assert_eq!(queue.len(), model.len());
            prop_assert_eq!(queue.is_empty(), model.is_empty());
            prop_assert_eq!(queue.first(), model.first());
        }
        // In order, each once, and a removed item has no link.
        let rest: Vec<Handle> = std::iter::from_fn(|| queue.pop()).collect();
        prop_assert_eq!(&rest, &model);
        prop_assert!(rest.iter().all(|item| item.next().is_none()));
    }

    #[test]
    fn every_item_runs_once_and_no_worker_idles_while_items_wait(
        steps in prop::collection::vec(any_step(), 0..200),
        active in 1..5_usize,
        keep in 0..4_usize,
    ) {
        let limits = Limits { active, most: 6, keep, idle_timeout_ns: 100 * MS };
        let mut pool = Pool::new(6, limits);
        let mut threads = Threads::default();
        let (mut now_ns, mut submitted) = (0, 0);
        let (mut waiting, mut done): (Vec<Handle>, BTreeSet<usize>) = (Vec::new(), BTreeSet::new());
        // When the manager looks: now, at a later time, or not at all.
        let mut manager_ns: Option<u64> = None;
        let steps = steps.into_iter().chain((0..2000).map(|n| match n % 7 {
            0 => Step::Manager { blocked: 0, succeeds: true },
            1 => Step::Wait(60),
            n => Step::Work(n),
        }));
        for step in steps {
            match step {
                Step::Submit if submitted < 150 => {
                    let item = item(submitted);
                    submitted += 1;
                    waiting.push(item.clone());
                    match pool.submit(item) {
                        WakeAction::Worker(worker) => {
                            prop_assert!(threads.asleep.remove(&worker), "{worker} is woken, but not parked");
                            threads.awake.insert(worker, None);
                        }
                        WakeAction::Manager => manager_ns = Some(now_ns),
                        WakeAction::None => {}
                    }
                }
                Step::Submit => {}
                Step::Cancel(which) => {
                    let Some(item) = pick(waiting.iter(), which).cloned() else { continue };
                    item.0.cancelled.set(true);
                    // In the other cases a worker skips it.
                    if which % 2 == 0 {
                        pool.take_where(|other| *other == item);
                    }
                    waiting.retain(|other| *other != item);
                    done.insert(item.0.name);
                }
                Step::Work(which) | Step::Spurious(which) => {
                    let awake = !matches!(step, Step::Spurious(_));
                    let worker = match awake {
                        true => pick(threads.awake.keys().copied(), which),
                        false => pick(threads.asleep.iter().copied(), which),
                    };
                    let Some(worker) = worker else { continue };
                    let before = threads.awake.remove(&worker).flatten();
                    if let Some(name) = before {
                        prop_assert!(done.insert(name), "item {name} ran twice");
                    }
                    match pool.next(worker, || now_ns, begin) {
                        Next::Run(item) => {
                            prop_assert!(waiting.first() == Some(&item), "not in order of arrival");
                            waiting.remove(0);
                            threads.asleep.remove(&worker);
                            threads.awake.insert(worker, Some(item.0.name));
                        }
                        Next::Park { wake_manager } => {
                            threads.asleep.insert(worker);
                            if wake_manager {
                                manager_ns = Some(now_ns);
                            }
                        }
                        Next::Exit => {
                            prop_assert!(before.is_none());
                            threads.asleep.remove(&worker);
                        }
                    }
                }
                // Only when it was woken, or its time has come.
                Step::Manager { blocked, succeeds } => if manager_ns.is_some_and(|at_ns| at_ns <= now_ns) {
                    while let Some(worker) = pool.start(blocked) {
                        prop_assert!(!threads.awake.contains_key(&worker) && !threads.asleep.contains(&worker));
                        if !succeeds {
                            prop_assert_eq!(pool.start_failed(worker), None);
                            break;
                        }
                        threads.awake.insert(worker, None);
                        prop_assert!(pool.alive() <= 6 && pool.alive() <= active.min(6) + blocked);
                    }
                    while let Some(worker) = pool.retire_idle(now_ns) {
                        prop_assert!(pool.alive() >= keep, "one too many was retired");
                        prop_assert!(threads.asleep.remove(&worker), "a busy worker was retired");
                        threads.awake.insert(worker, None);
                    }
                    manager_ns = pool.next_look_ns(now_ns, 10 * MS);
                },
                Step::Wait(ms) => now_ns += ms * MS,
            }
            let queued = pool.queued();
            let live = waiting.iter().filter(|item| begin(item)).count();
            prop_assert!(queued >= live, "{live} items are live, {queued} are queued");
            let running = threads.awake.values().filter(|item| item.is_some()).count();
            prop_assert_eq!(pool.busy().count(), running);
            if queued > 0 && pool.idle() > 0 {
                let coming = threads.awake.len() - running;
                prop_assert!(coming >= queued.min(live), "{queued} items, {coming} come, {} idle", pool.idle());
            }
            let coming = threads.awake.len() - running;
            if live > coming {
                prop_assert!(manager_ns.is_some_and(|at_ns| at_ns <= now_ns + 10 * MS), "the manager does not look: {manager_ns:?}");
            }
            prop_assert_eq!(pool.is_flushed(pool.next_item()), queued == 0 && running == 0);
        }
        // The last steps are long enough to run every item and to retire every surplus worker.
        prop_assert_eq!(done.len(), submitted);
        prop_assert_eq!(pool.queued(), 0);
        prop_assert_eq!(pool.alive(), threads.asleep.len());
        prop_assert!(pool.alive() <= keep, "{} workers are left, {keep} should be", pool.alive());
        prop_assert!(manager_ns.is_none(), "the manager still has to look");
    }
}
