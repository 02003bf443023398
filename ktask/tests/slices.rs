//! Mutable slices and ordered results, on platforms that do all that safe code can do wrong.

mod common;
mod hostile;

use std::sync::atomic::{AtomicBool, Ordering};

use hostile::{Hostile, Manner};
use ktask::hosted::Hosted;
use ktask::{Bytes, Cause, Chunk, Invalid, Items, Job, JobError, NodeId, NodeRange, Platform, Unit};
use proptest::prelude::*;

/// An element that notices when two threads have it at the same time.
#[derive(Default)]
struct Element {
    is_lent: AtomicBool,
    /// Not atomic: two writers would lose counts.
    times: u64,
}

impl Element {
    fn visit(&mut self) {
        assert!(!self.is_lent.swap(true, Ordering::Relaxed), "an element is lent twice");
        self.times += 1;
        self.is_lent.store(false, Ordering::Relaxed);
    }
}

fn elements(count: u64) -> Vec<Element> {
    (0..count).map(|_| Element::default()).collect()
}

/// Visits each element of a slice for `lens` units per node with gaps, and checks the visits.
fn visit_all<P: Platform>(platform: &P, start: u64, lens: &[(u64, u64)], min_chunk: u64, align: u64) {
    let mut ranges = Vec::new();
    let mut at = start;
    for (index, (len, gap)) in lens.iter().enumerate() {
        ranges.push(NodeRange::new(NodeId(index as u32 % 2), Items::new(at)..Items::new(at + len)));
        at += len + gap;
    }
    let end = ranges.iter().map(|range| range.end()).max().expect("at least one range").get();
    let mut slice = elements(end - start);
    let stats = Job::over_nodes(&ranges)
        .min_chunk(Items::new(min_chunk))
        .align(Items::new(align))
        .threads_exact(7)
        .for_each_mut(platform, &mut slice, |chunk, part| {
            assert_eq!(part.len() as u64, chunk.len().get());
            part.iter_mut().for_each(Element::visit);
        })
        .unwrap();
    assert_eq!(stats.units, lens.iter().map(|(len, _)| len).sum::<u64>());
    for (index, element) in slice.iter().enumerate() {
        let unit = Items::new(start + index as u64);
        let wanted = ranges.iter().any(|range| (range.start()..range.end()).contains(&unit));
        assert_eq!(element.times, u64::from(wanted), "unit {unit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn each_element_is_lent_once_on_hostile_platforms(
        start in prop_oneof![0u64..100, u64::MAX - 5000..=u64::MAX - 4000],
        lens in prop::collection::vec((1u64..300, 0u64..20), 1..9),
        min_chunk in 1u64..60,
        align in 1u64..30,
    ) {
        for manner in Manner::ALL {
            let platform = Hostile::new(manner);
            // The second job may meet tasks of the first.
            visit_all(&platform, start, &lens, min_chunk, align);
            visit_all(&platform, start, &lens, min_chunk, align);
        }
    }

    #[test]
    fn ordered_results_do_not_depend_on_threads(
        start in 0u64..100,
        len in 1u64..3000,
        min_chunk in 1u64..60,
        align in 1u64..30,
        slots in 1usize..40,
    ) {
        let range = Items::new(start)..Items::new(start + len);
        let job = Job::new(range).min_chunk(Items::new(min_chunk)).align(Items::new(align));
        let bounds = |job: &Job<'_, Items>, platform: &Hostile| {
            let mut bounds = vec![None; slots];
            let stats = job.run_ordered(platform, &mut bounds, |slot, chunk| {
                assert_eq!(*slot, None, "a slot is lent twice");
                *slot = Some((chunk.start().get(), chunk.end().get()));
            }).unwrap();
            assert_eq!(stats.units, len);
            bounds
        };
        let alone = bounds(&job.clone().threads_exact(1), &Hostile::new(Manner::Threads));
        // The chunks, in order, are the range, and respect the job's description.
        let chunks: Vec<_> = alone.iter().flatten().copied().collect();
        prop_assert_eq!(&alone[..chunks.len()], &chunks.iter().copied().map(Some).collect::<Vec<_>>()[..]);
        prop_assert_eq!((chunks[0].0, chunks[chunks.len() - 1].1), (start, start + len));
        prop_assert!(chunks.windows(2).all(|pair| pair[0].1 == pair[1].0));
        for (from, to) in &chunks[..chunks.len() - 1] {
            prop_assert!(to - from >= min_chunk && to % align == 0);
        }
        for manner in Manner::ALL {
            prop_assert_eq!(&bounds(&job.clone().threads_exact(5), &Hostile::new(manner)), &alone);
        }
    }
}

