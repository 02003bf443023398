//! The order of locks: which acquisitions are refused, with which report, and that no other is refused.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use lockdep::{Graph, Held, HeldLocks, Kind, LockClassId, MAX_CLASSES, MAX_HELD, Place};
use proptest::prelude::*;

#[track_caller]
fn here() -> Place {
    Location::caller()
}

const fn ranked(name: &'static str, rank: u8) -> Kind {
    Kind::Ranked { name, rank }
}

/// Takes `lock` of `class`, or returns the report of the violation.
#[track_caller]
fn take(graph: &Graph, held: &mut HeldLocks, class: LockClassId, lock: usize) -> Result<(), String> {
    graph.check(held, class, lock, here()).map_err(|violation| violation.to_string())?;
    held.push(Held { class, lock, taken_at: here() }).unwrap();
    Ok(())
}

/// Takes locks of these classes inside one another, and releases all.
#[track_caller]
fn nest(graph: &Graph, classes: &[LockClassId]) -> Result<(), String> {
    let mut held = HeldLocks::new();
    for (lock, class) in classes.iter().enumerate() {
        take(graph, &mut held, *class, lock)?;
    }
    Ok(())
}

fn graph() -> Box<Graph> {
    Box::new(Graph::new())
}

#[test]
fn a_kind_has_one_class() {
    let graph = graph();
    let (first, second) = (graph.class_of(ranked("a", 1)), graph.class_of(ranked("b", 1)));
    assert_ne!(first, second);
    assert_eq!(graph.class_of(ranked("a", 1)), first);
    let [one, other] = [here(), here()].map(|place| graph.class_of(Kind::MadeAt(place)));
    assert_ne!(one, other);
}

#[test]
fn there_are_no_more_classes_than_fit() {
    let graph = graph();
    for rank in 0..MAX_CLASSES as u8 {
        assert!(graph.class_of(ranked("many", rank)).is_some());
    }
    assert_eq!(graph.class_of(ranked("one more", 0)), None);
    assert!(graph.class_of(ranked("many", 7)).is_some());
}

#[test]
fn opposite_orders_are_refused_and_both_are_reported() {
    let graph = graph();
    let [a, b] = ["alpha", "beta"].map(|name| graph.class_of(ranked(name, 1)).unwrap());
    let first = line!() + 1;
    nest(&graph, &[a, b]).unwrap();
    nest(&graph, &[a, b]).unwrap();
    let wrong = line!() + 1;
    let message = nest(&graph, &[b, a]).unwrap_err();
    let (now, before) = message.split_once("seen before: ").unwrap();
    assert!(now.contains("alpha is taken at") && now.contains("while beta is held"), "{message}");
    assert!(before.contains("alpha (at ") && before.contains("before beta (at "), "{message}");
    let at = |line: u32| format!("tests/graph.rs:{line}:");
    assert!(now.matches(&at(wrong)).count() == 2, "both places of the violation: {message}");
    assert!(before.matches(&at(first)).count() == 2, "both places of the first time: {message}");
    // The refused order is not recorded.
    nest(&graph, &[a, b]).unwrap();
}

#[test]
fn a_longer_cycle_is_reported_edge_by_edge() {
    let graph = graph();
    let classes = ["alpha", "beta", "gamma"].map(|name| graph.class_of(ranked(name, 1)).unwrap());
    let [a, b, c] = classes;
    nest(&graph, &[a, b]).unwrap();
    nest(&graph, &[b, c]).unwrap();
    let message = nest(&graph, &[c, a]).unwrap_err();
    let (_, before) = message.split_once("seen before: ").unwrap();
    let (first, second) = before.split_once("), ").unwrap();
    assert!(first.contains("alpha (at ") && first.contains("before beta"), "{message}");
    assert!(second.contains("beta (at ") && second.contains("before gamma"), "{message}");
}

#[test]
fn documented_ranks_hold_from_the_first_time_on() {
    let graph = graph();
    let outer = graph.class_of(ranked("outer", 1)).unwrap();
    let inner = graph.class_of(ranked("inner", 2)).unwrap();
    let message = nest(&graph, &[inner, outer]).unwrap_err();
    assert!(message.contains("the documented order is outer before inner"), "{message}");
    assert!(!message.contains("as in"), "that order was never seen: {message}");
    nest(&graph, &[outer, inner]).unwrap();
    let message = nest(&graph, &[inner, outer]).unwrap_err();
    assert!(message.contains("as in outer (at ") && message.contains("before inner (at "), "{message}");
}

#[test]
fn a_lock_without_rank_ties_ranks_together() {
    let graph = graph();
    let outer = graph.class_of(ranked("outer", 1)).unwrap();
    let inner = graph.class_of(ranked("inner", 2)).unwrap();
    let learnt = graph.class_of(Kind::MadeAt(here())).unwrap();
    nest(&graph, &[outer, inner]).unwrap();
    nest(&graph, &[inner, learnt]).unwrap();
    let message = nest(&graph, &[learnt, outer]).unwrap_err();
    assert!(message.contains("lock made at"), "{message}");
}

