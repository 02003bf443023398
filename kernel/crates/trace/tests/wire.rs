//! Batches survive encoding, and arbitrary text is refused.
#![cfg(not(loom))]

mod common;

use common::any_event;
use proptest::prelude::*;
use trace::event::ID_END;
use trace::wire::{Batch, DecodeError, TEXT_MAX_BYTES, decode};
use trace::{Event, Stamped};

/// Encodes `events` into as many batches as needed.
fn texts(events: &[Stamped]) -> Vec<String> {
    let mut texts = Vec::new();
    let mut batch = Batch::new();
    let mut buffer = [0; TEXT_MAX_BYTES];
    for event in events {
        if !batch.push(event) {
            texts.push(batch.to_text(&mut buffer).to_string());
            batch = Batch::new();
            assert!(batch.push(event), "an empty batch holds any event");
        }
    }
    texts.push(batch.to_text(&mut buffer).to_string());
    texts
}

fn any_stamped() -> impl Strategy<Value = Vec<Stamped>> {
    let step = prop_oneof![0..1000u64, 0..1u64 << 40];
    prop::collection::vec((step, 0..ID_END, any_event()), 0..400).prop_map(|steps| {
        let mut now_ns = 0;
        let stamp = |(step, thread, event)| {
            now_ns += step;
            Stamped { ns: now_ns, thread, event }
        };
        steps.into_iter().map(stamp).collect()
    })
}

proptest! {
    #[test]
    fn encoded_events_are_decoded(events in any_stamped()) {
        let texts = texts(&events);
        prop_assert!(texts.iter().all(|text| text.len() <= TEXT_MAX_BYTES));
        let back: Vec<Stamped> = texts.iter().flat_map(|text| decode(text).unwrap()).collect();
        prop_assert_eq!(back, events);
    }

    #[test]
    fn arbitrary_text_never_panics(text in "[A-Za-z0-9+/]{0,200}") {
        let _ = decode(&text);
    }
}

#[test]
fn a_damaged_batch_is_an_error() {
    assert!(matches!(decode("so*so"), Err(DecodeError::Text(_))));
    let event = Stamped { ns: 5, thread: 1, event: Event::PageFault { address: u64::MAX } };
    let whole = texts(&[event, event]).remove(0);
    let cut = &whole[..32];
    assert!(matches!(decode(cut), Err(DecodeError::Event { after: 1, .. })), "{:?}", decode(cut));
}

/// Other programs read the encoding, so it must not change unnoticed.
#[test]
fn the_encoding_stays() {
    let switch = Event::Switch { next: 9, why: trace::Why::Blocked, waiting: 1 };
    let events = [
        Stamped { ns: 1000, thread: 3, event: switch },
        Stamped { ns: 1300, thread: 9, event: Event::InterruptEnter { vector: 0x21 } },
    ];
    // 1000 as e8 07, thread 3, kind 0, next 9, why 2, waiting 1; 300 as ac 02, thread 9, kind 4, vector 21.
    assert_eq!(texts(&events), ["6AcDAAkCAawCCQQh"]);
}

#[test]
fn events_are_small_on_the_wire() {
    let events: Vec<_> = (0..120)
        .map(|number| Stamped {
            ns: 1_000_000_000 + number * 3000,
            thread: 40,
            event: Event::Wake { thread: 41, cpu: 3 },
        })
        .collect();
    let bytes: usize = texts(&events).iter().map(String::len).sum();
    assert!(bytes <= 120 * 10, "{bytes} characters for 120 events");
}
