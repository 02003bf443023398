//! CPU masks and the choice of CPUs against models that try everything.
#![cfg(not(loom))]

use std::collections::BTreeSet;

use proptest::prelude::*;
use runqueue::{CpuMask, Load, MAX_CPUS, SharedCpuMask, choose_cpu, push_to, steal_from};

#[test]
fn masks_print_as_lists() {
    let print = |cpus: &[usize]| cpus.iter().copied().collect::<CpuMask>().to_string();
    assert_eq!(print(&[]), "");
    assert_eq!(print(&[5]), "5");
    assert_eq!(print(&[0, 1, 2, 3, 7, 9, 10]), "0-3,7,9-10");
    assert_eq!(print(&[63, 64, 65, 255]), "63-65,255");
    assert_eq!(CpuMask::ALL.to_string(), "0-511");
    assert_eq!(format!("{:?}", CpuMask::single(4)), "CpuMask(4)");
}

#[test]
fn cpus_out_of_range_are_in_no_mask() {
    let mut mask = CpuMask::single(MAX_CPUS);
    assert!(mask.is_empty());
    assert!(!mask.insert(usize::MAX) && !mask.remove(MAX_CPUS) && !mask.contains(MAX_CPUS));
    assert!(!CpuMask::ALL.contains(MAX_CPUS));
    assert_eq!(CpuMask::first_n(1000), CpuMask::ALL);
}

const IDLE: Load = Load::IDLE;
const BUSY: Load = queue(0);
/// The load of a CPU that runs a thread of default weight, with `nr_queued` others in its queue.
const fn queue(nr_queued: u32) -> Load {
    Load { nr_queued, running: true, weight: 1024 * (nr_queued + 1) }
}
/// The load of a CPU that runs a helper, at the lowest weight.
const HELPING: Load = Load { nr_queued: 0, running: true, weight: 15 };

fn choose(last: usize, loads: &[Load]) -> Option<usize> {
    choose_cpu(last, &CpuMask::ALL, &CpuMask::ALL, |cpu| loads.get(cpu).copied())
}

#[test]
fn an_idle_cpu_neither_runs_a_thread_nor_has_one_queued() {
    let about_to_run = Load { nr_queued: 1, running: false, weight: 1024 };
    assert!(IDLE.is_idle());
    assert!(![BUSY, queue(1), HELPING, about_to_run].iter().any(|load| load.is_idle()));
}

#[test]
fn a_woken_thread_goes_where_it_runs_soonest() {
    assert_eq!(choose(2, &[IDLE, IDLE, IDLE]), Some(2), "where it was");
    assert_eq!(choose(1, &[IDLE, BUSY, IDLE]), Some(2), "the next idle one");
    assert_eq!(choose(2, &[IDLE, BUSY, BUSY]), Some(0), "around the end");
    assert_eq!(choose(0, &[queue(2), queue(1), BUSY]), Some(2), "the least loaded");
    assert_eq!(choose(1, &[BUSY, BUSY, BUSY]), Some(1), "no better one");
    assert_eq!(choose(9, &[BUSY, BUSY]), Some(0), "its cpu is gone");
    assert_eq!(choose(0, &[]), None, "no cpu at all");
    let about_to_run = Load { nr_queued: 1, running: false, weight: 1024 };
    assert_eq!(choose(0, &[about_to_run, IDLE]), Some(1), "a queue is no idleness");
    assert_eq!(choose(0, &[BUSY, BUSY, HELPING]), Some(2), "a helper hardly counts");
}

#[test]
fn the_own_node_is_preferred() {
    let near = CpuMask::first_n(2);
    let choose = |last, loads: &[Load]| choose_cpu(last, &CpuMask::ALL, &near, |cpu| loads.get(cpu).copied());
    assert_eq!(choose(0, &[BUSY, IDLE, IDLE]), Some(1), "an idle one that is near");
    assert_eq!(choose(1, &[IDLE, BUSY, IDLE]), Some(0), "even if another comes first");
    assert_eq!(choose(0, &[BUSY, BUSY, IDLE]), Some(2), "rather far than busy");
    assert_eq!(choose(2, &[BUSY, BUSY, BUSY]), Some(0), "near among equals");
    assert_eq!(choose(2, &[IDLE, BUSY, IDLE]), Some(0), "home, though where it was is idle, too");
    assert_eq!(choose(2, &[BUSY, BUSY, IDLE]), Some(2), "where it was, rather than wait at home");
    assert_eq!(choose(3, &[BUSY, BUSY, IDLE, IDLE]), Some(3), "where it was among the far ones");
    let steal =
        |thief, loads: &[Load]| steal_from(thief, &CpuMask::ALL, &near, |cpu| loads.get(cpu).copied());
    assert_eq!(steal(0, &[IDLE, queue(1), queue(3)]), Some(1), "from the own node");
    assert_eq!(steal(0, &[IDLE, BUSY, queue(3)]), Some(2), "from another one if nothing waits there");
    let push = |from, loads: &[Load]| push_to(from, &CpuMask::ALL, &near, |cpu| loads.get(cpu).copied());
    assert_eq!(push(0, &[queue(3), queue(1), IDLE]), Some((1, 2 * 1024)), "to the own node");
    assert_eq!(push(0, &[queue(3), queue(3), IDLE]), Some((2, 4 * 1024)), "to another one if that is even");
}

