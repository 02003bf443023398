//! Helpers of several test files.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::atomic::{AtomicU32, Ordering};

use ktask::sim::{Capacity, Machine, Node};
use ktask::{Chunk, Unit};

/// Counts how often each unit of a range is handed out.
pub struct Seen {
    start: u64,
    times: Vec<AtomicU32>,
}

impl Seen {
    pub fn over(range: std::ops::Range<u64>) -> Self {
        Self { start: range.start, times: range.map(|_| AtomicU32::new(0)).collect() }
    }

    pub fn mark<U: Unit>(&self, chunk: &Chunk<U>) {
        for unit in chunk.indices() {
            self.times[(unit - self.start) as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn times(&self) -> Vec<u32> {
        self.times.iter().map(|times| times.load(Ordering::Relaxed)).collect()
    }

    pub fn all(&self, wanted: u32) -> bool {
        self.times.iter().all(|times| times.load(Ordering::Relaxed) == wanted)
    }
}

/// The default rate of a simulated thread, in units per second.
pub const RATE: f64 = 1e6;

/// Describes a machine of `nodes` nodes with `cpus` CPUs each, whose memory is never the limit.
pub fn ideal(nodes: usize, cpus: usize) -> Machine {
    Machine::new(nodes, Node { cpus, rate: RATE, capacity: Capacity::IDEAL })
}
