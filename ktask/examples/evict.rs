//! Objects on a list, evicted until enough memory is free: units that are not numbers, and a job that ends early.
//!
//! The list is taken off the cache as a whole, so no lock is held while the job walks along it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};

use ktask::hosted::Hosted;
use ktask::{Cause, Items, Job};

/// The end of the list.
const NONE: u32 = u32::MAX;
const OBJECTS: u32 = 100_000;
/// Objects that a worker evicts before it looks whether that is enough.
const BATCH: u64 = 256;

struct Object {
    next: AtomicU32,
    is_in_use: bool,
    is_evicted: AtomicBool,
}

/// Enough memory is free.
#[derive(Debug)]
struct Enough;

fn main() {
    let platform = Hosted::new();
    // Every tenth object is in use.
    let object = |index: u32| Object {
        next: AtomicU32::new(if index + 1 < OBJECTS { index + 1 } else { NONE }),
        is_in_use: index % 10 == 0,
        is_evicted: AtomicBool::new(false),
    };
    let objects: Vec<Object> = (0..OBJECTS).map(object).collect();
    // A step of the walk reads a link. It costs much less than an eviction.
    let advance = |mut at: u32, steps: u64| {
        for _ in 0..steps {
            at = objects[at as usize].next.load(SeqCst);
        }
        at
    };

    let wanted = 50_000;
    let evicted = AtomicU64::new(0);
    // Objects that stay, in parts: first object and length.
    let kept: Mutex<Vec<(u32, u64)>> = Mutex::new(Vec::new());
    // How far the walk has come. Its turns come one after the other, in order.
    let walked = (AtomicU64::new(0), AtomicU32::new(0));

    let job = Job::new(Items::new(0)..Items::new(OBJECTS.into())).min_chunk(Items::new(BATCH));
    let result = job.run_walk(
        &platform,
        0,
        |at, steps| {
            let end = advance(at, steps);
            walked.0.fetch_add(steps, SeqCst);
            walked.1.store(end, SeqCst);
            end
        },
        |chunk, positions| {
            let (mut at, mut left) = (positions.start, chunk.end().get() - chunk.start().get());
            while left > 0 {
                if evicted.load(SeqCst) >= wanted {
                    kept.lock().unwrap().push((at, left));
                    return Err(Enough);
                }
                for _ in 0..left.min(BATCH) {
                    let object = &objects[at as usize];
                    // Before the object is on another list.
                    let next = object.next.load(SeqCst);
                    if object.is_in_use {
                        kept.lock().unwrap().push((at, 1));
                    } else {
                        assert!(!object.is_evicted.swap(true, SeqCst), "object {at} is evicted twice");
                        evicted.fetch_add(1, SeqCst);
                    }
                    at = next;
                }
                left -= left.min(BATCH);
            }
            Ok(())
        },
    );
    let error = result.expect_err("there are more objects than wanted");
    assert!(matches!(error.cause, Cause::Failed { error: Enough, .. }), "{error:?}");

    // The rest, which no chunk has got, stays as it is.
    let rest = u64::from(OBJECTS) - walked.0.into_inner();
    let kept = kept.into_inner().unwrap().iter().map(|(_, len)| len).sum::<u64>() + rest;
    let evicted = evicted.into_inner();
    println!("{evicted} evicted, {kept} stay, {rest} of them not looked at");
    assert_eq!(evicted + kept, u64::from(OBJECTS));
    assert!(evicted >= wanted);
    assert!(objects.iter().all(|object| !(object.is_in_use && object.is_evicted.load(SeqCst))));
}
