//! Events survive packing, and the packed words have the documented layout.
#![cfg(not(loom))]

mod common;

use common::any_event;
use proptest::prelude::*;
use trace::event::{AMOUNT_END, ID_END, NAME_PART_BYTES, NAME_PARTS, name_events};
use trace::{Event, EventClass, Named, Outcome, Why};

proptest! {
    #[test]
    fn packed_events_are_unpacked(event in any_event(), thread in 0..ID_END) {
        prop_assert_eq!(Event::unpack(event.pack(thread)), Some((thread, event)));
    }

    #[test]
    fn any_words_are_unpacked_without_panic(words: [u64; 3]) {
        if let Some((thread, event)) = Event::unpack(words) {
            // An unpacked event survives packing.
            prop_assert_eq!(Event::unpack(event.pack(thread)), Some((thread, event)));
        }
    }

    #[test]
    fn names_are_split_into_parts(name in "[a-z/0-9é]{0,80}") {
        let mut bytes_of_parts = Vec::new();
        for (number, event) in name_events(Named::Job, 7, &name).enumerate() {
            let Event::Name { what: Named::Job, id: 7, part, bytes } = event else {
                panic!("{event:?}");
            };
            prop_assert_eq!(usize::from(part), number);
            bytes_of_parts.extend(bytes);
        }
        let kept = &name.as_bytes()[..name.len().min(NAME_PARTS * NAME_PART_BYTES)];
        prop_assert_eq!(&bytes_of_parts[..kept.len()], kept);
        prop_assert!(bytes_of_parts[kept.len()..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn words_have_the_documented_layout() {
    let event = Event::ChunkBegin { job: 0x123456, worker: 0xabcd, start: 99, units: 0x0102_0304_0506 };
    assert_eq!(event.pack(0x77), [0x0012_3456_0000_770b, 99, 0xabcd_0102_0304_0506]);
    let event = Event::Switch { next: 5, why: Why::Blocked, waiting: 3 };
    assert_eq!(event.pack(1), [0x0200_0005_0000_0101, 3, 0]);
}

#[test]
fn numbers_that_do_not_fit_are_cut_as_documented() {
    let event = Event::JobEnd { job: ID_END + 3, outcome: Outcome::Complete, chunks: u64::MAX, threads: 9 };
    let cut = Event::JobEnd { job: 3, outcome: Outcome::Complete, chunks: AMOUNT_END - 1, threads: 9 };
    assert_eq!(Event::unpack(event.pack(ID_END + 1)), Some((1, cut)));
}

#[test]
fn memory_that_was_never_written_is_no_event() {
    assert_eq!(Event::unpack([0; 3]), None);
}

#[test]
fn classes_have_the_parameters_names() {
    assert_eq!(params::trace_events::NAMES, EventClass::NAMES);
    assert_eq!(EventClass::Hotplug.bit(), 1 << (EventClass::NAMES.len() - 1));
}