#[test]
fn a_loaded_cpu_gives_to_the_least_loaded() {
    let push =
        |from, loads: &[Load]| push_to(from, &CpuMask::ALL, &CpuMask::ALL, |cpu| loads.get(cpu).copied());
    assert_eq!(push(0, &[queue(3), BUSY, queue(1)]), Some((1, 3 * 1024)));
    assert_eq!(push(0, &[queue(3), BUSY, BUSY]), Some((1, 3 * 1024)), "the next of equals");
    assert_eq!(push(1, &[BUSY, queue(3), BUSY]), Some((2, 3 * 1024)), "the next of equals");
    assert_eq!(push(0, &[queue(1), BUSY]), Some((1, 1024)), "a thread of 1024 would only change sides");
    assert_eq!(push(0, &[queue(1), HELPING]), Some((1, 2048 - 15)));
    assert_eq!(push(0, &[BUSY, IDLE]), None, "what runs is not moved");
    assert_eq!(push(0, &[queue(1), queue(1)]), None, "equal");
    assert_eq!(push(0, &[queue(1), queue(2)]), None, "not to one that has more");
}

#[test]
fn affinity_binds_even_when_others_are_idle() {
    let loads = [IDLE, queue(9), IDLE];
    let only_1 = CpuMask::single(1);
    assert_eq!(choose_cpu(0, &only_1, &CpuMask::ALL, |cpu| loads.get(cpu).copied()), Some(1));
    assert_eq!(choose_cpu(1, &CpuMask::EMPTY, &CpuMask::ALL, |_| Some(IDLE)), None);
}

#[test]
fn an_idle_cpu_steals_from_the_longest_queue() {
    let steal = |thief, loads: &[Load]| {
        steal_from(thief, &CpuMask::ALL, &CpuMask::ALL, |cpu| loads.get(cpu).copied())
    };
    assert_eq!(steal(0, &[IDLE, queue(1), queue(3)]), Some(2));
    assert_eq!(steal(2, &[queue(1), queue(1), IDLE, queue(1)]), Some(3), "next among equals");
    let light = Load { nr_queued: 4, running: true, weight: 5 * 15 };
    assert_eq!(steal(0, &[IDLE, light, queue(1)]), Some(2), "by weight");
    assert_eq!(steal(3, &[queue(1), queue(1), IDLE, IDLE]), Some(0), "around the end");
    assert_eq!(steal(0, &[IDLE, BUSY, BUSY]), None, "what runs is not stolen");
    assert_eq!(steal(0, &[queue(9)]), None, "not from itself");
    let not_2 = CpuMask::ALL.without(CpuMask::single(2));
    assert_eq!(steal_from(0, &not_2, &CpuMask::ALL, |_| Some(queue(1))), Some(1));
}

#[test]
fn a_thread_on_its_way_to_an_idle_cpu_stays_on_its_node() {
    let waking = Load { nr_queued: 1, running: false, weight: 1024 };
    let steal = |near: usize, load: Load| {
        let near = CpuMask::first_n(near);
        steal_from(0, &CpuMask::ALL, &near, |cpu| [IDLE, load].get(cpu).copied())
    };
    assert_eq!(steal(2, waking), Some(1), "near");
    assert_eq!(steal(1, waking), None, "from another node");
    assert_eq!(steal(1, Load { nr_queued: 2, ..waking }), Some(1), "the second one would wait");
    assert_eq!(steal(1, Load { running: true, ..waking }), Some(1), "nor is this one about to run");
}

const CPUS: usize = 9;

fn any_load() -> impl Strategy<Value = Option<Load>> {
    prop::option::weighted(
        0.85,
        (0..4_u32, any::<bool>(), 1..4_u32).prop_map(|(nr_queued, running, each)| Load {
            nr_queued,
            running,
            weight: each * (nr_queued + u32::from(running)),
        }),
    )
}

/// Returns how far `cpu` comes after `start`, with wrap-around.
fn distance(start: usize, cpu: usize) -> usize {
    (cpu + MAX_CPUS - start) % MAX_CPUS
}

