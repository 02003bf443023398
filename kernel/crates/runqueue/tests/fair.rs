//! The fair queue: shares follow weights, no thread starves, and none gains by sleeping or migrating.
#![cfg(not(loom))]

use proptest::prelude::*;
use runqueue::{
    Entities, Entity, FairQueue, LONGEST_RUN_NS, Nice, PreemptReason, SHORTEST_SLICE_NS, SLICE_NS,
    SchedClass, Tid, Weight,
};

struct Threads(Vec<Entity>);

impl Entities for Threads {
    fn entity(&self, tid: Tid) -> &Entity {
        &self.0[tid.index()]
    }
}

fn tid(number: usize) -> Tid {
    Tid::new(number as u32).unwrap()
}

fn nice(level: i8) -> Nice {
    Nice::new(level).unwrap()
}

/// One CPU with its run queue, and the CPU time of each thread by number.
struct Cpu {
    threads: Threads,
    queue: FairQueue,
    running: Option<Tid>,
    used_ns: Vec<u64>,
    longest_wait_ns: Vec<u64>,
    queued_at_ns: Vec<u64>,
    now_ns: u64,
}

impl Cpu {
    fn new(entities: Vec<Entity>) -> Self {
        let count = entities.len();
        Self {
            threads: Threads(entities),
            queue: FairQueue::new(),
            running: None,
            used_ns: vec![0; count],
            longest_wait_ns: vec![0; count],
            queued_at_ns: vec![0; count],
            now_ns: 0,
        }
    }

    /// Queues a new thread.
    fn arrive(&mut self, number: usize) {
        self.queue.attach(self.threads.entity(tid(number)), self.now_ns);
        self.queue.push(&self.threads, tid(number));
        self.queued_at_ns[number] = self.now_ns;
    }

    /// Wakes a thread that blocked here.
    fn wake(&mut self, number: usize) {
        self.queue.wake(self.threads.entity(tid(number)), self.now_ns);
        self.arrive(number);
    }

    /// Lets the running thread, if any, run for `ns`; then picks the next.
    fn run(&mut self, ns: u64) {
        self.now_ns += ns;
        let next = match self.running {
            None => {
                self.queue.start_charging(self.now_ns);
                self.queue.pop(&self.threads)
            }
            Some(running) => {
                self.used_ns[running.index()] += ns;
                let next = self.pick_next(running);
                if next.is_some() {
                    self.queued_at_ns[running.index()] = self.now_ns;
                }
                next
            }
        };
        if let Some(next) = next {
            self.running = Some(next);
            let waited_ns = self.now_ns - self.queued_at_ns[next.index()];
            self.longest_wait_ns[next.index()] = self.longest_wait_ns[next.index()].max(waited_ns);
        }
    }

    fn pick_next(&mut self, running: Tid) -> Option<Tid> {
        let entity = self.threads.entity(running);
        self.queue.charge_and_pick_next(&self.threads, running, entity, self.now_ns, PreemptReason::SliceOver)
    }

    /// Lets the running thread run for `ns`, then blocks it; returns its number.
    fn run_and_block(&mut self, ns: u64) -> usize {
        let running = self.running.unwrap();
        self.used_ns[running.index()] += ns;
        self.charge_running(ns);
        self.block_running()
    }

    /// Lets `ns` pass, and charges the running thread for them if others wait.
    fn charge_running(&mut self, ns: u64) {
        let entity = self.threads.entity(self.running.unwrap());
        self.now_ns += ns;
        self.queue.charge(&self.threads, entity, self.now_ns);
    }

    fn block_running(&mut self) -> usize {
        let running = self.running.take().unwrap();
        self.queue.detach(self.threads.entity(running));
        running.index()
    }
}

fn of_nice(level: i8) -> Entity {
    let entity = Entity::new();
    entity.set_nice(nice(level));
    entity
}

fn of_idle_class() -> Entity {
    let entity = Entity::new();
    entity.set_idle_class();
    entity
}

