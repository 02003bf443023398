//! Memory on four nodes, cleared by threads of the node it is on, on a simulated machine:
//! what the local share of the chunks is, and what it is worth.

use ktask::sim::{Capacity, Machine, Node, Sim};
use ktask::{Job, NodeId, NodeRange, Pages, Profile};

/// Pages of each node: 4 GiB.
const PAGES: u64 = 1 << 20;

fn main() {
    // 8 CPUs per node; a thread clears half a million pages per second, a node's memory takes
    // what six of them give, and memory of other nodes is half as fast.
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

    for (name, told) in [("told where pages are", true), ("not told", false)] {
        let stats = Sim::run(machine.clone(), 1, |sim| {
            let job = Job::new(all.clone()).min_chunk(Pages::new(8192)).profile(Profile::Boot);
            let job = if told { job.nodes(&ranges) } else { job };
            job.run(sim, |chunk| {
                // A chunk may straddle two nodes when the job does not know them.
                let node = NodeId((chunk.start().get() / PAGES) as u32);
                sim.work(chunk.len().get(), Some(node));
                Ok::<(), ()>(())
            })
            .expect("nothing fails here")
        });
        println!(
            "{name:21} {:4} ms on {:2} threads, {} of {} chunks by local ones",
            stats.wall_ns / 1_000_000,
            stats.threads_used,
            if told { stats.local_chunks } else { 0 },
            stats.chunks
        );
    }
}
