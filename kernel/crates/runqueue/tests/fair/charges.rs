//! Charges: contended time counts, once, and uncontended time is free.

use runqueue::{Entities, Entity, SLICE_NS};

use super::cpu::{Cpu, of_nice, tid};

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