#[test]
fn a_stopped_machine_keeps_no_thread_from_running() {
    let mut cpu = Cpu::new((0..2).map(|_| Entity::new()).collect());
    cpu.arrive(0);
    cpu.arrive(1);
    for _ in 0..10 {
        cpu.run(SLICE_NS);
    }
    let stopped = cpu.running.unwrap().index();
    // The host stops the machine for a minute while one of the threads runs.
    cpu.run(60_000_000_000);
    let mut turns = 0;
    while cpu.running.unwrap().index() != stopped {
        cpu.run(SLICE_NS);
        turns += 1;
        assert!(turns <= LONGEST_RUN_NS / SLICE_NS, "the other thread ran alone for {turns} slices");
    }
    assert!(turns > 10, "{turns} slices are not what a long run costs");
}

#[test]
fn the_weight_table_is_the_conventional_one() {
    let weight = |level| nice(level).weight().get();
    assert_eq!((weight(-20), weight(0), weight(1), weight(19)), (88761, 1024, 820, 15));
    assert_eq!((Nice::new(-21), Nice::new(20)), (None, None));
    // Each step is a quarter, give or take rounding.
    for level in -20..19 {
        let ratio = f64::from(weight(level)) / f64::from(weight(level + 1));
        assert!((1.15..1.35).contains(&ratio), "nice {level}: {ratio}");
    }
    for level in -20..=19 {
        assert_eq!(Nice::of_weight(nice(level).weight()), Some(nice(level)));
    }
    assert_eq!(Nice::of_weight(Weight::IDLE), None);
    assert_eq!(nice(0).weight().virtual_ns(12_345), 12_345);
    assert_eq!(nice(19).weight().virtual_ns(15), 1024);
    assert_eq!((Weight::clamped(0).get(), Weight::clamped(u32::MAX)), (1, Weight::MOST));
}

#[test]
fn equal_threads_share_equally_and_wait_n_minus_1_slices() {
    let mut cpu = Cpu::new((0..8).map(|_| Entity::new()).collect());
    (0..8).for_each(|number| cpu.arrive(number));
    cpu.run(0);
    for _ in 0..800 {
        cpu.run(SLICE_NS);
    }
    for number in 0..8 {
        assert_eq!(cpu.used_ns[number], 100 * SLICE_NS, "thread {number}");
        assert!(cpu.longest_wait_ns[number] <= 7 * SLICE_NS, "thread {number}: {:?}", cpu.longest_wait_ns);
    }
}

