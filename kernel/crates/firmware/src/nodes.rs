//! Memory nodes, from SRAT and SLIT.
//!
//! The tables name proximity domains, any 32-bit numbers. A *node* is a domain with a CPU of the machine or usable memory;
//! nodes have dense numbers in the order of the domains. Nodes cover the whole machine. Memory without an entry belongs to
//! the node of the memory below it, CPUs without an entry to node 0. No table means one node.

use core::fmt;
use core::ops::Range;

use crate::affinity::{Affinity, LOCAL_DISTANCE, Slit, Srat};
use crate::cpus::{CpuList, MAX_CPUS};
use crate::memmap::MemoryMap;

/// Most nodes in a [`Nodes`].
pub const MAX_NODES: usize = 64;
/// Most ranges of memory in a [`Nodes`].
pub const MAX_RANGES: usize = 256;
/// Distance of two nodes without an entry in a table.
pub const REMOTE_DISTANCE: u8 = 20;

/// Memory of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeMemory {
    /// Address of the first byte.
    pub start: u64,
    /// Address one past the last byte.
    pub end: u64,
    /// The node.
    pub node: u8,
}

impl NodeMemory {
    const EMPTY: Self = Self { start: 0, end: 0, node: 0 };
}

/// The machine's memory nodes.
///
/// About 11 KiB: large for a stack.
#[derive(Clone)]
pub struct Nodes {
    domains: [u32; MAX_NODES],
    len: usize,
    node_of_cpu: [u8; MAX_CPUS],
    /// Sorted and disjoint.
    ranges: [NodeMemory; MAX_RANGES],
    range_count: usize,
    distances: [[u8; MAX_NODES]; MAX_NODES],
}

/// Oddities that [`Nodes::collect`] found.
///
/// `Display` gives one line for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodesReport {
    /// Memory entries that overlap an earlier one of another domain; the earlier entry counts.
    pub overlapping: usize,
    /// Memory entries that reach beyond the last 64-bit address.
    pub bad_ranges: usize,
    /// Memory entries over [`MAX_RANGES`], left out.
    pub ranges_over_limit: usize,
    /// Domains over [`MAX_NODES`], made part of node 0.
    pub domains_over_limit: usize,
    /// CPUs that two entries put into different domains; the first counts.
    pub conflicting_cpus: usize,
    /// CPUs without an entry.
    pub unplaced_cpus: usize,
    /// Bytes of usable memory without an entry.
    pub unplaced_bytes: u64,
}

impl NodesReport {
    /// Returns whether the tables are worth a warning.
    #[must_use]
    pub fn is_suspicious(&self) -> bool {
        *self != Self::default()
    }
}