proptest! {
    #[test]
    fn masks_are_sets(
        a in prop::collection::btree_set(0..MAX_CPUS, 0..40),
        b in prop::collection::btree_set(0..MAX_CPUS, 0..40),
        cpu in 0..MAX_CPUS,
        n in 0..MAX_CPUS + 1,
    ) {
        let mask = |set: &BTreeSet<usize>| set.iter().copied().collect::<CpuMask>();
        let (mask_a, mask_b) = (mask(&a), mask(&b));
        prop_assert_eq!(mask_a.iter().collect::<BTreeSet<_>>(), a.clone());
        prop_assert!(mask_a.iter().is_sorted());
        prop_assert_eq!(mask_a.count(), a.len());
        prop_assert_eq!(mask_a.is_empty(), a.is_empty());
        prop_assert_eq!(mask_a.first(), a.first().copied());
        prop_assert_eq!(mask_a.contains(cpu), a.contains(&cpu));
        prop_assert_eq!(mask_a & mask_b, mask(&(&a & &b)));
        prop_assert_eq!(mask_a | mask_b, mask(&(&a | &b)));
        prop_assert_eq!(mask_a.without(mask_b), mask(&(&a - &b)));
        prop_assert_eq!(!mask_a, CpuMask::ALL.without(mask_a));
        prop_assert_eq!(mask_a.contains_all(&mask_b), a.is_superset(&b));
        prop_assert!((mask_a | mask_b).contains_all(&mask_b));
        prop_assert_eq!(CpuMask::first_n(n), mask(&(0..n).collect()));
        let around: Vec<_> = a.range(n..).chain(a.range(..n)).copied().collect();
        prop_assert_eq!(mask_a.iter_from(n).collect::<Vec<_>>(), around);
        let (mut grown, mut shrunk) = (mask_a, mask_a);
        prop_assert_eq!(grown.insert(cpu), !a.contains(&cpu));
        prop_assert_eq!(shrunk.remove(cpu), a.contains(&cpu));
        prop_assert!(grown.contains(cpu) && !shrunk.contains(cpu));
    }

    #[test]
    fn the_chosen_cpu_is_the_best(
        loads in prop::collection::vec(any_load(), CPUS),
        allowed in prop::collection::btree_set(0..CPUS + 3, 0..CPUS),
        near in prop::collection::btree_set(0..CPUS, 0..CPUS),
        last in 0..CPUS,
    ) {
        let load = |cpu: usize| loads.get(cpu).copied().flatten();
        let mask = allowed.iter().copied().collect();
        let near_mask = near.iter().copied().collect();
        let best = allowed
            .iter()
            .filter_map(|&cpu| {
                let load = load(cpu)?;
                let is_near = near.contains(&cpu);
                Some((!load.is_idle(), load.weight, !is_near, distance(last, cpu), cpu))
            })
            .min()
            .map(|(.., cpu)| cpu);
        prop_assert_eq!(choose_cpu(last, &mask, &near_mask, load), best);
    }

    #[test]
    fn the_victim_has_most_to_give(
        loads in prop::collection::vec(any_load(), CPUS),
        candidates in prop::collection::btree_set(0..CPUS + 3, 0..CPUS),
        near in prop::collection::btree_set(0..CPUS, 0..CPUS),
        thief in 0..CPUS,
    ) {
        let load = |cpu: usize| loads.get(cpu).copied().flatten();
        let mask = candidates.iter().copied().collect();
        let best = candidates
            .iter()
            .filter(|&&cpu| cpu != thief)
            .filter_map(|&cpu| Some((load(cpu)?, cpu)))
            .filter(|&(load, cpu)| load.nr_queued > u32::from(!load.running && !near.contains(&cpu)))
            .max_by_key(|&(load, cpu)| (near.contains(&cpu), load.weight, usize::MAX - distance(thief, cpu)))
            .map(|(_, cpu)| cpu);
        let near_mask = near.iter().copied().collect();
        prop_assert_eq!(steal_from(thief, &mask, &near_mask, load), best);
    }
}

#[test]
fn a_shared_mask_is_a_mask() {
    let shared = SharedCpuMask::new(CpuMask::first_n(70));
    shared.remove(3);
    shared.insert(200);
    shared.insert(MAX_CPUS);
    let mut expected = CpuMask::first_n(70);
    expected.remove(3);
    expected.insert(200);
    assert_eq!(shared.load(), expected);
    assert!(shared.contains(69) && !shared.contains(3) && !shared.contains(MAX_CPUS));
    shared.store(&CpuMask::single(7));
    assert_eq!(shared.load(), CpuMask::single(7));
    for (cpus, meets) in [(&[7][..], true), (&[3, 7, 200], true), (&[6, 8, 71], false), (&[], false)] {
        let other = SharedCpuMask::new(cpus.iter().copied().collect());
        assert_eq!(shared.intersects(&other), meets, "{cpus:?}");
        assert_eq!(other.intersects(&shared), meets, "{cpus:?}");
    }
}