proptest! {
    /// With full slices a thread waits for n - 1 of them, while its vruntime stays at k. If slices may be shorter, the others
    /// are up to a slice behind k, and each stops at most a slice beyond it: twice as much.
    #[test]
    fn no_thread_waits_longer_than_the_slices_of_the_others(
        threads in 2..20_usize,
        uneven in prop::collection::vec(1..=SLICE_NS, 1..300),
    ) {
        for (slices, most_ns) in [(vec![SLICE_NS; 300], SLICE_NS), (uneven, 2 * SLICE_NS)] {
            let mut cpu = Cpu::new((0..threads).map(|_| Entity::new()).collect());
            (0..threads).for_each(|number| cpu.arrive(number));
            cpu.run(0);
            slices.into_iter().for_each(|ns| cpu.run(ns));
            // Threads that still wait count too.
            let waits = (0..threads).filter(|number| cpu.running != Some(tid(*number)));
            let now = waits.map(|number| cpu.now_ns - cpu.queued_at_ns[number]).max().unwrap_or(0);
            let longest_ns = cpu.longest_wait_ns.iter().copied().max().unwrap_or(0).max(now);
            prop_assert!(longest_ns <= (threads as u64 - 1) * most_ns, "{longest_ns} ns among {threads}");
        }
    }

    /// Slices that end a bit late, or early for a thread that wakes up: a preempted thread gets the remainder, no more.
    #[test]
    fn jitter_does_not_change_the_order(
        threads in 2..20_usize,
        turns in prop::collection::vec((1..=2 * SLICE_NS, 0..40_000_u64), 1..400),
    ) {
        const LATE_NS: u64 = 40_000;
        // The remainder of a slice may be too short to switch for.
        const LONGEST_NS: u64 = SLICE_NS + SHORTEST_SLICE_NS + LATE_NS;
        let mut cpu = Cpu::new((0..threads).map(|_| Entity::new()).collect());
        (0..threads).for_each(|number| cpu.arrive(number));
        cpu.run(0);
        for (ns, late_ns) in turns {
            let slice_left_ns = cpu.threads.entity(cpu.running.unwrap()).slice_left_ns();
            // The interrupt of a waking thread comes at once, the timer is late.
            cpu.run(if ns < slice_left_ns { ns } else { slice_left_ns + late_ns });
        }
        let longest_ns = cpu.longest_wait_ns.iter().copied().max().unwrap_or(0);
        prop_assert!(longest_ns <= (threads as u64 - 1) * LONGEST_NS, "{longest_ns} ns among {threads}");
    }

    #[test]
    fn shares_follow_weights(levels in prop::collection::vec(-20..=19_i8, 1..20), seed in 0..1000_u64) {
        let mut cpu = Cpu::new(levels.iter().map(|level| of_nice(*level)).collect());
        (0..levels.len()).for_each(|number| cpu.arrive(number));
        cpu.run(0);
        for turn in 0..20_000_u64 {
            // Slices of uneven length, as interrupts make them.
            cpu.run(SLICE_NS / 2 + (seed + turn) * 7919 % SLICE_NS);
        }
        let total_weight: u64 = levels.iter().map(|level| u64::from(nice(*level).weight().get())).sum();
        let vruntimes: Vec<_> = levels.iter().enumerate().map(|(number, level)| {
            nice(*level).weight().virtual_ns(cpu.used_ns[number])
        }).collect();
        // Two vruntimes differ by at most the longest slice in virtual time of the lighter thread.
        for (number, level) in levels.iter().enumerate() {
            let share = cpu.now_ns as f64 * f64::from(nice(*level).weight().get()) / total_weight as f64;
            let error = (cpu.used_ns[number] as f64 - share).abs();
            prop_assert!(error <= 4.0 * SLICE_NS as f64 * levels.len() as f64, "nice {level}: {error} ns off {share}; {vruntimes:?}");
        }
    }

    /// The single step from one thread to the next has the same effect as its three parts.
    #[test]
    fn picking_next_is_charging_popping_and_pushing(
        levels in prop::collection::vec(-20..=20_i8, 2..12),
        steps in prop::collection::vec((0..3 * SLICE_NS, 0..3_u8, prop::option::weighted(0.1, (0..12_usize, -20..=19_i8))), 1..200),
    ) {
        let new = || {
            // Level 20 stands for the idle class.
            let entities = levels.iter().map(|level| if *level == 20 { of_idle_class() } else { of_nice(*level) });
            let mut cpu = Cpu::new(entities.collect());
            (0..levels.len()).for_each(|number| cpu.arrive(number));
            cpu.running = cpu.queue.pop(&cpu.threads);
            cpu
        };
        let (mut short, mut long, mut now_ns) = (new(), new(), 0);
        for (ran_ns, why, change) in steps {
            let why = [PreemptReason::SliceOver, PreemptReason::WakeUp, PreemptReason::Yield][usize::from(why)];
            let running = short.running.unwrap();
            // Settings that change meanwhile apply from the next charge on.
            if let Some((number, level)) = change {
                for cpu in [&short, &long] {
                    cpu.threads.0[number % levels.len()].set_nice(nice(level));
                }
            }
            now_ns += ran_ns;
            let entity = short.threads.entity(running);
            let next = short.queue.charge_and_pick_next(&short.threads, running, entity, now_ns, why);
            let entity = long.threads.entity(running);
            long.queue.charge(&long.threads, entity, now_ns);
            let expected = long.queue.pop_instead_of(&long.threads, entity, why);
            if expected.is_some() {
                long.queue.push(&long.threads, running);
            }
            prop_assert_eq!(next, expected);
            prop_assert_eq!(short.queue.weight(), long.queue.weight());
            prop_assert_eq!(short.queue.len(), long.queue.len());
            let vruntimes = |cpu: &Cpu| cpu.threads.0.iter().map(Entity::vruntime_ns).collect::<Vec<_>>();
            prop_assert_eq!(vruntimes(&short), vruntimes(&long));
            short.running = next.or(short.running);
        }
        let rest = |mut cpu: Cpu| std::iter::from_fn(move || cpu.queue.pop(&cpu.threads)).collect::<Vec<_>>();
        // The smallest vruntime, which only attaching shows.
        let min_vruntime = |cpu: &mut Cpu| {
            let newcomer = Entity::new();
            cpu.queue.attach(&newcomer, now_ns);
            newcomer.vruntime_ns()
        };
        prop_assert_eq!(min_vruntime(&mut short), min_vruntime(&mut long));
        prop_assert_eq!(rest(short), rest(long));
    }

    #[test]
    fn the_queue_weighs_what_its_threads_weigh(
        steps in prop::collection::vec((0..12_usize, 0..4_u8, -20..=19_i8), 0..200),
    ) {
        let threads = Threads((0..12).map(|_| Entity::new()).collect());
        let mut queue = FairQueue::new();
        let mut queued = [None; 12];
        for (number, action, level) in steps {
            let entity = threads.entity(tid(number));
            match (action, queued[number]) {
                (0, None) => {
                    entity.set_nice(nice(level));
                    queue.attach(entity, 0);
                    queue.push(&threads, tid(number));
                    queued[number] = Some(u64::from(nice(level).weight().get()));
                }
                // Changes while a thread is queued apply once it is queued again.
                (1, Some(_)) => {
                    entity.set_nice(nice(level));
                    queue.requeue(&threads, tid(number));
                    queued[number] = Some(u64::from(nice(level).weight().get()));
                }
                (2, _) => entity.set_idle_class(),
                (3, Some(_)) => {
                    queue.remove(&threads, tid(number));
                    queued[number] = None;
                }
                _ => {}
            }
            prop_assert_eq!(queue.len(), queued.iter().flatten().count());
            prop_assert_eq!(queue.weight(), queued.iter().flatten().sum::<u64>());
        }
        let mut popped = 0;
        while queue.pop(&threads).is_some() { popped += 1; }
        prop_assert_eq!(popped, queued.iter().flatten().count());
        prop_assert_eq!(queue.weight(), 0);
    }
}

