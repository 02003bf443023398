//! A mutable slice, a sum that is the same on each run, and a search.

use ktask::hosted::Hosted;
use ktask::{Job, JobError};

fn main() -> Result<(), JobError<std::convert::Infallible>> {
    let platform = Hosted::new();
    let mut samples: Vec<f32> = (0..1_000_000).map(|n| n as f32).collect();
    let job = Job::new(0..samples.len()).min_chunk(10_000);

    // Each chunk gets the elements of its units; `chunk` tells which they are.
    let stats = job.for_each_mut(&platform, &mut samples, |chunk, part| {
        for (index, sample) in chunk.range().zip(part) {
            *sample = (index as f32).sqrt();
        }
    })?;
    println!("{} elements on {} threads", stats.units, stats.threads_used);

    // A floating-point sum depends on the order. One accumulator per chunk, added up in order, makes it
    // independent of the number of threads.
    let sum = |threads| -> Result<f32, JobError<std::convert::Infallible>> {
        let mut sums = [0.0; 64];
        job.clone().threads_exact(threads).run_ordered(&platform, &mut sums, |sum, chunk| {
            *sum = samples[chunk.range()].iter().sum::<f32>();
        })?;
        Ok(sums.iter().sum())
    };
    println!("sum {}", sum(1)?);
    assert_eq!(sum(1)?.to_bits(), sum(4)?.to_bits());

    // Ends at the first hit of any thread.
    let (found, stats) =
        job.find_any(&platform, |chunk| chunk.range().find(|&index| samples[index] == 777.0))?;
    println!("index {found:?} after {} elements", stats.units);
    assert_eq!(found, Some(777 * 777));
    Ok(())
}
