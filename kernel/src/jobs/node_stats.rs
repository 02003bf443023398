//! Statistics of a job, with its chunks by the node of their units.

use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use firmware::nodes::MAX_NODES;
use ktask::{Chunk, Stats, Unit};

use super::rounds::add_stats;
use crate::platform::nodes::nodes;

/// Statistics of a job. It dereferences to the totals.
#[derive(Debug, Clone, Copy, Default)]
pub struct JobStats {
    /// The totals.
    total: Stats,
    /// Chunks by node; none if the job names no nodes.
    by_node: NodeCounts,
}

impl JobStats {
    /// Returns the chunks of each node that has some: the node's number and its counts, in order.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, NodeCount)> {
        self.by_node.0.into_iter().enumerate().filter(|(_, count)| count.chunks > 0)
    }

    /// Adds the statistics of a round to those of the rounds before it.
    pub fn add(&mut self, round: &Self) {
        add_stats(&mut self.total, &round.total);
        for (sum, count) in self.by_node.0.iter_mut().zip(&round.by_node.0).take(nodes().len()) {
            sum.chunks += count.chunks;
            sum.local += count.local;
        }
    }
}

/// Statistics of a job that names no nodes.
impl From<Stats> for JobStats {
    fn from(total: Stats) -> Self {
        Self { total, by_node: NodeCounts::default() }
    }
}

impl Deref for JobStats {
    type Target = Stats;

    fn deref(&self) -> &Stats {
        &self.total
    }
}

impl DerefMut for JobStats {
    fn deref_mut(&mut self) -> &mut Stats {
        &mut self.total
    }
}

/// Chunks whose units are on one node.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeCount {
    /// All of them.
    pub chunks: u32,
    /// Those that a CPU of the node processed.
    pub local: u32,
}

#[derive(Debug, Clone, Copy)]
struct NodeCounts([NodeCount; MAX_NODES]);

impl Default for NodeCounts {
    fn default() -> Self {
        Self([NodeCount::default(); MAX_NODES])
    }
}

/// Counts chunks while a job runs. It is on the caller's stack: a page fault needs no memory for it.
pub struct NodeCounter {
    chunks: [AtomicU32; MAX_NODES],
    local: [AtomicU32; MAX_NODES],
}

impl NodeCounter {
    /// Makes a counter without chunks.
    pub fn new() -> Self {
        Self {
            chunks: [const { AtomicU32::new(0) }; MAX_NODES],
            local: [const { AtomicU32::new(0) }; MAX_NODES],
        }
    }

    /// Counts `chunk` for the node of its units.
    pub fn count<U: Unit>(&self, chunk: &Chunk<U>, is_local: bool) {
        let Some(node) = chunk.node().map(|node| node.0 as usize) else { return };
        self.chunks[node].fetch_add(1, SeqCst);
        self.local[node].fetch_add(u32::from(is_local), SeqCst);
    }

    /// Returns `total` with the counts, whose sum is the number of local chunks.
    pub fn complete(&self, mut total: Stats) -> JobStats {
        let (mut by_node, mut local_chunks) = (NodeCounts::default(), 0);
        // Only the nodes that there are: a job may be short.
        for (node, count) in by_node.0.iter_mut().enumerate().take(nodes().len()) {
            *count =
                NodeCount { chunks: self.chunks[node].load(SeqCst), local: self.local[node].load(SeqCst) };
            local_chunks += u64::from(count.local);
        }
        total.local_chunks = Some(local_chunks);
        JobStats { total, by_node }
    }
}