#[test]
fn a_helper_takes_little_from_a_load() {
    let mut cpu = Cpu::new(vec![Entity::new(), of_nice(19)]);
    cpu.arrive(0);
    cpu.arrive(1);
    cpu.run(0);
    for _ in 0..10_000 {
        cpu.run(SLICE_NS);
    }
    let share = cpu.used_ns[1] as f64 / cpu.now_ns as f64;
    assert!((0.013..0.016).contains(&share), "the helper's share is {share}");
}

#[test]
fn the_idle_class_gets_what_is_left() {
    let mut cpu = Cpu::new(vec![Entity::new(), of_idle_class()]);
    cpu.arrive(1);
    cpu.run(0);
    cpu.run(100 * SLICE_NS);
    assert_eq!(cpu.used_ns[1], 100 * SLICE_NS, "alone it runs");
    cpu.arrive(0);
    let running = cpu.threads.entity(tid(1));
    assert!(cpu.queue.should_preempt(&cpu.threads, running, PreemptReason::WakeUp), "at once");
    for _ in 0..100 {
        cpu.run(SLICE_NS);
    }
    assert_eq!(cpu.used_ns[1], 101 * SLICE_NS, "not beside another");
    // A donation lifts the thread out of the class: its waiter is not held up for ever.
    cpu.threads.entity(tid(1)).set_donated_level(Some(Nice::DEFAULT));
    assert_eq!(cpu.threads.entity(tid(1)).class(), SchedClass::Fair);
    cpu.queue.requeue(&cpu.threads, tid(1));
    for _ in 0..100 {
        cpu.run(SLICE_NS);
    }
    assert!(cpu.used_ns[1] > 130 * SLICE_NS, "{:?}", cpu.used_ns);
    cpu.threads.entity(tid(1)).set_donated_level(None);
    assert_eq!(cpu.threads.entity(tid(1)).class(), SchedClass::Idle);
}

