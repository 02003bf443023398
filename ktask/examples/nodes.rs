//! Memory on four nodes, cleared by threads of the same node, on a simulated machine. Prints the
//! share of local chunks, and the time with and without node ranges.

use ktask::sim::{Capacity, Machine, Node, Sim};
use ktask::{Job, NodeId, NodeRange, Pages, Profile};

/// Pages of each node, 4 GiB in all.
const PAGES: u64 = 1 << 20;

fn main() {
    // Each node has 8 CPUs. A thread clears half a million pages per second, a node's memory serves
    // six threads at full rate. Another node's memory is half as fast.
    let rate = 5e5;
    let capacity = Capacity::new(rate, 6.0 * rate, 6.0 * rate, 8);
    let mut machine = Machine::new(4, Node { cpus: 8, rate, capacity });
    machine.remote_factor = 0.5;

    let on_node = |node: u32| {
        let first = u64::from(node) * PAGES;
        NodeRange::new(NodeId(node), Pages::new(first)..Pages::new(first + PAGES))
    };
    let ranges = [on_node(0), on_node(1), on_node(2), on_node(3)];
    let all = Pages::new(0)..Pages::new(4 * PAGES);

    for (name, with_ranges) in [("with node ranges", true), ("without", false)] {
        let stats = Sim::run(machine.clone(), 1, |sim| {
            let job = Job::new(all.clone()).min_chunk(Pages::new(8192)).profile(Profile::Boot);
            let job = if with_ranges { job.nodes(&ranges) } else { job };
            job.run(sim, |chunk| {
                // Without node ranges, a chunk may straddle two nodes.
                let node = NodeId((chunk.start().get() / PAGES) as u32);
                sim.work(chunk.len().get(), Some(node));
            })
            .expect("nothing fails here")
        });
        println!(
            "{name:16} {:4} ms on {:2} threads, {} of {} chunks by local threads",
            stats.wall_ns / 1_000_000,
            stats.threads_used,
            stats.local_chunks.map_or("an unknown number".into(), |local| local.to_string()),
            stats.chunks
        );
    }
}
