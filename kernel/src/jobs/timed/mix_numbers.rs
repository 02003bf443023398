#![cfg(debug_assertions)]
//! Mixes numbers, in parallel: one for each page of the memory that the job may use.
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::jobs::{kernel::Kernel, manners::Kind, timing::*};

static KIND: Kind = Kind::new("mix-numbers");
struct MixNumbers(Vec<AtomicU64>);
fn mixed(number: usize) -> u64 {
    (0..200).fold(number as u64 + 1, |mix, _| mix.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7) | 1)
}
impl TimedJob for MixNumbers {
    fn prepare(budget: &Budget) -> Result<Self, Failure> {
        Ok(Self((0..budget.units()).map(|_| AtomicU64::new(0)).collect()))
    }
    fn run(&mut self, threads: Option<usize>) -> Result<JobStats, Failure> {
        let numbers = ktask::Items::new(0)..ktask::Items::new(self.0.len() as u64);
        let job = KIND.job(numbers, threads).min_chunk(ktask::Items::new(64));
        let mixes = |at| self.0[at as usize].store(mixed(at as usize), SeqCst);
        Ok(job.run(&Kernel, |chunk| chunk.indices().for_each(mixes))?.into())
    }
    fn verify(&mut self, _: &ktask::Stats) -> bool {
        self.0.iter().enumerate().all(|(at, number)| number.swap(0, SeqCst) == mixed(at))
    }
}
crate::timed_jobs! { "mix-numbers": MixNumbers { unit: Page4K, writes: false } }