#[test]
fn a_lock_is_not_taken_twice_nor_two_of_a_kind() {
    let graph = graph();
    let class = graph.class_of(ranked("alpha", 1)).unwrap();
    let mut held = HeldLocks::new();
    take(&graph, &mut held, class, 100).unwrap();
    let violation = graph.check(&held, class, 100, here()).unwrap_err();
    assert!(violation.is_taken_twice());
    assert!(violation.to_string().contains("by its holder, which took it at"), "{violation}");
    let violation = graph.check(&held, class, 101, here()).unwrap_err();
    assert!(!violation.is_taken_twice());
    assert!(violation.to_string().contains("two of a kind: alpha"), "{violation}");
}

#[test]
fn locks_are_released_in_any_order() {
    let mut held = HeldLocks::new();
    let class = LockClassId::from_index(0).unwrap();
    for lock in 0..MAX_HELD {
        held.push(Held { class, lock, taken_at: here() }).unwrap();
    }
    assert!(held.push(Held { class, lock: 99, taken_at: here() }).is_err(), "more than fit");
    assert_eq!(held.remove(99), None);
    assert_eq!(held.remove(5).map(|held| held.lock), Some(5));
    assert_eq!(held.remove(5), None);
    let left: Vec<_> = held.iter().map(|held| held.lock).collect();
    assert_eq!(left, (0..MAX_HELD).filter(|lock| *lock != 5).collect::<Vec<_>>());
    assert_eq!(held.last().map(|held| held.lock), Some(MAX_HELD - 1));
    left.iter().for_each(|lock| assert!(held.remove(*lock).is_some()));
    assert!(held.is_empty());
}

/// Two threads take two locks in opposite orders at the same moment: at least one of them is refused.
#[test]
fn a_race_for_both_orders_is_not_missed() {
    for _ in 0..500 {
        let graph: Arc<Graph> = graph().into();
        let [a, b] = ["alpha", "beta"].map(|name| graph.class_of(ranked(name, 1)).unwrap());
        let ready = Arc::new(AtomicUsize::new(0));
        let threads = [[a, b], [b, a]].map(|order| {
            let (graph, ready) = (graph.clone(), ready.clone());
            thread::spawn(move || {
                ready.fetch_add(1, SeqCst);
                while ready.load(SeqCst) < 2 {
                    std::hint::spin_loop();
                }
                nest(&graph, &order).is_err()
            })
        });
        let refused = threads.map(|thread| thread.join().unwrap());
        assert!(refused.contains(&true), "both orders were allowed");
    }
}

/// A model of the graph: a list of edges, searched anew each time.
#[derive(Default)]
struct Model {
    pairs: Vec<(usize, usize)>,
}

impl Model {
    fn reaches(&self, from: usize, to: usize) -> bool {
        let mut reached = vec![from];
        let mut next = 0;
        while next < reached.len() {
            let at = reached[next];
            next += 1;
            for (outer, inner) in &self.pairs {
                if *outer == at && !reached.contains(inner) {
                    reached.push(*inner);
                }
            }
        }
        reached.contains(&to)
    }

    fn take(&mut self, held: &[usize], class: usize, rank: impl Fn(usize) -> Option<u8>) -> bool {
        for outer in held {
            if self.pairs.contains(&(*outer, class)) {
                continue;
            }
            let against = matches!((rank(*outer), rank(class)), (Some(o), Some(i)) if o > i);
            if *outer == class || against || self.reaches(class, *outer) {
                return false;
            }
            self.pairs.push((*outer, class));
        }
        true
    }
}

proptest! {
    /// For any nestings, an acquisition is refused if and only if it closes a cycle, violates a rank or repeats a
    /// class.
    #[test]
    fn exactly_the_violations_are_refused(
        nestings in prop::collection::vec(prop::collection::vec(0usize..8, 1..5), 1..40),
    ) {
        let graph = graph();
        let rank = |class: usize| (class < 4).then_some(class as u8 / 2);
        let names = ["a", "b", "c", "d"];
        // Classes 0 to 3 have ranks 0, 0, 1, 1; the others have a place and no rank.
        let places = [here(), here(), here(), here()];
        let kind = |class: usize| match rank(class) {
            Some(rank) => ranked(names[class], rank),
            None => Kind::MadeAt(places[class - 4]),
        };
        let classes: Vec<LockClassId> = (0..8).map(|class| graph.class_of(kind(class)).unwrap()).collect();
        let mut model = Model::default();
        for nesting in nestings {
            let mut held = HeldLocks::new();
            let mut held_in_model = Vec::new();
            for (lock, class) in nesting.into_iter().enumerate() {
                let taken = take(&graph, &mut held, classes[class], lock);
                let expected = model.take(&held_in_model, class, rank);
                prop_assert_eq!(taken.is_ok(), expected, "{:?}", taken);
                if !expected {
                    break;
                }
                held_in_model.push(class);
            }
        }
    }
}