#[test]
fn sleeping_earns_a_bounded_credit() {
    let mut cpu = Cpu::new(vec![Entity::new(), Entity::new()]);
    cpu.arrive(0);
    cpu.arrive(1);
    cpu.run(0);
    let sleeper = cpu.block_running();
    cpu.run(0);
    let worker = 1 - sleeper;
    for _ in 0..1000 {
        cpu.run(SLICE_NS);
    }
    cpu.wake(sleeper);
    let running = cpu.threads.entity(tid(worker));
    assert!(
        cpu.queue.should_preempt(&cpu.threads, running, PreemptReason::WakeUp),
        "a sleeper is served soon"
    );
    let before_ns = cpu.used_ns[sleeper];
    for _ in 0..10 {
        cpu.run(SLICE_NS);
    }
    let gained_ns = cpu.used_ns[sleeper] - before_ns;
    assert!(gained_ns <= 6 * SLICE_NS, "{gained_ns} ns of the next {} ns", 10 * SLICE_NS);
}

#[test]
fn blocking_for_a_moment_does_not_wipe_out_a_debt() {
    // Thread 0 runs 10 slices at a stretch, then blocks for no time at all, again and again.
    let mut cpu = Cpu::new(vec![Entity::new(), Entity::new()]);
    cpu.arrive(0);
    cpu.arrive(1);
    cpu.run(0);
    for _ in 0..200 {
        let running = cpu.running.unwrap();
        let greedy = running == tid(0);
        cpu.used_ns[running.index()] += SLICE_NS;
        cpu.charge_running(SLICE_NS);
        if greedy {
            cpu.block_running();
            cpu.wake(0);
        }
        let next = match cpu.running {
            None => cpu.queue.pop(&cpu.threads),
            Some(running) => {
                let entity = cpu.threads.entity(running);
                let next = cpu.queue.pop_instead_of(&cpu.threads, entity, PreemptReason::SliceOver);
                if next.is_some() {
                    cpu.queue.push(&cpu.threads, running);
                }
                next
            }
        };
        cpu.running = next.or(cpu.running);
    }
    let (greedy, honest) = (cpu.used_ns[0], cpu.used_ns[1]);
    assert!(greedy <= honest + 2 * SLICE_NS, "{greedy} ns against {honest}");
}

/// Thread 0 always wants to run; the others block after `run_ns` and wake the next of them.
fn share_beside_a_relay(runners: usize, run_ns: u64) -> f64 {
    let mut cpu = Cpu::new((0..=runners).map(|_| Entity::new()).collect());
    cpu.arrive(0);
    cpu.arrive(1);
    cpu.run(0);
    while cpu.now_ns < 1000 * SLICE_NS {
        if cpu.running == Some(tid(0)) {
            cpu.run(SLICE_NS);
            continue;
        }
        let next = cpu.run_and_block(run_ns) % runners + 1;
        if cpu.used_ns[next] > 0 {
            cpu.wake(next)
        } else {
            cpu.arrive(next)
        }
        cpu.run(0);
    }
    cpu.used_ns[0] as f64 / cpu.now_ns as f64
}

#[test]
fn threads_that_wake_each_other_do_not_starve_one_that_never_sleeps() {
    for (runners, run_ns) in [(2, 10_000), (2, SLICE_NS), (8, 50_000), (8, SLICE_NS / 2)] {
        let share = share_beside_a_relay(runners, run_ns);
        let fair = 1.0 / (runners as f64 + 1.0);
        assert!(share >= 0.9 * fair, "{share} beside {runners} that run {run_ns} ns at a time");
    }
}