impl fmt::Display for NodesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let odd = [
            (self.overlapping, "memory entries overlap"),
            (self.bad_ranges, "memory entries reach beyond all addresses"),
            (self.ranges_over_limit, "memory entries too many"),
            (self.domains_over_limit, "domains too many, made part of node 0"),
            (self.conflicting_cpus, "cpus in two domains"),
            (self.unplaced_cpus, "cpus in no domain, put into node 0"),
            ((self.unplaced_bytes >> 10) as usize, "KiB in no domain, put with what lies below"),
        ];
        let mut separator = "";
        for (count, what) in odd.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{separator}{count} {what}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl Nodes {
    /// Returns one node with all CPUs and memory.
    #[must_use]
    pub const fn single() -> Self {
        let mut distances = [[REMOTE_DISTANCE; MAX_NODES]; MAX_NODES];
        let mut node = 0;
        while node < MAX_NODES {
            distances[node][node] = LOCAL_DISTANCE;
            node += 1;
        }
        Self {
            domains: [0; MAX_NODES],
            len: 1,
            node_of_cpu: [0; MAX_CPUS],
            ranges: [NodeMemory::EMPTY; MAX_RANGES],
            range_count: 0,
            distances,
        }
    }

    /// Makes nodes from the tables, for the memory of `map` and the CPUs of `cpus`.
    #[must_use]
    pub fn collect(
        srat: Srat<'_>,
        slit: Option<Slit<'_>>,
        map: &MemoryMap,
        cpus: &CpuList,
    ) -> (Self, NodesReport) {
        let mut nodes = Self::single();
        let mut report = NodesReport::default();
        nodes.collect_domains(srat, map, cpus, &mut report);
        nodes.collect_memory(srat, map, &mut report);
        nodes.collect_cpus(srat, cpus, &mut report);
        if let Some(slit) = slit {
            nodes.collect_distances(slit);
        }
        (nodes, report)
    }

    /// Returns the number of nodes, 1 or more.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always a node")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns the proximity domain of a node.
    #[must_use]
    pub fn domain(&self, node: usize) -> Option<u32> {
        self.domains[..self.len].get(node).copied()
    }

    /// Returns the node of the CPU with index `cpu` in the CPU list.
    #[must_use]
    pub fn node_of_cpu(&self, cpu: usize) -> usize {
        self.node_of_cpu.get(cpu).copied().unwrap_or(0).into()
    }

    /// Returns the node of the byte at `address`.
    #[must_use]
    pub fn node_of_address(&self, address: u64) -> usize {
        let ranges = self.ranges();
        let after = ranges.partition_point(|range| range.start <= address);
        // Memory below the first range belongs to its node.
        ranges.get(after.saturating_sub(1)).map_or(0, |range| range.node.into())
    }

    /// Returns the distance of memory of node `to` from CPUs of node `from`; 10 is local.
    #[must_use]
    pub fn distance(&self, from: usize, to: usize) -> u8 {
        let known = self.distances.get(from).and_then(|row| row.get(to));
        known.copied().unwrap_or(if from == to { LOCAL_DISTANCE } else { REMOTE_DISTANCE })
    }

    /// Splits `memory` (bytes) into parts of one node each, in order.
    pub fn split(&self, memory: Range<u64>) -> impl Iterator<Item = NodeMemory> + '_ {
        let mut start = memory.start;
        core::iter::from_fn(move || {
            if start >= memory.end {
                return None;
            }
            let node = self.node_of_address(start);
            let other = |range: &&NodeMemory| range.start > start && usize::from(range.node) != node;
            let end =
                self.ranges().iter().find(other).map_or(memory.end, |range| range.start.min(memory.end));
            let part = NodeMemory { start, end, node: node as u8 };
            start = end;
            Some(part)
        })
    }

    fn ranges(&self) -> &[NodeMemory] {
        &self.ranges[..self.range_count]
    }

    fn node_of_domain(&self, domain: u32) -> Option<usize> {
        self.domains[..self.len].iter().position(|known| *known == domain)
    }

    /// Numbers the domains that have a CPU or usable memory of this machine.
    fn collect_domains(&mut self, srat: Srat<'_>, map: &MemoryMap, cpus: &CpuList, report: &mut NodesReport) {
        let mut len = 0;
        let mut last_left_out = None;
        for entry in srat.entries() {
            let (domain, is_here) = match entry {
                Affinity::Cpu { apic_id, domain } => (domain, cpus.index_of(apic_id).is_some()),
                Affinity::Memory { start, len_bytes, domain, .. } => (
                    domain,
                    map.usable()
                        .any(|memory| memory.start < start.saturating_add(len_bytes) && start < memory.end),
                ),
            };
            let place = self.domains[..len].partition_point(|known| *known < domain);
            if !is_here || self.domains[..len].get(place) == Some(&domain) {
                continue;
            }
            if len == MAX_NODES {
                // Entries of a domain are usually adjacent, so this counts domains, with few exceptions.
                report.domains_over_limit += usize::from(last_left_out != Some(domain));
                last_left_out = Some(domain);
                continue;
            }
            self.domains.copy_within(place..len, place + 1);
            self.domains[place] = domain;
            len += 1;
        }
        self.len = len.max(1);
    }

    fn collect_memory(&mut self, srat: Srat<'_>, map: &MemoryMap, report: &mut NodesReport) {
        for entry in srat.entries() {
            let Affinity::Memory { start, len_bytes, domain, .. } = entry else { continue };
            match start.checked_add(len_bytes) {
                // QEMU pads the table with empty entries.
                Some(end) if end == start => {}
                Some(end) => {
                    let node = self.node_of_domain(domain).unwrap_or(0);
                    self.paint(NodeMemory { start, end, node: node as u8 }, report);
                }
                None => report.bad_ranges += 1,
            }
        }
        report.unplaced_bytes = map.usable().map(|memory| self.unplaced_bytes(memory)).sum();
    }

    /// Adds the parts of `new` that no range covers yet.
    fn paint(&mut self, new: NodeMemory, report: &mut NodesReport) {
        let mut at = new.start;
        let mut overlapped = false;
        let mut index = self.ranges().partition_point(|old| old.end <= at);
        while at < new.end {
            match self.ranges().get(index).copied() {
                Some(old) if old.start <= at => {
                    overlapped |= old.node != new.node;
                    at = old.end;
                }
                next => {
                    let end = next.map_or(new.end, |old| old.start.min(new.end));
                    if self.range_count == MAX_RANGES {
                        report.ranges_over_limit += 1;
                        return;
                    }
                    self.ranges.copy_within(index..self.range_count, index + 1);
                    self.ranges[index] = NodeMemory { start: at, end, node: new.node };
                    self.range_count += 1;
                    at = end;
                }
            }
            index += 1;
        }
        report.overlapping += usize::from(overlapped);
    }

    fn unplaced_bytes(&self, memory: Range<u64>) -> u64 {
        let placed = self
            .ranges()
            .iter()
            .map(|range| range.end.min(memory.end).saturating_sub(range.start.max(memory.start)));
        memory.end - memory.start - placed.sum::<u64>()
    }

    fn collect_cpus(&mut self, srat: Srat<'_>, cpus: &CpuList, report: &mut NodesReport) {
        let mut is_placed = [false; MAX_CPUS];
        for entry in srat.entries() {
            let Affinity::Cpu { apic_id, domain } = entry else { continue };
            let Some(cpu) = cpus.index_of(apic_id) else { continue };
            let node = self.node_of_domain(domain).unwrap_or(0) as u8;
            if is_placed[cpu] {
                report.conflicting_cpus += usize::from(self.node_of_cpu[cpu] != node);
            } else {
                is_placed[cpu] = true;
                self.node_of_cpu[cpu] = node;
            }
        }
        report.unplaced_cpus = is_placed[..cpus.len()].iter().filter(|placed| !**placed).count();
    }

    fn collect_distances(&mut self, slit: Slit<'_>) {
        for from in 0..self.len {
            for to in 0..self.len {
                if let Some(distance) = slit.distance(self.domains[from], self.domains[to]) {
                    self.distances[from][to] = distance;
                }
            }
        }
    }
}
