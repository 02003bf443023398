//! Sleeping and starting threads: neither gains more than a bounded credit.

use runqueue::{Entities, Entity, PreemptReason, SLICE_NS};

use super::cpu::{Cpu, of_idle_class, tid};

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
