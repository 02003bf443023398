//! Threads that go to another CPU.

use proptest::prelude::*;
use runqueue::{Entities, Entity, FairQueue, Load, SLICE_NS, Sweep};

use super::cpu::{Cpu, tid};

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

/// Returns a CPU that runs thread 0, with threads 1 to `count` in its queue.
fn with_queued(count: usize) -> Cpu {
    let mut cpu = Cpu::new((0..=count).map(|_| Entity::new()).collect());
    (0..=count).for_each(|number| cpu.arrive(number));
    while cpu.running != Some(tid(0)) {
        cpu.run(SLICE_NS);
    }
    cpu
}

fn load_of(cpu: &Cpu) -> Load {
    Load { nr_queued: cpu.queue.len() as u32, running: cpu.running.is_some(), weight: 0 }
}

#[test]
fn a_load_says_whether_its_queue_is_searched_whole() {
    let lengths = 1..80;
    let searched: Vec<_> =
        lengths.clone().filter(|queued| with_queued(*queued).queue.is_searched_whole()).collect();
    let hides_none: Vec<_> =
        lengths.filter(|queued| !load_of(&with_queued(*queued)).hides_threads()).collect();
    assert_eq!(hides_none, searched);
    assert_eq!(hides_none.len(), 32);
}

proptest! {
    /// A queue hides a thread from stealing CPUs only if its load says so.
    #[test]
    fn a_steal_misses_no_thread_of_a_queue_that_hides_none(queued in 1..80_usize, movable in 1..80_usize) {
        let mut cpu = with_queued(queued);
        let movable = tid((movable - 1) % queued + 1);
        let stolen = cpu.queue.steal(&cpu.threads, cpu.now_ns, |thread| thread == movable);
        prop_assert!(stolen == Some(movable) || load_of(&cpu).hides_threads(), "missed one of {}", queued);
    }

    /// A search through all threads, in steps between which the queue changes, takes each thread that may move.
    #[test]
    fn a_search_in_steps_misses_no_hidden_thread(
        movable in prop::collection::btree_set(1..100_usize, 0..20),
        steps in prop::collection::vec((1..20_usize, 0..4_usize), 200),
    ) {
        let mut cpu = with_queued(99);
        let (mut search, mut taken) = (Sweep::<128>::new(), Vec::new());
        let mut take = |cpu: &mut Cpu, number| {
            // The running thread is not queued.
            let is_running = cpu.running == Some(tid(number));
            if movable.contains(&number) && !is_running && !taken.contains(&number) {
                cpu.queue.evict(&cpu.threads, cpu.now_ns, tid(number));
                taken.push(number);
            }
            is_running
        };
        search.request();
        for (most, slices) in steps {
            // Its order changes: other threads run, and wait behind all others.
            (0..slices).for_each(|_| cpu.run(SLICE_NS));
            for number in search.step(most) {
                if take(&mut cpu, number) {
                    // The CPU announces it when it is queued again.
                    search.request();
                }
            }
        }
        while !search.is_over() {
            search.step(64).for_each(|number| { take(&mut cpu, number); });
        }
        let left: Vec<_> = movable.iter().filter(|number| !taken.contains(number)).collect();
        let runs_on = |number: &usize| cpu.running == Some(tid(*number));
        prop_assert!(left.iter().all(|number| runs_on(number)), "{left:?} are not found");
    }
}
