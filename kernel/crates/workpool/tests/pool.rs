//! Queue and pool against models: no item is lost, no worker idles while items wait, and no surplus worker stays.
#![cfg(not(loom))]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;
use runqueue::Nice;
use workpool::{Help, Limits, Link, Neighbour, Next, Node, Oldest, Pool, Queue, WakeAction};

#[derive(Debug)]
struct Item {
    name: usize,
    node: TestNode,
    cancelled: Cell<bool>,
}

#[derive(Debug, Default)]
struct TestNode {
    neighbours: [RefCell<Option<Handle>>; Neighbour::COUNT],
    level: Cell<Option<Nice>>,
    number: Cell<u64>,
}

#[derive(Clone, Debug)]
struct Handle(Rc<Item>);

impl PartialEq for Handle {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Node<Handle> for TestNode {
    fn set(&self, neighbour: Neighbour, item: Option<Handle>) -> Option<Handle> {
        self.neighbours[neighbour as usize].replace(item)
    }
    fn set_level(&self, level: Option<Nice>) {
        self.level.set(level);
    }
    fn level(&self) -> Option<Nice> {
        self.level.get()
    }
    fn set_number(&self, number: u64) {
        self.number.set(number);
    }
    fn number(&self) -> u64 {
        self.number.get()
    }
}

impl Link for Handle {
    type Node = TestNode;

