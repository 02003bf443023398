//! Decisions follow from seed, CPU and point number alone, and every kind of action happens.

use chaos::{Action, Digest, Place, Point, Seeding, Stream, Temper};
use proptest::prelude::*;

fn place(cpu: u32, can_preempt: bool) -> Place {
    Place { cpu, cpus: 4, can_preempt }
}

fn sequence(seed: u64, cpu: u32, points: &[(Point, bool)]) -> (Vec<Action>, Digest) {
    let (stream, seeding) = (Stream::new(), Seeding { number: 1, seed });
    let decide =
        |(point, can_preempt): &(Point, bool)| stream.decide(seeding, place(cpu, *can_preempt), *point);
    (points.iter().map(decide).collect(), stream.digest(seeding))
}

fn points() -> impl Strategy<Value = Vec<(Point, bool)>> {
    prop::collection::vec((prop::sample::select(Point::ALL.to_vec()), any::<bool>()), 1..300)
}

proptest! {
    #[test]
    fn the_same_seed_decides_the_same(seed: u64, cpu in 0..4u32, points in points()) {
        prop_assert_eq!(sequence(seed, cpu, &points), sequence(seed, cpu, &points));
    }

    /// What a thread may do does not shift the draws of later points.
    #[test]
    fn draws_depend_on_the_number_of_points_alone(seed: u64, first in points(), last in points()) {
        let flipped: Vec<_> = first.iter().map(|(point, can_preempt)| (*point, !can_preempt)).collect();
        let tail = |head: &[(Point, bool)]| {
            let all: Vec<_> = head.iter().chain(&last).copied().collect();
            sequence(seed, 0, &all).0.split_off(head.len())
        };
        prop_assert_eq!(tail(&first), tail(&flipped));
    }

    #[test]
    fn actions_stay_within_their_limits(seed: u64, points in points()) {
        let temper = Temper::of_seed(seed);
        for ((point, can_preempt), action) in points.iter().zip(sequence(seed, 1, &points).0) {
            match action {
                Action::Nothing => {}
                Action::Preempt => prop_assert!(*can_preempt),
                Action::Delay(rounds) => prop_assert!((1..=temper.longest_delay()).contains(&rounds)),
                Action::Interrupt(cpu) => prop_assert!(cpu < 4),
            }
            prop_assert!(action == Action::Nothing || temper.has(*point));
        }
    }
}

fn every_point(times: usize) -> Vec<(Point, bool)> {
    Point::ALL.iter().map(|point| (*point, true)).cycle().take(times).collect()
}

#[test]
fn seeds_and_cpus_differ() {
    let points = every_point(2000);
    let hash = |seed, cpu| sequence(seed, cpu, &points).1.hash;
    let mut hashes: Vec<_> = (0..50).flat_map(|seed| (0..4).map(move |cpu| (seed, cpu))).collect();
    let count = hashes.len();
    hashes.sort_by_key(|(seed, cpu)| hash(*seed, *cpu));
    hashes.dedup_by_key(|(seed, cpu)| hash(*seed, *cpu));
    assert_eq!(hashes.len(), count);
}

/// A few seeds together do everything everywhere, and no seed does it at every point.
#[test]
fn seeds_do_everything_everywhere() {
    let points = every_point(12_000);
    let mut seen = std::collections::HashSet::new();
    for seed in 0..20 {
        let (actions, digest) = sequence(seed, 0, &points);
        for ((point, _), action) in points.iter().zip(&actions) {
            seen.insert((*point as u8, std::mem::discriminant(action)));
        }
        let acted = actions.iter().filter(|action| **action != Action::Nothing).count();
        assert_eq!((digest.points, digest.actions), (12_000, acted as u64));
        assert!(acted > 20 && acted < 6000, "seed {seed}: {acted}");
        assert!(Point::ALL.iter().any(|point| Temper::of_seed(seed).has(*point)));
    }
    assert_eq!(seen.len(), 4 * Point::ALL.len());
}

#[test]
fn tempers_differ() {
    let tempers: Vec<_> = (0..100).map(Temper::of_seed).collect();
    let silent = |point: Point| tempers.iter().filter(|temper| !temper.has(point)).count();
    for point in Point::ALL {
        assert!((10..45).contains(&silent(point)), "{point:?} is left out by {} of 100 seeds", silent(point));
    }
    let longest: std::collections::HashSet<_> = tempers.iter().map(|temper| temper.longest_delay()).collect();
    assert_eq!(longest.len(), 4);
}

/// A CPU whose stream was seeded before begins anew at its first point after the next seeding.
#[test]
fn a_new_seeding_begins_anew() {
    let stream = Stream::new();
    let (first, second) = (Seeding { number: 1, seed: 5 }, Seeding { number: 2, seed: 5 });
    assert_eq!(stream.digest(first), Digest::default());
    let decide = |seeding| stream.decide(seeding, place(2, true), Point::Park);
    let run = |seeding| (0..500).map(|_| decide(seeding)).collect::<Vec<_>>();
    let before = run(first);
    let digest = stream.digest(first);
    assert_eq!(stream.digest(second), Digest::default());
    assert_eq!(run(second), before);
    assert_eq!(stream.digest(second), digest);
    assert_eq!(digest.points, 500);
}

#[test]
fn a_digest_depends_on_order() {
    let digest = |hash| Digest { points: 1, actions: 0, hash };
    let both = digest(1).with(digest(2));
    assert_eq!(both.points, 2);
    assert_ne!(both.hash, digest(2).with(digest(1)).hash);
    assert_eq!(both.to_string(), format!("2 points, 0 actions, sequence {:#018x}", both.hash));
}