#[test]
fn starting_threads_gains_nothing() {
    // Thread 0 always wants to run; thread 1 starts thread 2, again and again, and waits for its end.
    const TURN_NS: u64 = 20_000;
    let mut cpu = Cpu::new(vec![Entity::new(), Entity::new(), Entity::new()]);
    cpu.arrive(0);
    cpu.arrive(1);
    cpu.run(0);
    let mut children = 0;
    while cpu.now_ns < 1000 * SLICE_NS {
        if cpu.running == Some(tid(0)) {
            cpu.run(SLICE_NS);
            continue;
        }
        if cpu.run_and_block(TURN_NS) == 1 {
            cpu.threads.0[2] = Entity::new();
            cpu.arrive(2);
        } else {
            children += 1;
            cpu.wake(1);
        }
        cpu.run(0);
    }
    let share = cpu.used_ns[0] as f64 / cpu.now_ns as f64;
    assert!(share >= 0.5, "{share} for the thread that runs on");
    assert!(children >= 100, "only {children} were started");
}

#[test]
fn sleep_pays_debts_as_fast_as_others_are_served() {
    let debt_after = |others: usize, pass: fn(&mut Cpu)| {
        let mut cpu = Cpu::new((0..=others).map(|_| Entity::new()).collect());
        (0..=others).for_each(|number| cpu.arrive(number));
        cpu.run(0);
        // 10 slices at a stretch, before the others have had any.
        cpu.charge_running(10 * SLICE_NS);
        let debtor = cpu.block_running();
        cpu.run(0);
        pass(&mut cpu);
        cpu.wake(debtor);
        let others = (0..=others).filter(|number| *number != debtor);
        let smallest = others.map(|other| cpu.threads.entity(tid(other)).vruntime_ns()).min().unwrap();
        cpu.threads.entity(tid(debtor)).vruntime_ns() as i64 - smallest as i64
    };
    let slice_ns = SLICE_NS as i64;
    assert_eq!(debt_after(2, |_| ()), 10 * slice_ns, "no time passed");
    let debt_ns = debt_after(2, |cpu| (0..8).for_each(|_| cpu.run(SLICE_NS)));
    assert_eq!(debt_ns, 6 * slice_ns, "two others had four slices each");
    assert_eq!(debt_after(1, |cpu| cpu.now_ns += 3 * SLICE_NS), 7 * slice_ns, "no thread waited meanwhile");
    assert_eq!(
        debt_after(1, |cpu| cpu.now_ns += 100 * SLICE_NS),
        -slice_ns / 2,
        "the rest is a bounded credit"
    );
}

#[test]
fn uncontended_time_is_free() {
    let mut cpu = Cpu::new(vec![Entity::new(), Entity::new()]);
    let vruntime_ns = |cpu: &Cpu| cpu.threads.entity(tid(0)).vruntime_ns();
    cpu.arrive(0);
    cpu.run(0);
    let before_ns = vruntime_ns(&cpu);
    // Alone for two slices, charged or not: free. Then another thread waits for a slice.
    cpu.charge_running(SLICE_NS);
    cpu.now_ns += SLICE_NS;
    cpu.arrive(1);
    assert_eq!(vruntime_ns(&cpu), before_ns);
    cpu.charge_running(SLICE_NS);
    assert_eq!(vruntime_ns(&cpu), before_ns + SLICE_NS);
}

/// The last queued thread may be stolen just before the slice of the current one ends.
#[test]
fn uncontended_time_is_free_at_the_end_of_a_slice_too() {
    let mut cpu = Cpu::new(vec![Entity::new()]);
    cpu.arrive(0);
    cpu.run(0);
    let before_ns = cpu.threads.entity(tid(0)).vruntime_ns();
    cpu.now_ns += SLICE_NS;
    assert_eq!(cpu.pick_next(tid(0)), None);
    assert_eq!(cpu.threads.entity(tid(0)).vruntime_ns(), before_ns);
}