    fn node(&self) -> &TestNode {
        &self.0.node
    }
}

fn item(name: usize) -> Handle {
    Handle(Rc::new(Item { name, node: TestNode::default(), cancelled: Cell::new(false) }))
}

fn nice(level: i8) -> Nice {
    Nice::new(level).unwrap()
}

const LIGHT: Nice = Nice::MAX;
const HEAVY: Nice = Nice::MIN;

const MS: u64 = 1_000_000;
const LIMITS: Limits = Limits { active: 3, most: 6, keep: 1, idle_timeout_ns: 100 * MS };

/// What [`Pool::help`] returns to start `worker`.
fn start(worker: usize, level: Nice) -> Option<Help> {
    Some(Help::Start { worker, level })
}

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
        assert_eq!(pool.submit(item(0), LIGHT), WakeAction::Worker(2), "the last that worked");
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
fn no_more_workers_than_the_limits_of_the_moment_allow() {
    let one = Limits { active: 1, most: 1, keep: 1, ..LIMITS };
    let mut pool = Pool::new(6, one);
    assert_eq!(pool.submit(item(0), LIGHT), WakeAction::Manager);
    assert_eq!(pool.help(0), start(0, LIGHT));
    assert!(matches!(pool.next(0, || 0, begin), Next::Run(_)));
    let _ = pool.submit(item(1), LIGHT);
    assert_eq!(pool.help(1), None, "the only worker is blocked, and there may be one");
    pool.set_limits(Limits { most: 2, ..one });
    assert_eq!(pool.help(1), start(1, LIGHT), "there may be two now");
}

#[test]
fn a_worker_that_is_kept_leaves_nothing_to_watch() {
    let mut pool = Pool::new(6, LIMITS);
    assert_eq!(pool.start_ahead(), Some(0));
    assert_eq!(pool.next(0, || 0, begin), Next::Park { wake_manager: false }, "one is kept");
}

#[test]
fn workers_are_started_on_demand_and_more_when_they_block() {
    let mut pool = Pool::new(6, LIMITS);
    assert_eq!(pool.help(0), None, "nothing to do");
    for _ in 0..5 {
        assert_eq!(pool.submit(item(0), LIGHT), WakeAction::Manager);
    }
    let started: Vec<_> = (0..4).map(|_| pool.help(0)).collect();
    assert_eq!(started, [start(0, LIGHT), start(1, LIGHT), start(2, LIGHT), None]);
    assert_eq!(pool.start_failed(1), None);
    assert_eq!(pool.help(0), start(1, LIGHT), "again");
    for worker in 0..3 {
        assert!(matches!(pool.next(worker, || 0, begin), Next::Run(_)));
    }
    assert!(pool.should_count_blocked());
    assert_eq!(pool.help(0), None, "all are busy");
    assert_eq!(pool.next_look_ns(0, 10 * MS), Some(10 * MS), "they may block");
    assert_eq!(pool.submit(item(0), LIGHT), WakeAction::None, "the manager looks anyway");
    assert_eq!(pool.help(1), start(3, LIGHT), "one more for a blocked one");
    assert_eq!(pool.help(1), None);
    assert_eq!(pool.help(100), start(4, LIGHT));
    assert_eq!(pool.help(100), start(5, LIGHT));
    let _ = pool.submit(item(0), HEAVY);
    assert_eq!(pool.help(100), None, "the maximum");
    assert_eq!(pool.busy().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_worker_that_comes_for_a_blocked_one_has_room_after_another_look() {
    let mut pool = Pool::new(4, Limits { active: 1, most: 4, keep: 4, idle_timeout_ns: 0 });
    let (first, second) = (item(0), item(1));
    // The manager looks until the pool needs no more help, and counts one worker as blocked.
    let look = |pool: &mut Pool<Handle>| {
        let mut given = Vec::new();
        while let Some(help) = pool.help(pool.busy().take(1).filter(|_| pool.should_count_blocked()).count())
        {
            given.push(help);
        }
        given
    };
    assert_eq!(pool.submit(first.clone(), Nice::DEFAULT), WakeAction::Manager);
    assert_eq!(look(&mut pool), [start(0, Nice::DEFAULT).unwrap()]);
    assert_eq!(pool.next(0, || 0, begin), Next::Run(first));
    let _ = pool.submit(second.clone(), Nice::DEFAULT);
    assert_eq!(look(&mut pool), [start(1, Nice::DEFAULT).unwrap()]);
    assert_eq!(look(&mut pool), [], "the worker is still coming");
    assert_eq!(pool.next(1, || 0, begin), Next::Run(second));
}

#[test]
fn a_flush_waits_for_earlier_items() {
    let mut pool = Pool::new(2, LIMITS);
    let items: Vec<Handle> = (0..3).map(item).collect();
    let barriers: Vec<u64> = items
        .iter()
        .map(|item| {
            let _ = pool.submit(item.clone(), LIGHT);
            pool.next_item()
        })
        .collect();
    let flushed = |pool: &Pool<Handle>| barriers.iter().filter(|barrier| pool.is_flushed(**barrier)).count();
    let _ = pool.help(0).unwrap();
    let _ = pool.help(0).unwrap();
    assert!(matches!(pool.next(0, || 0, begin), Next::Run(_)));
    assert!(matches!(pool.next(1, || 0, begin), Next::Run(_)));
    assert_eq!(flushed(&pool), 0);
    assert_eq!(pool.oldest_before(barriers[0]), Some(Oldest { number: 0, worker: Some(0) }));
    assert_eq!(pool.oldest_before(0), None);
    items[2].0.cancelled.set(true);
    // The second ends before the first; the third is skipped.
    let _ = pool.next(1, || 0, begin);
    assert_eq!(flushed(&pool), 0, "the oldest is still running");
    let _ = pool.next(0, || 0, begin);
    assert_eq!(flushed(&pool), 3);
}

/// Starts workers for as many items as may run.
fn start_all(pool: &mut Pool<Handle>, blocked: usize) -> usize {
    let mut started = 0;
    while let Some(help) = pool.help(blocked) {
        let (Help::Start { worker, .. } | Help::Wake { worker, .. }) = help;
        assert!(matches!(pool.next(worker, || 0, begin), Next::Run(_)));
        started += 1;
    }
    started
}

#[test]
fn a_heavy_item_gets_a_worker_beside_those_of_light_ones() {
    let mut pool = Pool::new(6, LIMITS);
    for name in 0..5 {
        let _ = pool.submit(item(name), LIGHT);
    }
    assert_eq!(start_all(&mut pool, 0), 3);
    assert_eq!(pool.next_look_ns(0, MS), Some(MS));
    let heavy = [item(10), item(11)];
    for heavy in &heavy {
        assert_eq!(pool.submit(heavy.clone(), nice(0)), WakeAction::Manager, "at once");
        assert_eq!(pool.help(0), start(pool.alive() - 1, nice(0)));
        assert_eq!(pool.help(0), None, "none for the light items");
    }
    assert_eq!(pool.next(3, || 0, begin), Next::Run(heavy[0].clone()));
    assert_eq!(pool.next(4, || 0, begin), Next::Run(heavy[1].clone()));
    assert_eq!(pool.submit(item(5), LIGHT), WakeAction::None, "the manager looks anyway");
    assert_eq!(pool.next(3, || 0, begin), Next::Park { wake_manager: true }, "four are at work");
    assert_eq!(pool.submit(item(12), nice(0)), WakeAction::Worker(3));
    assert!(matches!(pool.next(3, || 0, begin), Next::Run(_)));
    for worker in [0, 1] {
        assert!(matches!(pool.next(worker, || 0, begin), Next::Park { .. }), "four and three are at work");
    }
    assert_eq!(pool.submit(item(6), LIGHT), WakeAction::None, "no idle worker may run it");
    for worker in 2..5 {
        assert!(matches!(pool.next(worker, || 0, begin), Next::Run(item) if item.0.name < 10));
    }
}

#[test]
fn a_raised_item_goes_before_others_and_calls_a_worker() {
    let mut pool = Pool::new(6, LIMITS);
    let items: Vec<Handle> = (0..6).map(item).collect();
    for item in &items {
        let _ = pool.submit(item.clone(), LIGHT);
    }
    assert_eq!(start_all(&mut pool, 0), 3);
    let _ = pool.next_look_ns(0, MS);
    assert_eq!(pool.raise(items[0].node(), HEAVY), WakeAction::None, "it runs already");
    assert_eq!(pool.raise(items[4].node(), LIGHT), WakeAction::None, "no heavier");
    assert_eq!(pool.raise(items[5].node(), HEAVY), WakeAction::Manager);
    assert_eq!(pool.raise(items[5].node(), nice(0)), WakeAction::None, "it was raised higher");
    assert_eq!(pool.coming(), None);
    assert_eq!(pool.help(0), start(3, HEAVY));
    assert_eq!((pool.coming(), pool.is_coming(3), pool.first_level()), (Some(3), true, Some(HEAVY)));
    assert_eq!(pool.next(3, || 0, begin), Next::Run(items[5].clone()));
    assert_eq!((pool.coming(), pool.is_coming(3)), (None, false));
    assert_eq!(pool.oldest_before(9), Some(Oldest { number: 0, worker: Some(0) }));
    for worker in 0..2 {
        assert!(matches!(pool.next(worker, || 0, begin), Next::Run(_) | Next::Park { .. }));
    }
    assert_eq!(
        pool.raise(pool.oldest_queued().unwrap().clone().node(), HEAVY),
        WakeAction::Worker(0),
        "the fifth item, for which there was no room"
    );
    assert_eq!(pool.next(0, || 0, begin), Next::Run(items[4].clone()));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Submit(Nice),
    Raise(usize, Nice),
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

/// Few levels, so that items share some.
fn any_level() -> impl Strategy<Value = Nice> {
    prop_oneof![Just(HEAVY), Just(nice(0)), Just(nice(5)), Just(LIGHT)]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any_level().prop_map(Step::Submit),
        1 => (any::<usize>(), any_level()).prop_map(|(which, level)| Step::Raise(which, level)),
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
    /// Running threads, and the name and level of the item that each runs.
    awake: BTreeMap<usize, Option<(usize, Nice)>>,
    asleep: BTreeSet<usize>,
}

impl Threads {
    fn wake(&mut self, worker: usize) {
        assert!(self.asleep.remove(&worker), "{worker} is woken, but not parked");
        self.awake.insert(worker, None);
    }

    fn running(&self) -> usize {
        self.awake.values().flatten().count()
    }

    /// Returns whether one more worker may run an item of `level` beside `others`.
    fn has_room(&self, level: Nice, others: usize, limit: usize) -> bool {
        others < limit + self.awake.values().flatten().filter(|(_, other)| *other > level).count()
    }
}

/// The items in order of level, and within a level in the order in which they came to it.
#[derive(Default)]
struct Order {
    items: Vec<(Handle, Nice)>,
}

impl Order {
    fn insert(&mut self, item: Handle, level: Nice) {
        let place = self.items.partition_point(|(_, other)| *other <= level);
        self.items.insert(place, (item, level));
    }

    fn remove(&mut self, item: &Handle) -> Option<Nice> {
        let place = self.items.iter().position(|(other, _)| other == item)?;
        Some(self.items.remove(place).1)
    }

    fn raise(&mut self, item: &Handle, level: Nice) -> bool {
        let is_lighter = self.items.iter().any(|(other, current)| other == item && *current > level);
        if is_lighter {
            self.remove(item);
            self.insert(item.clone(), level);
        }
        is_lighter
    }

    fn oldest(&self) -> Option<&Handle> {
        self.items.iter().map(|(item, _)| item).min_by_key(|item| item.0.name)
    }
}

fn pick<T: Copy>(among: impl Iterator<Item = T>, which: usize) -> Option<T> {
    let among: Vec<T> = among.collect();
    (!among.is_empty()).then(|| among[which % among.len()])
}

/// While a worker is being started, another becomes idle, and is not called for the item that the new worker was to take.
#[test]
fn an_idle_worker_replaces_one_that_cannot_be_started() {
    let mut pool = Pool::new(6, LIMITS);
    assert_eq!(pool.submit(item(0), LIGHT), WakeAction::Manager);
    assert_eq!(pool.help(0), start(0, LIGHT));
    assert!(matches!(pool.next(0, || 0, begin), Next::Run(_)));
    let _ = pool.submit(item(1), LIGHT);
    assert_eq!(pool.help(0), start(1, LIGHT));
    // The first worker takes the item, and then is idle.
    assert!(matches!(pool.next(0, || 0, begin), Next::Run(_)));
    assert!(matches!(pool.next(0, || 0, begin), Next::Park { .. }));
    assert_eq!(pool.submit(item(2), LIGHT), WakeAction::None, "the second is coming");
    assert_eq!(pool.start_failed(1), Some((0, LIGHT)));
    assert!(matches!(pool.next(0, || 0, begin), Next::Run(_)));
}

proptest! {
    #[test]
    fn queues_are_ordered_by_level(steps in prop::collection::vec((0..6_u8, 0..8_usize, any_level()), 0..80)) {
        let mut queue = Queue::new();
        let mut model = Order::default();
        for (number, (what, which, level)) in steps.into_iter().enumerate() {
            let stranger = item(number);
            let wanted = model.items.get(which).map_or(&stranger, |(item, _)| item).clone();
            match what {
                0..=2 => {
                    queue.push(stranger.clone(), level);
                    model.insert(stranger, level);
                }
                3 => {
                    let expected = (!model.items.is_empty()).then(|| model.items.remove(0).0);
                    prop_assert_eq!(queue.pop(), expected);
                }
                4 => prop_assert_eq!(queue.remove(wanted.node()).is_some(), model.remove(&wanted).is_some()),
                _ => prop_assert_eq!(queue.raise(wanted.node(), level), model.raise(&wanted, level)),
            }
            prop_assert_eq!(queue.len(), model.items.len());
            prop_assert_eq!(queue.is_empty(), model.items.is_empty());
            prop_assert_eq!(queue.first_level(), model.items.first().map(|(_, level)| *level));
            prop_assert_eq!(queue.level_at(which), model.items.get(which).map(|(_, level)| *level));
            prop_assert_eq!(queue.oldest(), model.oldest());
        }
        // In order, each once, and a removed item has no neighbours and no level.
        let rest: Vec<Handle> = std::iter::from_fn(|| queue.pop()).collect();
        let expected: Vec<Handle> = model.items.into_iter().map(|(item, _)| item).collect();
        prop_assert_eq!(&rest, &expected);
        for item in rest {
            prop_assert!(item.node().level().is_none());
            prop_assert!(item.node().neighbours.iter().all(|neighbour| neighbour.borrow().is_none()));
        }
        prop_assert!(queue.oldest().is_none());
    }

    #[test]
    fn every_item_runs_once_and_no_worker_idles_while_items_may_run(
        steps in prop::collection::vec(any_step(), 0..200),
        active in 1..5_usize,
        keep in 0..4_usize,
    ) {
        let limits = Limits { active, most: 6, keep, idle_timeout_ns: 100 * MS };
        let mut pool = Pool::new(6, limits);
        let mut threads = Threads::default();
        let (mut now_ns, mut submitted, mut limit) = (0, 0, active);
        // What is in the queue, with items that are cancelled and not removed.
        let (mut queue, mut done): (Order, BTreeSet<usize>) = (Order::default(), BTreeSet::new());
        // When the manager looks: now, at a later time, or not at all.
        let mut manager_ns: Option<u64> = None;
        let steps = steps.into_iter().chain((0..2000).map(|n| match n % 7 {
            0 => Step::Manager { blocked: 0, succeeds: true },
            1 => Step::Wait(60),
            n => Step::Work(n),
        }));
        for step in steps {
            let action = match step {
                Step::Submit(level) if submitted < 150 => {
                    let item = item(submitted);
                    submitted += 1;
                    queue.insert(item.clone(), level);
                    pool.submit(item, level)
                }
                Step::Raise(which, level) => match pick(queue.items.iter(), which).cloned() {
                    Some((item, _)) => {
                        queue.raise(&item, level);
                        pool.raise(item.node(), level)
                    }
                    None => WakeAction::None,
                },
                _ => WakeAction::None,
            };
            match action {
                WakeAction::Worker(worker) => threads.wake(worker),
                WakeAction::Manager => manager_ns = Some(now_ns),
                WakeAction::None => {}
            }
            match step {
                Step::Submit(_) | Step::Raise(..) => {}
                Step::Cancel(which) => {
                    let live = queue.items.iter().filter(|(item, _)| begin(item));
                    let Some((item, _)) = pick(live, which).cloned() else { continue };
                    item.0.cancelled.set(true);
                    // In the other cases a worker skips it.
                    if which % 2 == 0 {
                        prop_assert_eq!(pool.remove(item.node()), queue.remove(&item).map(|_| item.clone()));
                        prop_assert_eq!(pool.remove(item.node()), None, "removed twice");
                    }
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
                    if let Some((name, _)) = before {
                        prop_assert!(done.insert(name), "item {name} ran twice");
                        limit = limit.min(active + threads.running());
                    }
                    let next = pool.next(worker, || now_ns, begin);
                    // Cancelled items are skipped, as long as an item of their level may run.
                    let expected = (next != Next::Exit).then(|| {
                        while let Some((item, level)) = queue.items.first().cloned() {
                            if !threads.has_room(level, threads.running(), limit) {
                                return None;
                            }
                            queue.items.remove(0);
                            if begin(&item) {
                                return Some((item, level));
                            }
                        }
                        None
                    }).flatten();
                    match next {
                        Next::Run(item) => {
                            let Some((first, level)) = expected else {
                                return Err(TestCaseError::fail("no item may run"));
                            };
                            prop_assert!(first == item, "not in order");
                            threads.asleep.remove(&worker);
                            threads.awake.insert(worker, Some((item.0.name, level)));
                        }
                        Next::Park { wake_manager } => {
                            prop_assert!(expected.is_none(), "{expected:?} may run");
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
                    limit = active + blocked;
                    while let Some(help) = pool.help(blocked) {
                        let worker = match help {
                            Help::Wake { worker, .. } => {
                                threads.wake(worker);
                                continue;
                            }
                            Help::Start { worker, .. } => worker,
                        };
                        prop_assert!(!threads.awake.contains_key(&worker) && !threads.asleep.contains(&worker));
                        if !succeeds {
                            prop_assert_eq!(pool.start_failed(worker), None);
                            break;
                        }
                        threads.awake.insert(worker, None);
                        prop_assert!(pool.alive() <= 6 && threads.asleep.is_empty());
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
            let (queued, running) = (pool.queued(), threads.running());
            prop_assert_eq!(queued, queue.items.len());
            prop_assert_eq!(pool.oldest_queued(), queue.oldest());
            prop_assert_eq!(pool.first_level(), queue.items.first().map(|(_, level)| *level));
            prop_assert_eq!(pool.busy().count(), running);
            // Without those that will exit.
            let coming = pool.alive() - pool.idle() - running;
            prop_assert_eq!(pool.coming().is_some(), coming > 0);
            prop_assert!(pool.coming().is_none_or(|worker| pool.is_coming(worker)));
            if let Some((_, level)) = queue.items.get(coming) {
                let may_run = threads.has_room(*level, running + coming, limit);
                prop_assert!(!may_run || pool.idle() == 0, "{queued} items, {coming} come, {} idle", pool.idle());
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
