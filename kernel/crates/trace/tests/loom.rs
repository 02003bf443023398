//! Models of the ring: loom runs each under every interleaving and every value
//! that the memory model lets a Relaxed load see.
//!
//! Needs `--cfg loom`; `ring.rs` runs them in an ordinary test run.
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use trace::ring::{EventCell, Missing, Ring, WORDS};

/// Words that show it when those of two events are mixed.
fn words(number: u64) -> [u64; WORDS] {
    core::array::from_fn(|at| (number + 1) * 16 + at as u64)
}

/// A ring that lives as long as its model.
fn ring(cells: usize) -> Arc<Ring<'static>> {
    let cells: Vec<EventCell> = (0..cells).map(|_| EventCell::new()).collect();
    Arc::new(Ring::new(Vec::leak(cells)).unwrap())
}

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(4);
    builder.check(run);
}

/// What a reader gets is what was written under that number, or that it is not there.
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
fn what_is_counted_as_written_is_there() {
    model(|| {
        let ring = ring(2);
        let reader = {
            let ring = ring.clone();
            thread::spawn(move || {
                let written = ring.written();
                for number in ring.oldest()..written {
                    match ring.read(number) {
                        Ok(read) => assert_eq!(read, words(number)),
                        // The last of three events takes the place of the first, and of no other.
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
