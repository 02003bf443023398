//! The machine's memory nodes.

use alloc::boxed::Box;
use alloc::vec::Vec;

use firmware::memmap::MemoryMap;
use firmware::nodes::Nodes;
use runqueue::{CpuMask, MAX_CPUS};
use spin::Once;

use crate::arch::percpu::{self, CpuId};

static NODES: Once<Nodes> = Once::new();
/// CPUs of each node.
static CPUS: Once<Box<[CpuMask]>> = Once::new();

/// Publishes the machine's nodes. The first call counts.
pub fn publish(nodes: Nodes) {
    let nodes = NODES.call_once(|| nodes);
    let cpus_of = |node| (0..MAX_CPUS).filter(|cpu| nodes.node_of_cpu(*cpu) == node).collect();
    CPUS.call_once(|| (0..nodes.len()).map(cpus_of).collect());
}

/// Returns the CPUs of `node`, started or not; none for an unknown node.
pub fn cpus_of(node: usize) -> &'static CpuMask {
    const NONE: &CpuMask = &CpuMask::EMPTY;
    CPUS.get().and_then(|cpus| cpus.get(node)).unwrap_or(NONE)
}

/// Returns the memory nodes.
///
/// # Panics
/// Before [`publish`]: a kernel bug.
pub fn nodes() -> &'static Nodes {
    NODES.get().expect("the memory nodes are asked for before the firmware's tables were read")
}

/// Returns the node of CPU `cpu`.
pub fn of_cpu(cpu: CpuId) -> usize {
    nodes().node_of_cpu(cpu.index())
}

/// Returns the node of the current CPU; stale as soon as the thread migrates.
pub fn current() -> usize {
    of_cpu(percpu::this_cpu().id())
}

/// Returns all nodes, the nearest to `from` first. Equally far nodes come in the order of their numbers from `from` on, so
/// that nodes differ in which neighbour they try first.
pub fn near(from: usize) -> Vec<usize> {
    let count = nodes().len();
    let mut near: Vec<usize> = (0..count).collect();
    near.sort_by_key(|to| (nodes().distance(from, *to), (to + count - from) % count));
    near
}

/// Logs one line for each node, if there are several.
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
