//! Start now, wait later: helpers check a file while the caller reads its directory. And a job that
//! may take a tenth of a second at most.

use std::sync::atomic::{AtomicU64, Ordering};

use ktask::hosted::Hosted;
use ktask::{Bytes, Cause, Job};

fn main() {
    let platform = Hosted::new();
    let file = vec![1_u8; 8 << 20];
    let checksum = AtomicU64::new(0);
    let job = Job::new(Bytes::new(0)..Bytes::from(file.len() as u64)).min_chunk(Bytes::new(64 << 10));

    let (entries, stats) = job
        .run_beside(
            &platform,
            |chunk| {
                let units = chunk.indices();
                let part = &file[units.start as usize..units.end as usize];
                checksum.fetch_add(part.iter().map(|&byte| u64::from(byte)).sum(), Ordering::Relaxed);
            },
            || std::fs::read_dir(".").map_or(0, Iterator::count),
        )
        .expect("neither cancelled nor invalid");
    println!("{entries} entries; checksum {checksum:?} by {} threads", stats.threads_used);
    assert_eq!(checksum.into_inner(), 8 << 20);

    // Chunks of one unit at most, because each takes long: the job ends soon after its time is up.
    let slow = Job::new(0..1_000_000_u64).max_chunk(1).timeout_ns(100_000_000);
    let error = slow
        .run(&platform, |_chunk| std::thread::sleep(std::time::Duration::from_millis(1)))
        .expect_err("a thousand seconds do not fit");
    println!("{error}");
    assert_eq!(error.cause, Cause::DeadlinePassed);
}
