//! Slices: which thread runs next, and for how long the others wait.

use proptest::prelude::*;
use runqueue::{Entities, Entity, LONGEST_RUN_NS, PreemptReason, SHORTEST_SLICE_NS, SLICE_NS};

use super::cpu::{Cpu, nice, of_idle_class, of_nice, tid};

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
fn the_rest_of_a_slice_is_long_enough_for_a_switch() {
    let mut cpu = Cpu::new(vec![Entity::new(), Entity::new()]);
    cpu.arrive(0);
    cpu.arrive(1);
    cpu.run(0);
    // A 256th of a slice; more would give a thread that is preempted often more than others.
    assert_eq!(SHORTEST_SLICE_NS, SLICE_NS / 256);
    let left_ns = |cpu: &Cpu| cpu.threads.entity(cpu.running.unwrap()).slice_left_ns();
    cpu.charge_running(SLICE_NS / 4);
    let rest_ns = left_ns(&cpu);
    assert!(rest_ns > SHORTEST_SLICE_NS, "{rest_ns} ns left of a slice that began just now");
    cpu.charge_running(rest_ns - 1);
    assert_eq!(left_ns(&cpu), SHORTEST_SLICE_NS);
}

#[test]
fn an_overrun_counts_from_a_sixteenth_of_a_slice_on() {
    const JITTER_NS: u64 = SLICE_NS / 16;
    for (overrun_ns, goes_on) in [(JITTER_NS - 1, false), (JITTER_NS, true)] {
        let mut cpu = Cpu::new(vec![Entity::new(), Entity::new()]);
        cpu.arrive(0);
        cpu.arrive(1);
        cpu.run(0);
        let (first, start_ns) =
            (cpu.running.unwrap(), cpu.threads.entity(cpu.running.unwrap()).vruntime_ns());
        let whole_slices_ns = start_ns.next_multiple_of(SLICE_NS) + SLICE_NS - start_ns;
        cpu.run(whole_slices_ns + overrun_ns);
        assert_ne!(cpu.running, Some(first), "the other thread is far behind");
        // As far, and hardly beyond the end of the slice: the first thread is before it only if its overrun is none.
        cpu.run(whole_slices_ns + 1);
        assert_eq!(cpu.running != Some(first), goes_on, "{overrun_ns} ns beyond the slice");
    }
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
}
