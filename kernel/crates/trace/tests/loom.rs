//! Models of the ring. Loom runs each under all interleavings, and with all values that the memory model allows a
//! Relaxed load to return.
//!
//! Needs `--cfg loom`; `ring.rs` runs them in an ordinary test run.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use trace::ring::{EventCell, Missing, Ring, WORDS};

/// Returns words that reveal a mix of two events.
fn words(number: u64) -> [u64; WORDS] {
    core::array::from_fn(|at| (number + 1) * 16 + at as u64)
}

/// Returns a ring that is never freed.
fn ring(cells: usize) -> Arc<Ring<'static>> {
    let cells: Vec<EventCell> = (0..cells).map(|_| EventCell::new()).collect();
    Arc::new(Ring::new(Vec::leak(cells)).unwrap())
}

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(4);
    builder.check(run);
}

/// Checks that each number reads as the words written under it, or as missing.
fn read_all(ring: &Ring<'_>, numbers: u64) {
    for number in 0..numbers {
        match ring.read(number) {
            Ok(read) => assert_eq!(read, words(number)),
            Err(Missing::NotYet | Missing::Overwritten) => {}
        }
    }
}

#[test]
fn a_reader_never_sees_half_of_an_event() {
    model(|| {
        let ring = ring(1);
        ring.push(words(0));
        let reader = {
            let ring = ring.clone();
            thread::spawn(move || read_all(&ring, 2))
        };
        ring.push(words(1));
        reader.join().unwrap();
        assert_eq!(ring.read(1), Ok(words(1)));
        assert_eq!(ring.read(0), Err(Missing::Overwritten));
    });
}

#[test]
fn events_counted_as_written_are_readable() {
    model(|| {
        let ring = ring(2);
        let reader = {
            let ring = ring.clone();
            thread::spawn(move || {
                let written = ring.written();
                for number in ring.oldest()..written {
                    match ring.read(number) {
                        Ok(read) => assert_eq!(read, words(number)),
                        // The third event overwrites only the first.
                        Err(missing) => assert_eq!((number, missing), (0, Missing::Overwritten)),
                    }
                }
            })
        };
        for number in 0..3 {
            ring.push(words(number));
        }
        reader.join().unwrap();
    });
}
