//! The machine's memory nodes, for everybody to ask.

use alloc::boxed::Box;
use alloc::vec::Vec;

use firmware::memmap::MemoryMap;
use firmware::nodes::Nodes;
use runqueue::{CpuMask, MAX_CPUS};
use spin::Once;

use crate::arch::percpu::{self, CpuId};

static NODES: Once<Nodes> = Once::new();
/// The CPUs of each node.
static CPUS: Once<Box<[CpuMask]>> = Once::new();

/// Makes `nodes` the ones that everybody is told. The first call counts.
pub fn publish(nodes: Nodes) {
    let nodes = NODES.call_once(|| nodes);
    let cpus_of = |node| (0..MAX_CPUS).filter(|cpu| nodes.node_of_cpu(*cpu) == node).collect();
    CPUS.call_once(|| (0..nodes.len()).map(cpus_of).collect());
}

/// CPUs of `node`, there or not; none for a node that there is not.
pub fn cpus_of(node: usize) -> &'static CpuMask {
    const NONE: &CpuMask = &CpuMask::EMPTY;
    CPUS.get().and_then(|cpus| cpus.get(node)).unwrap_or(NONE)
}

/// The memory nodes.
///
/// # Panics
/// Before [`publish`]: a bug of ours.
pub fn nodes() -> &'static Nodes {
    NODES.get().expect("the memory nodes are asked for before the firmware's tables were read")
}

/// The node of CPU `cpu`.
pub fn of_cpu(cpu: CpuId) -> usize {
    nodes().node_of_cpu(cpu.index())
}

/// The node of the CPU that runs this; stale as soon as the thread moves.
pub fn current() -> usize {
    of_cpu(percpu::this_cpu().id())
}

/// All nodes, the nearest to `from` first; of equally far ones those that come
/// next by number, so that not all nodes turn to the same one.
pub fn near(from: usize) -> Vec<usize> {
    let count = nodes().len();
    let mut near: Vec<usize> = (0..count).collect();
    near.sort_by_key(|to| (nodes().distance(from, *to), (to + count - from) % count));
    near
}

/// Writes one line for each node to the log, if there are several.
pub fn log(map: &MemoryMap) {
    let nodes = nodes();
    if nodes.len() == 1 {
        return;
    }
    for node in 0..nodes.len() {
        let parts = map.usable().flat_map(|memory| nodes.split(memory));
        let bytes: u64 =
            parts.filter(|part| usize::from(part.node) == node).map(|part| part.end - part.start).sum();
        log::info!("node {node} (domain {}): {} MiB", nodes.domain(node).unwrap_or(0), bytes >> 20);
        let distances = core::fmt::from_fn(|f| {
            (0..nodes.len()).try_for_each(|to| write!(f, " {}", nodes.distance(node, to)))
        });
        log::debug!("node {node}: distances{distances}");
    }
}
