//! Nodes, distances and cores of the machine, as Linux tells them in `/sys`.

use std::collections::BTreeSet;
use std::path::Path;
use std::string::String;
use std::vec::Vec;

/// The largest node number that is believed. Linux can be built for 1024 nodes.
const MAX_NODE: usize = 1023;

/// The largest CPU number that is believed. Linux can be built for 8192 CPUs.
const MAX_CPU: usize = 8191;

/// The nodes of the machine, by their number in the system. Numbers may be missing; such a node has
/// no CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topology {
    nodes: Vec<Node>,
    /// Cores among the CPUs that the process may use; 0 if unknown.
    pub(super) cores: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// The node's CPUs that the process may use.
    cpus: Vec<usize>,
    /// Distance to the node of each number; 0 for unknown.
    distances: Vec<u32>,
}

impl Topology {
    /// Reads the part of the machine that consists of the CPUs `allowed`, below `devices`, which is
    /// `/sys/devices/system`. What cannot be read is left out: the least is one node with all CPUs.
    pub(super) fn read(devices: &Path, allowed: &[usize]) -> Self {
        let mut nodes = Vec::new();
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(devices.join("node")).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("node")?.parse::<usize>().ok());
            if let Some(number) = number.filter(|&number| number <= MAX_NODE) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        for &number in &numbers {
            let directory = devices.join(std::format!("node/node{number}"));
            let text = |file: &str| std::fs::read_to_string(directory.join(file)).unwrap_or_default();
            let mut cpus = list(&text("cpulist"), MAX_CPU);
            cpus.retain(|cpu| allowed.contains(cpu));
            let mut distances = std::vec![0; MAX_NODE + 1];
            // One number per node that is online, in the order of their numbers.
            for (to, distance) in numbers.iter().zip(text("distance").split_ascii_whitespace()) {
                distances[*to] = distance.parse().unwrap_or(0);
            }
            if nodes.len() <= number {
                nodes.resize(number + 1, Node::default());
            }
            nodes[number] = Node { cpus, distances };
        }
        if nodes.iter().all(|node| node.cpus.is_empty()) {
            nodes = std::vec![Node { cpus: allowed.to_vec(), distances: Vec::new() }];
        }
        Self { nodes, cores: cores(devices, allowed) }
    }

    /// Returns one more than the largest node number.
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the CPUs of a node that the process may use.
    pub(super) fn cpus_of(&self, node: usize) -> &[usize] {
        self.nodes.get(node).map_or(&[], |node| &node.cpus)
    }

    /// Returns the node of a CPU.
    pub(super) fn node_of(&self, cpu: usize) -> Option<usize> {
        self.nodes.iter().position(|node| node.cpus.contains(&cpu))
    }

    /// Returns the distance from a CPU of node `from` to the memory of node `to`, if it is known.
    pub(super) fn distance(&self, from: usize, to: usize) -> Option<u32> {
        self.nodes.get(from)?.distances.get(to).copied().filter(|&distance| distance > 0)
    }

    /// Returns all CPUs with their nodes: the first of each node, then the second of each, and so on.
    pub(super) fn cpus_in_turn(&self) -> Vec<(usize, usize)> {
        let most = self.nodes.iter().map(|node| node.cpus.len()).max().unwrap_or(0);
        let turn = |index: usize| {
            let cpu_of = move |(number, node): (usize, &Node)| Some((*node.cpus.get(index)?, number));
            self.nodes.iter().enumerate().filter_map(cpu_of)
        };
        (0..most).flat_map(turn).collect()
    }
}

/// Counts the cores among the CPUs `allowed`; 0 if a CPU does not tell its core.
fn cores(devices: &Path, allowed: &[usize]) -> usize {
    let siblings = |cpu: &usize| -> Option<String> {
        let file = devices.join(std::format!("cpu/cpu{cpu}/topology/thread_siblings_list"));
        std::fs::read_to_string(file).ok()
    };
    let lists: Option<BTreeSet<String>> = allowed.iter().map(siblings).collect();
    lists.map_or(0, |lists| lists.len())
}

/// Parses a list such as `0-3,8,10-11`. Parts that are no numbers up to `most` are left out.
fn list(text: &str, most: usize) -> Vec<usize> {
    let mut numbers = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            if last <= most {
                numbers.extend(first..=last);
            }
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A directory with some files, removed when dropped.
    struct Devices(PathBuf);

    impl Devices {
        fn with(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(std::format!("ktask-{}-{name}", std::process::id()));
            for (file, text) in files {
                let path = root.join(file);
                std::fs::create_dir_all(path.parent().expect("a file in the directory")).expect("writable");
                std::fs::write(path, text).expect("writable");
            }
            Self(root)
        }
    }

    impl Drop for Devices {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn nodes_keep_their_numbers_and_the_mask_is_respected() {
        let devices = Devices::with(
            "nodes",
            &[
                ("node/node0/cpulist", "0-3,8\n"),
                ("node/node0/distance", "10 21 17\n"),
                ("node/node2/cpulist", "4-7\n"),
                ("node/node2/distance", "21 10 28\n"),
                ("node/node5/cpulist", "\n"),
                ("node/node5/distance", "17 28 10\n"),
                ("node/possible", "0-5\n"),
                ("cpu/cpu0/topology/thread_siblings_list", "0,8\n"),
                ("cpu/cpu8/topology/thread_siblings_list", "0,8\n"),
                ("cpu/cpu4/topology/thread_siblings_list", "4-5\n"),
                ("cpu/cpu6/topology/thread_siblings_list", "6-7\n"),
            ],
        );
        let topology = Topology::read(&devices.0, &[0, 4, 6, 8]);
        assert_eq!(topology.nodes(), 6);
        assert_eq!((topology.cpus_of(0), topology.cpus_of(2)), (&[0, 8][..], &[4, 6][..]));
        assert!(topology.cpus_of(1).is_empty() && topology.cpus_of(5).is_empty());
        assert!(topology.cpus_of(9).is_empty());
        assert_eq!((topology.node_of(6), topology.node_of(3)), (Some(2), None));
        assert_eq!((topology.distance(0, 2), topology.distance(2, 5)), (Some(21), Some(28)));
        assert_eq!((topology.distance(0, 1), topology.distance(1, 0)), (None, None));
        assert_eq!(topology.cpus_in_turn(), [(0, 0), (4, 2), (8, 0), (6, 2)]);
        assert_eq!(topology.cores, 3);
    }

    #[test]
    fn what_cannot_be_read_leaves_one_node() {
        let one = |cores| Topology {
            nodes: std::vec![Node { cpus: std::vec![1, 3], distances: Vec::new() }],
            cores,
        };
        assert_eq!(Topology::read(Path::new("/nonexistent"), &[1, 3]), one(0));
        let devices = Devices::with(
            "broken",
            &[
                ("node/node0/cpulist", "1-x,-,9999999999999999999999,5-99999999,2-1"),
                ("node/node99999/cpulist", "1,3"),
                ("node/nodeX/cpulist", "1,3"),
                ("cpu/cpu1/topology/thread_siblings_list", "1,3"),
            ],
        );
        assert_eq!(Topology::read(&devices.0, &[1, 3]), one(0));
    }
}
