//! Weights: shares follow them, and a change counts at once.

use proptest::prelude::*;
use runqueue::{Entities, Entity, FairQueue, Nice, PreemptReason, SLICE_NS, SchedClass, Weight};

use super::cpu::{Cpu, Threads, nice, of_idle_class, of_nice, tid};

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
fn a_level_is_set_only_if_it_is_another() {
    let entity = Entity::new();
    assert!(!entity.set_nice_if_other(nice(0)), "new threads have level 0");
    assert!(entity.set_nice_if_other(nice(5)));
    assert_eq!(entity.level(), Some(nice(5)));
    assert!(!entity.set_nice_if_other(nice(5)));
    // Whichever level its weight is that of.
    entity.set_idle_class();
    assert!(entity.set_nice_if_other(nice(19)), "the thread left the idle class");
    assert_eq!(entity.level(), Some(nice(19)));
}

#[test]
fn a_thread_runs_at_the_heavier_of_its_level_and_the_donated_one() {
    let entity = of_nice(5);
    assert!(!entity.receives_weight());
    for (donated, runs_at) in [(-3, -3), (10, 5)] {
        entity.set_donated_level(Some(nice(donated)));
        assert!(entity.receives_weight());
        assert_eq!(entity.level(), Some(nice(runs_at)), "level {donated} donated to one of level 5");
        assert_eq!(entity.nice(), Some(nice(5)), "its own level stays");
    }
    entity.set_donated_level(None);
    assert_eq!((entity.receives_weight(), entity.level()), (false, Some(nice(5))));
    entity.set_idle_class();
    assert_eq!((entity.nice(), entity.level()), (None, None));
    entity.set_donated_level(Some(nice(10)));
    assert_eq!(entity.level(), Some(nice(10)), "a thread of the idle class that others wait for");
}

#[test]
fn a_debt_stays_the_same_cpu_time_at_another_weight() {
    let vruntime_ns = |level| {
        let entity = Entity::new();
        entity.set_nice(nice(level));
        FairQueue::new().attach(&entity, 0);
        entity.vruntime_ns()
    };
    // Half a slice, by the weight of a new thread.
    assert_eq!(vruntime_ns(0), SLICE_NS / 2);
    assert_eq!(vruntime_ns(1), SLICE_NS / 2 * 1024 / 820);
    assert_eq!(vruntime_ns(-1), SLICE_NS / 2 * 1024 / u64::from(nice(-1).weight().get()));
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

proptest! {
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