#[test]
fn time_until_the_last_queued_thread_is_taken_away_is_charged() {
    let mut cpu = Cpu::new(vec![Entity::new(), Entity::new()]);
    (0..2).for_each(|number| cpu.arrive(number));
    cpu.run(0);
    let running = cpu.running.unwrap();
    let before_ns = cpu.threads.entity(running).vruntime_ns();
    cpu.now_ns += 2 * SLICE_NS;
    assert!(cpu.queue.steal(&cpu.threads, cpu.now_ns, |_| true).is_some());
    cpu.charge_running(3 * SLICE_NS);
    assert_eq!(cpu.threads.entity(running).vruntime_ns(), before_ns + 2 * SLICE_NS);
    cpu.charge_running(SLICE_NS);
    assert_eq!(cpu.threads.entity(running).vruntime_ns(), before_ns + 2 * SLICE_NS, "once");
}

#[test]
fn a_cpu_that_idled_charges_from_when_it_runs_a_thread() {
    let mut cpu = Cpu::new(vec![Entity::new(), Entity::new()]);
    (0..2).for_each(|number| cpu.arrive(number));
    let before_ns = cpu.threads.entity(tid(0)).vruntime_ns();
    // The threads were queued while the CPU woke up.
    cpu.run(SLICE_NS);
    cpu.charge_running(SLICE_NS / 2);
    let running = cpu.threads.entity(cpu.running.unwrap());
    assert_eq!(running.vruntime_ns(), before_ns + SLICE_NS / 2);
}

#[test]
fn a_cpu_whose_clock_is_behind_charges_nothing_twice() {
    let mut cpu = Cpu::new(vec![Entity::new(), Entity::new()]);
    cpu.arrive(0);
    cpu.run(SLICE_NS);
    let before_ns = cpu.threads.entity(tid(0)).vruntime_ns();
    // Another CPU, whose clock is a slice ahead, queues a thread.
    cpu.queue.attach(cpu.threads.entity(tid(1)), 2 * SLICE_NS);
    cpu.queue.push(&cpu.threads, tid(1));
    cpu.charge_running(0);
    assert_eq!(cpu.threads.entity(tid(0)).vruntime_ns(), before_ns);
    cpu.charge_running(SLICE_NS);
    assert_eq!(cpu.threads.entity(tid(0)).vruntime_ns(), before_ns + SLICE_NS);
}

#[test]
fn a_thread_that_is_alone_owes_nothing() {
    let mut cpu = Cpu::new(vec![of_nice(19), Entity::new(), Entity::new()]);
    cpu.arrive(0);
    cpu.run(0);
    // 280 ms of virtual time of the light thread, while another thread waits.
    cpu.arrive(1);
    cpu.charge_running(SLICE_NS);
    let next = cpu.queue.pop(&cpu.threads).unwrap();
    cpu.queue.push(&cpu.threads, tid(0));
    assert_eq!(next, tid(1));
    cpu.running = Some(next);
    cpu.block_running();
    assert_eq!(cpu.queue.pop(&cpu.threads), Some(tid(0)), "now it is alone");
    cpu.queue.attach(cpu.threads.entity(tid(2)), cpu.now_ns);
    let ahead_ns = |number| cpu.threads.entity(tid(number)).vruntime_ns() as i64;
    assert_eq!(ahead_ns(0) - ahead_ns(2), -(SLICE_NS as i64) / 2, "and no further than one that is new");
}

#[test]
fn time_of_the_idle_class_pays_debts() {
    let mut cpu = Cpu::new(vec![Entity::new(), Entity::new(), of_idle_class(), of_idle_class()]);
    (0..4).for_each(|number| cpu.arrive(number));
    cpu.run(0);
    let debtor = cpu.running.unwrap();
    cpu.charge_running(10 * SLICE_NS);
    let (debtor, other) = (cpu.block_running(), 1 - debtor.index());
    cpu.run(0);
    cpu.block_running();
    cpu.run(0);
    assert!(cpu.running >= Some(tid(2)), "only the idle class is left");
    assert_eq!(cpu.queue.len(), 1, "and contends for the cpu");
    cpu.charge_running(6 * SLICE_NS);
    [debtor, other].into_iter().for_each(|number| cpu.wake(number));
    let vruntime_ns = |number| cpu.threads.entity(tid(number)).vruntime_ns() as i64;
    // The other one has half a slice of credit, and no more.
    assert_eq!(vruntime_ns(debtor) - vruntime_ns(other), (10 - 6) * SLICE_NS as i64 + SLICE_NS as i64 / 2);
}

