//! The heap of threads against a sorted model, and its depth.
#![cfg(not(loom))]

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use runqueue::{Heap, HeapNode, HeapNodes, Tid};

/// Nodes in one table, as the kernel has them in its threads; counts accesses.
struct Table {
    nodes: Vec<HeapNode>,
    accesses: Cell<u64>,
}

impl Table {
    fn new(threads: u32) -> Self {
        Self { nodes: (0..threads).map(|_| HeapNode::new()).collect(), accesses: Cell::new(0) }
    }

    fn push(&self, heap: &mut Heap, number: u32, key: u64) {
        self.nodes[number as usize].set_key(key);
        heap.push(self, tid(number));
    }
}

impl HeapNodes for Table {
    fn node(&self, tid: Tid) -> &HeapNode {
        self.accesses.set(self.accesses.get() + 1);
        &self.nodes[tid.index()]
    }
}

fn tid(number: u32) -> Tid {
    Tid::new(number).unwrap()
}

const THREADS: u32 = 40;

#[derive(Clone, Debug)]
enum Step {
    Push(u32, u64),
    Pop,
    Remove(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..THREADS, 0..50_u64).prop_map(|(number, key)| Step::Push(number, key)),
        2 => Just(Step::Pop),
        3 => (0..THREADS).prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn the_smallest_key_is_always_first(
        // The second start makes keys overflow on the way.
        start in prop_oneof![Just(0), Just(u64::MAX - 25)],
        steps in prop::collection::vec(any_step(), 0..300),
    ) {
        let table = Table::new(THREADS);
        let mut heap = Heap::new();
        // Key, order of pushes, number.
        let mut model: BTreeSet<(u64, usize, u32)> = BTreeSet::new();
        for (time, step) in steps.into_iter().enumerate() {
            let held = |number| model.iter().find(|(.., other)| *other == number).copied();
            match step {
                Step::Push(number, key) if held(number).is_none() => {
                    table.push(&mut heap, number, start.wrapping_add(key));
                    model.insert((key, time, number));
                }
                Step::Push(..) => {}
                Step::Pop => {
                    let popped = heap.pop(&table).map(Tid::get);
                    prop_assert_eq!(popped, model.pop_first().map(|(.., number)| number));
                }
                Step::Remove(number) => {
                    if let Some(entry) = held(number) {
                        heap.remove(&table, tid(number));
                        model.remove(&entry);
                    }
                }
            }
            prop_assert_eq!(heap.len(), model.len());
            prop_assert_eq!(heap.first_key(&table).map(|key| key.wrapping_sub(start)), model.first().map(|(key, ..)| *key));
            // A walk sees every thread once.
            let mut seen = BTreeSet::new();
            let none = heap.find(&table, usize::MAX, |tid| { assert!(seen.insert(tid.get())); false });
            prop_assert_eq!(none, None);
            prop_assert_eq!(seen, model.iter().map(|(.., number)| *number).collect::<BTreeSet<_>>());
        }
    }
}

#[test]
fn a_search_is_bounded() {
    let (table, mut heap) = (Table::new(100), Heap::new());
    for number in 0..100 {
        table.push(&mut heap, number, u64::from(number));
    }
    let mut looked = 0;
    assert_eq!(
        heap.find(&table, 10, |_| {
            looked += 1;
            false
        }),
        None
    );
    assert_eq!(looked, 10);
    assert_eq!(heap.find(&table, 1, |_| true), Some(tid(0)), "from the smallest on");
}

/// An order of keys.
type KeyOrder = (&'static str, fn(u64) -> u64);

const KEY_ORDERS: &[KeyOrder] = &[
    ("ascending", |time| time),
    ("descending", |time| u64::MAX / 2 - time),
    ("equal", |_| 7),
    // Steps of many sizes, so that threads overtake each other.
    ("overtaking", |time| time + time * 7919 % 1009),
];

/// Returns the node accesses of the worst single operation among `threads` threads that are pushed, replaced as in a run
/// queue, and popped, with the key that `key` returns for each push.
fn worst_operation(threads: u32, key: fn(u64) -> u64) -> u64 {
    let (table, mut heap) = (Table::new(threads), Heap::new());
    let (mut worst, mut time) = (0, 0);
    let mut operate = |operation: &mut dyn FnMut(u64)| {
        table.accesses.set(0);
        operation(key(time));
        worst = worst.max(table.accesses.get());
        time += 1;
    };
    for number in 0..threads {
        operate(&mut |key| table.push(&mut heap, number, key));
    }
    for turn in 0..u64::from(threads) * 20 {
        let mut first = None;
        operate(&mut |_| first = heap.pop(&table));
        operate(&mut |key| table.push(&mut heap, first.unwrap().get(), key));
        let any = tid((turn * 31 % u64::from(threads)) as u32);
        operate(&mut |_| heap.remove(&table, any));
        let node = &table.nodes[any.index()];
        operate(&mut |key| {
            node.set_key(key);
            first = heap.replace_first(&table, any, node);
        });
        operate(&mut |key| table.push(&mut heap, first.unwrap().get(), key));
    }
    // In an arbitrary order: the number of threads is a power of two.
    for left in 0..threads {
        operate(&mut |_| heap.remove(&table, tid(left * 31 % threads)));
    }
    assert!(heap.is_empty());
    worst
}

#[test]
fn no_operation_takes_more_than_the_logarithm() {
    for (order, key) in KEY_ORDERS {
        for threads in [2, 16, 128, 1024, 8192] {
            let (worst, log) = (worst_operation(threads, *key), u64::from(threads.ilog2()) + 1);
            // A merge touches at most two spines of log n nodes, each a handful of times.
            assert!(worst <= 8 * log, "{worst} accesses for {threads} threads, keys {order}, log {log}");
        }
    }
}
