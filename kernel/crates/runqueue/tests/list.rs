//! Lists against `VecDeque`, with the links in one table as a
//! kernel has them.
#![cfg(not(loom))]

use std::collections::VecDeque;

use proptest::prelude::*;
use runqueue::{Link, Links, List, Tid};

const THREADS: u32 = 24;

/// The link of each thread.
struct Table(Vec<Link>);

impl Table {
    fn new() -> Self {
        Self((0..THREADS).map(|_| Link::new()).collect())
    }
}

impl Links for Table {
    fn link(&self, tid: Tid) -> &Link {
        &self.0[tid.index()]
    }
}

fn tid(number: u32) -> Tid {
    Tid::new(number).unwrap()
}

#[test]
fn the_largest_number_is_no_thread() {
    assert_eq!(Tid::new(u32::MAX), None);
    assert_eq!(Tid::to_raw(None), u32::MAX);
    assert_eq!(Tid::new(Tid::to_raw(Some(tid(7)))), Some(tid(7)));
    assert_eq!((tid(7).get(), tid(7).index(), tid(7).to_string()), (7, 7, "7".into()));
}

#[test]
fn threads_come_out_in_the_order_they_went_in() {
    let (links, mut queue) = (Table::new(), List::new());
    for number in [3, 1, 2] {
        queue.push_back(&links, tid(number));
    }
    assert_eq!(queue.len(), 3);
    assert!(queue.contains(&links, tid(1)) && !queue.contains(&links, tid(4)));
    assert!(queue.remove(&links, tid(1)));
    assert!(!queue.remove(&links, tid(1)));
    let order: Vec<_> = std::iter::from_fn(|| queue.pop_front(&links)).collect();
    assert_eq!(order, [3, 2].map(tid));
    assert!(queue.is_empty());
}

#[test]
fn threads_that_came_after_a_mark_stay() {
    let (links, mut queue) = (Table::new(), List::new());
    (0..3).for_each(|number| queue.push_back(&links, tid(number)));
    let mark = queue.arrivals();
    assert!(queue.remove(&links, tid(1)));
    // One that left and came back has come after the mark too.
    [5, 1].iter().for_each(|number| queue.push_back(&links, tid(*number)));
    let order: Vec<_> = std::iter::from_fn(|| queue.pop_front_before(&links, mark)).collect();
    assert_eq!(order, [0, 2].map(tid));
    assert_eq!(queue.iter(&links).collect::<Vec<_>>(), [5, 1].map(tid));
}

#[test]
#[cfg(debug_assertions)]
fn queueing_a_thread_twice_is_noticed() {
    // The only member, the first, a middle one and the last: each has different links.
    for (members, twice) in [(1, 0), (3, 0), (3, 1), (3, 2)] {
        let result = std::panic::catch_unwind(|| {
            let (links, mut list) = (Table::new(), List::new());
            for number in 0..members {
                list.push_back(&links, tid(number));
            }
            list.push_back(&links, tid(twice));
        });
        assert!(result.is_err(), "thread {twice} of {members}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    PushBack(u32),
    PopFront,
    Remove(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..THREADS).prop_map(Step::PushBack),
        3 => Just(Step::PopFront),
        2 => (0..THREADS).prop_map(Step::Remove),
    ]
}

proptest! {
    /// Two lists over one table, as the run queues of two CPUs: a thread is in
    /// one of them or in none.
    #[test]
    fn lists_do_what_deques_do(steps in prop::collection::vec((0..2_usize, any_step()), 0..200)) {
        let links = Table::new();
        let mut lists = [List::new(), List::new()];
        let mut models: [VecDeque<u32>; 2] = Default::default();
        for (which, step) in steps {
            let outside = |number: &u32| !models.iter().any(|model| model.contains(number));
            match step {
                Step::PushBack(number) if outside(&number) => {
                    lists[which].push_back(&links, tid(number));
                    models[which].push_back(number);
                }
                Step::PushBack(_) => {}
                Step::PopFront => {
                    let popped = lists[which].pop_front(&links);
                    prop_assert_eq!(popped, models[which].pop_front().map(tid));
                }
                Step::Remove(number) => {
                    // A thread is removed from the list that it is in, or is in none.
                    let which = (0..2).find(|which| models[*which].contains(&number)).unwrap_or(which);
                    let at = models[which].iter().position(|&member| member == number);
                    prop_assert_eq!(lists[which].contains(&links, tid(number)), at.is_some());
                    prop_assert_eq!(lists[which].remove(&links, tid(number)), at.is_some());
                    at.map(|at| models[which].remove(at));
                }
            }
            for (list, model) in lists.iter().zip(&models) {
                prop_assert_eq!(list.len(), model.len());
                prop_assert_eq!(list.is_empty(), model.is_empty());
                prop_assert_eq!(list.front(), model.front().copied().map(tid));
                let members: VecDeque<_> = list.iter(&links).map(Tid::get).collect();
                prop_assert_eq!(&members, model);
            }
        }
        // A thread in no list has no link left, so it can be queued again.
        for number in 0..THREADS {
            if !models.iter().any(|model| model.contains(&number)) {
                prop_assert!(!lists[0].contains(&links, tid(number)));
            }
        }
    }
}
