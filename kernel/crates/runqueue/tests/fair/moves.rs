//! Threads that go to another CPU.

use runqueue::{Entities, Entity, FairQueue, SLICE_NS};

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
