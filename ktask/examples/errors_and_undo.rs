//! A job that fails: it returns the first error, and completed units are undone.

use std::sync::atomic::{AtomicU32, Ordering};

use ktask::hosted::Hosted;
use ktask::{Cause, Job, Pages};

#[derive(Debug)]
struct OutOfMemory;

fn main() {
    let platform = Hosted::new();
    // Page n is pinned while pins[n] is 1; page 70 000 cannot be.
    let pins: Vec<AtomicU32> = (0..100_000).map(|_| AtomicU32::new(0)).collect();
    let pin = |page: u64| {
        if page == 70_000 {
            return Err(OutOfMemory);
        }
        pins[page as usize].fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    let unpin = |page: u64| {
        pins[page as usize].fetch_sub(1, Ordering::Relaxed);
    };

    let undo = |chunk: ktask::Chunk<Pages>| chunk.indices().for_each(unpin);
    let result = Job::new(Pages::new(0)..Pages::new(100_000)).min_chunk(Pages::new(1_000)).undo(&undo).run(
        &platform,
        |chunk| {
            for page in chunk.indices() {
                // A chunk that fails cleans up after itself; the undo is for completed chunks.
                if let Err(error) = pin(page) {
                    (chunk.start().get()..page).for_each(unpin);
                    return Err(error);
                }
            }
            Ok(())
        },
    );

    let error = result.expect_err("page 70 000 cannot be pinned");
    let Cause::Failed { error: OutOfMemory, start, end } = error.cause else {
        panic!("unexpected cause: {error:?}");
    };
    println!("pages {start}..{end} could not be pinned: {:?}", error.stats);
    let pinned = pins.iter().filter(|pins| pins.load(Ordering::Relaxed) != 0).count();
    println!("{} pages were unpinned again, {pinned} are still pinned", error.stats.units_undone);
    assert_eq!(pinned, 0);
}
