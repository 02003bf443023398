//! What this machine and this build have, for tests that need some of it.

use frames::PAGE_SIZE;
use protocol::ktest::Facts;

use super::counted_time;
use crate::arch::{cpu, percpu};
use crate::console::screen;
use crate::mm::huge::HugeSize;
use crate::mm::huge_pool::pool;
use crate::mm::{descriptors, stats};
use crate::platform::nodes;
use crate::sched;

/// Free huge pages of 2 MiB with which a node counts as one with memory. Tests place several on each node.
const HUGE_PAGES_OF_A_NODE: u64 = 16;

/// Returns the facts of this moment: CPUs go offline, and memory is used. Free blocks of 1 GiB are those of the page allocator
/// and of the pool.
pub fn now() -> Facts {
    let all_nodes = || 0..nodes::nodes().len();
    let online = sched::online_cpus();
    let has_cpus = |node: &usize| !(*nodes::cpus_of(*node) & online).is_empty();
    let has_memory =
        |node: &usize| stats::free_blocks_on(*node, HugeSize::Size2M.order()) >= HUGE_PAGES_OF_A_NODE;
    let gib_blocks = |node| stats::free_blocks_on(node, HugeSize::Size1G.order());
    Facts {
        cpus: percpu::online_count() as u64,
        cpu_nodes: all_nodes().filter(has_cpus).count() as u64,
        memory_nodes: all_nodes().filter(has_memory).count() as u64,
        memory_mib: (descriptors::layout().described_pages() * PAGE_SIZE).div_ceil(1 << 20),
        free_gib: all_nodes().map(gib_blocks).sum::<u64>() + pool(HugeSize::Size1G).free(),
        maps_gib: cpu::features().pages_1g,
        is_debug: cfg!(debug_assertions),
        has_counted_time: counted_time::is_counted(),
        has_screen: screen::video_memory().is_some(),
    }
}
