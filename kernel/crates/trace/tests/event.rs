//! Events survive packing, and the words they become are the documented ones.
#![cfg(not(loom))]

mod common;

use common::any_event;
use proptest::prelude::*;
use trace::event::{AMOUNT_END, ID_END, NAME_PART_BYTES, NAME_PARTS, name_events};
use trace::{Event, EventClass, Named, Outcome, Why};

proptest! {
    #[test]
    fn what_was_packed_is_unpacked(event in any_event(), thread in 0..ID_END) {
        prop_assert_eq!(Event::unpack(event.pack(thread)), Some((thread, event)));
    }

    #[test]
    fn any_words_are_read_without_panic(words: [u64; 3]) {
        if let Some((thread, event)) = Event::unpack(words) {
            // What can be read can be written and read again.
            prop_assert_eq!(Event::unpack(event.pack(thread)), Some((thread, event)));
        }
    }

    #[test]
    fn names_are_told_in_parts(name in "[a-z/0-9é]{0,80}") {
        let mut told = Vec::new();
        for (number, event) in name_events(Named::Job, 7, &name).enumerate() {
            let Event::Name { what: Named::Job, id: 7, part, bytes } = event else {
                panic!("{event:?}");
            };
            prop_assert_eq!(usize::from(part), number);
            told.extend(bytes);
        }
        let kept = &name.as_bytes()[..name.len().min(NAME_PARTS * NAME_PART_BYTES)];
        prop_assert_eq!(&told[..kept.len()], kept);
        prop_assert!(told[kept.len()..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn words_are_the_documented_ones() {
    let event = Event::ChunkBegin { job: 0x123456, worker: 0xabcd, start: 99, units: 0x0102_0304_0506 };
    assert_eq!(event.pack(0x77), [0x0012_3456_0000_770b, 99, 0xabcd_0102_0304_0506]);
    let event = Event::Switch { next: 5, why: Why::Blocked, waiting: 3 };
    assert_eq!(event.pack(1), [0x0200_0005_0000_0101, 3, 0]);
}

#[test]
fn what_does_not_fit_is_cut_where_it_was_said() {
    let event = Event::JobEnd { job: ID_END + 3, outcome: Outcome::Complete, chunks: u64::MAX, threads: 9 };
    let cut = Event::JobEnd { job: 3, outcome: Outcome::Complete, chunks: AMOUNT_END - 1, threads: 9 };
    assert_eq!(Event::unpack(event.pack(ID_END + 1)), Some((1, cut)));
}

#[test]
fn memory_that_was_never_written_is_no_event() {
    assert_eq!(Event::unpack([0; 3]), None);
}

#[test]
fn classes_are_called_as_the_parameter_calls_them() {
    assert_eq!(params::trace_events::NAMES, EventClass::NAMES);
    assert_eq!(EventClass::Hotplug.bit(), 1 << (EventClass::NAMES.len() - 1));
}