#[test]
fn a_unit_that_lies_lends_no_element_twice() {
    /// Returns another number each time that it is asked.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Liar(u64);

    impl Unit for Liar {
        const NAME: &'static str = "lie";

        fn from_raw(raw: u64) -> Self {
            Self(raw / 2)
        }

        fn raw(self) -> u64 {
            use std::sync::atomic::AtomicU64;
            static ASKED: AtomicU64 = AtomicU64::new(0);
            self.0 + ASKED.fetch_add(3, Ordering::Relaxed) % 7
        }
    }

    let platform = Hosted::builder().cpus(4).nodes(2).build();
    let mut lent = 0;
    for start in 0..50 {
        let range = |part: u64| Liar(start + 20 * part)..Liar(start + 20 * part + 20);
        let ranges = [0, 1, 2].map(|part| NodeRange::new(NodeId(part % 2), range(u64::from(part))));
        let job = Job::over_nodes(&ranges).threads_exact(4);
        let visit = |_: Chunk<Liar>, part: &mut [Element]| part.iter_mut().for_each(Element::visit);
        // The refusal tells the length that the job believes in.
        let error = job.for_each_mut(&platform, &mut [], visit).unwrap_err();
        let Cause::Invalid(Invalid::SliceLength { units, .. }) = error.cause else { panic!("{error:?}") };
        let mut slice = elements(units);
        match job.for_each_mut(&platform, &mut slice, visit) {
            Ok(_) => lent += 1,
            Err(JobError { cause: Cause::Invalid(_), .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
        assert!(slice.iter().all(|element| element.times <= 1));
    }
    assert!(lent > 0, "no job ran");
}

#[test]
fn slices_of_another_length_are_refused() {
    let platform = Hosted::builder().cpus(2).build();
    let never = |_: Chunk<usize>, _: &mut [u8]| -> () { panic!("must not be started") };
    for len in [0, 9, 11] {
        let error = Job::new(5..15_usize).for_each_mut(&platform, &mut vec![0; len], never).unwrap_err();
        assert_eq!(error.cause, Cause::Invalid(Invalid::SliceLength { units: 10, elements: len }));
        assert_eq!(
            error.to_string(),
            format!("slice of {len} elements: must be 10, one per unit of the range")
        );
    }
    #[expect(clippy::reversed_empty_ranges, reason = "the range under test")]
    let error = Job::new(9..3_usize).for_each_mut(&platform, &mut [], never).unwrap_err();
    assert_eq!(error.cause, Cause::Invalid(Invalid::RangeReversed { start: 9, end: 3 }));
}

#[test]
fn ordered_jobs_with_too_few_slots_or_nodes_are_refused() {
    let platform = Hosted::builder().cpus(2).build();
    let never = |_: &mut u8, _: Chunk<usize>| -> () { panic!("must not be started") };
    let cause = |job: &Job<'_, usize>, slots: usize| {
        job.run_ordered(&platform, &mut vec![0; slots], never).unwrap_err().cause
    };
    let job = Job::new(0..100_usize);
    assert_eq!(cause(&job, 0), Cause::Invalid(Invalid::TooFewSlots { slots: 0, least: 1 }));
    let job = job.max_chunk(10);
    assert_eq!(cause(&job, 9), Cause::Invalid(Invalid::TooFewSlots { slots: 9, least: 10 }));
    let ranges = [NodeRange::new(NodeId(0), 0..10_usize)];
    assert_eq!(cause(&Job::over_nodes(&ranges), 9), Cause::Invalid(Invalid::OrderedOverNodes));
    let mut slots = [7; 10];
    let stats = job.run_ordered(&platform, &mut slots, |slot, chunk| *slot = chunk.start()).unwrap();
    assert_eq!((stats.chunks, slots), (10, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]));
    assert_eq!(Job::new(5..5_usize).run_ordered(&platform, &mut [], never).unwrap().units, 0);
}

#[test]
fn a_failed_part_ends_the_job_and_the_others_are_undone() {
    let platform = Hosted::builder().cpus(4).build();
    for threads in [1, 4] {
        let mut slice = vec![0_u8; 1000];
        let undone = common::Seen::over(0..1000);
        let undo = |chunk: Chunk<Bytes>| undone.mark(&chunk);
        let job = Job::new(Bytes::new(0)..Bytes::new(1000)).max_chunk(Bytes::new(10)).undo(&undo);
        let error = job
            .threads_exact(threads)
            .for_each_mut(&platform, &mut slice, |chunk, part| {
                if chunk.indices().contains(&500) {
                    return Err("unit 500");
                }
                part.fill(1);
                Ok(())
            })
            .unwrap_err();
        assert!(matches!(error.cause, Cause::Failed { error: "unit 500", .. }), "{error:?}");
        assert_eq!(undone.times(), slice.iter().map(|&byte| u32::from(byte)).collect::<Vec<_>>());
    }
}
