//! The ring: numbers and wrapping in one thread, all interleavings by the loom models in `loom.rs`, and real threads.
#![cfg(not(loom))]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;
use trace::ring::{EventCell, Missing, Ring, WORDS};

fn cells(count: usize) -> Vec<EventCell> {
    (0..count).map(|_| EventCell::new()).collect()
}

/// Returns words that reveal a mix of two events.
fn words(number: u64) -> [u64; WORDS] {
    core::array::from_fn(|at| number * WORDS as u64 + at as u64)
}

#[test]
fn only_powers_of_two_make_a_ring() {
    for (count, is_sound) in [(0, false), (1, true), (2, true), (3, false), (4, true), (6, false)] {
        assert_eq!(Ring::new(&cells(count)).is_some(), is_sound, "{count}");
    }
}

proptest! {
    /// Compares the ring with a queue that drops its first element when full.
    #[test]
    fn the_ring_holds_the_last_events(order in 0..6u32, count in 0..200u64) {
        let cells = cells(1 << order);
        let ring = Ring::new(&cells).unwrap();
        let mut model = VecDeque::new();
        for number in 0..count {
            ring.push(words(number));
            model.push_back(number);
            if model.len() as u64 > ring.capacity() {
                model.pop_front();
            }
            prop_assert_eq!(ring.written(), number + 1);
            prop_assert_eq!(ring.oldest(), model[0]);
        }
        for number in 0..count + 2 {
            let expected = match number {
                _ if model.contains(&number) => Ok(words(number)),
                _ if number < count => Err(Missing::Overwritten),
                _ => Err(Missing::NotYet),
            };
            prop_assert_eq!(ring.read(number), expected);
        }
    }
}

#[test]
fn real_threads_see_whole_events_or_none() {
    const EVENTS: u64 = 300_000;
    let cells = cells(8);
    let ring = Ring::new(&cells).unwrap();
    let is_done = AtomicBool::new(false);
    let (whole, overwritten) = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut whole, mut overwritten) = (0u64, 0u64);
            while !is_done.load(Ordering::Relaxed) {
                for number in ring.oldest()..ring.written() {
                    match ring.read(number) {
                        Ok(read) => {
                            assert_eq!(read, words(number));
                            whole += 1;
                        }
                        Err(missing) => {
                            assert_eq!(missing, Missing::Overwritten);
                            overwritten += 1;
                        }
                    }
                }
            }
            (whole, overwritten)
        });
        for number in 0..EVENTS {
            ring.push(words(number));
            // Lets the reader run, also if both share one core.
            if number % 1000 == 0 {
                thread::yield_now();
            }
        }
        is_done.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    eprintln!("{whole} events read, {overwritten} overwritten before");
    assert!(whole > 0);
}

/// Runs `tests/loom`, which needs the crate built with `--cfg loom`.
#[test]
fn loom_models_pass() {
    models::run(env!("CARGO_PKG_NAME"), env!("CARGO_MANIFEST_DIR"), env!("CARGO_TARGET_TMPDIR"));
}