#[test]
fn a_moved_thread_keeps_its_distance() {
    let mut from = Cpu::new(vec![Entity::new(), Entity::new(), Entity::new()]);
    (0..3).for_each(|number| from.arrive(number));
    for _ in 0..1000 {
        from.run(SLICE_NS);
    }
    let stolen = from.queue.steal(&from.threads, from.now_ns, |_| true).unwrap();
    let mut to = FairQueue::new();
    to.attach(from.threads.entity(stolen), from.now_ns);
    let vruntime_ns = from.threads.entity(stolen).vruntime_ns() as i64;
    assert!(vruntime_ns.abs() <= 2 * SLICE_NS as i64, "{vruntime_ns} ns of vruntime in a new queue");
    assert_eq!(from.queue.steal(&from.threads, from.now_ns, |_| false), None);
}

#[test]
fn yielding_lets_equals_go_first_and_not_those_far_ahead() {
    let mut cpu = Cpu::new(vec![Entity::new(), Entity::new(), of_nice(19)]);
    (0..3).for_each(|number| cpu.arrive(number));
    cpu.run(0);
    let running = cpu.running.unwrap();
    let entity = cpu.threads.entity(running);
    assert!(cpu.queue.should_preempt(&cpu.threads, entity, PreemptReason::Yield));
    // After its slice the light thread is hundreds of milliseconds ahead.
    for _ in 0..10 {
        cpu.run(SLICE_NS);
    }
    while cpu.running == Some(tid(2)) {
        cpu.run(SLICE_NS);
    }
    let other = 1 - cpu.running.unwrap().index();
    cpu.queue.remove(&cpu.threads, tid(other));
    let entity = cpu.threads.entity(cpu.running.unwrap());
    assert!(!cpu.queue.should_preempt(&cpu.threads, entity, PreemptReason::Yield));
}

#[test]
fn donated_weight_counts_at_once() {
    let mut cpu = Cpu::new(vec![Entity::new(), of_nice(19)]);
    (0..2).for_each(|number| cpu.arrive(number));
    cpu.run(0);
    while cpu.used_ns[1] == 0 {
        cpu.run(SLICE_NS);
    }
    // The light thread has had a slice, and owes the load 68 of them.
    assert_eq!(cpu.running, Some(tid(0)));
    let before_ns = cpu.used_ns[1];
    for _ in 0..10 {
        cpu.run(SLICE_NS);
    }
    assert_eq!(cpu.used_ns[1], before_ns);
    cpu.threads.entity(tid(1)).set_donated_level(Some(Nice::DEFAULT));
    cpu.queue.requeue(&cpu.threads, tid(1));
    for _ in 0..10 {
        cpu.run(SLICE_NS);
    }
    let got_ns = cpu.used_ns[1] - before_ns;
    assert!(got_ns >= 4 * SLICE_NS, "{got_ns} ns of {} ns at the load's weight", 10 * SLICE_NS);
    cpu.threads.entity(tid(1)).set_donated_level(None);
    if cpu.running == Some(tid(0)) {
        cpu.queue.requeue(&cpu.threads, tid(1));
    }
    let before_ns = cpu.used_ns[1];
    for _ in 0..60 {
        cpu.run(SLICE_NS);
    }
    let got_ns = cpu.used_ns[1] - before_ns;
    assert!(got_ns <= 2 * SLICE_NS, "{got_ns} ns of {} ns at the lowest weight", 60 * SLICE_NS);
}
