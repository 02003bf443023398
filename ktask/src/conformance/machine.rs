//! Checks of clocks, CPUs and nodes.

use super::broken::{ConformanceError, at_least, at_most};
use super::patience::POLL_NS;
use crate::{NodeId, Platform};

pub(super) const CLOCKS: &str = "clocks_advance";
pub(super) const CPUS: &str = "cpus_are_counted";
pub(super) const NODES: &str = "nodes_are_counted";

/// Reads of a clock.
const READS: u32 = 10_000;

/// Checks that [`Platform::now_ns`] and [`Platform::thread_time_ns`] never go back, and that time passes
/// while a thread parks.
///
/// # Errors
///
/// A clock that goes back or stands still.
pub fn clocks_advance<P: Platform>(platform: &P) -> Result<(), ConformanceError> {
    let never_back = |rule, clock: fn(&P) -> u64| {
        let mut last_ns = clock(platform);
        for _ in 0..READS {
            let now_ns = clock(platform);
            at_least(CLOCKS, rule, now_ns, last_ns)?;
            last_ns = now_ns;
        }
        Ok(())
    };
    never_back("now_ns goes back", P::now_ns)?;
    never_back("thread_time_ns goes back", P::thread_time_ns)?;
    let until_ns = platform.now_ns().saturating_add(POLL_NS);
    // A park may return early, but not each time.
    for _ in 0..READS {
        if platform.now_ns() >= until_ns {
            return Ok(());
        }
        platform.park(Some(until_ns));
    }
    at_least(CLOCKS, "now_ns stands still while a thread parks", platform.now_ns(), until_ns)
}

/// Checks that [`Platform::online_cpus`] is at least 1, and [`Platform::physical_cores`] between 1 and
/// that.
///
/// # Errors
///
/// A count out of bounds.
pub fn cpus_are_counted<P: Platform>(platform: &P) -> Result<(), ConformanceError> {
    let cpus = platform.online_cpus() as u64;
    at_least(CPUS, "online_cpus", cpus, 1)?;
    let cores = platform.physical_cores() as u64;
    at_least(CPUS, "physical_cores", cores, 1)?;
    at_most(CPUS, "physical_cores above online_cpus", cores, cpus)
}

/// Checks that nodes are numbered from 0, that each CPU is on one of them, and that no node is nearer to
/// a CPU than its own.
///
/// # Errors
///
/// A number out of bounds, or a sum below [`Platform::online_cpus`].
pub fn nodes_are_counted<P: Platform>(platform: &P) -> Result<(), ConformanceError> {
    let nodes = platform.nodes();
    at_least(NODES, "nodes", nodes as u64, 1)?;
    at_most(NODES, "current_node", u64::from(platform.current_node().0), nodes as u64 - 1)?;
    let ids = || (0..nodes).map(|node| NodeId(node as u32));
    let cpus: usize = ids().map(|node| platform.online_cpus_of_node(node)).sum();
    // A quota may be worth fewer CPUs than there are.
    let online = platform.online_cpus() as u64;
    at_least(NODES, "CPUs of all nodes by online_cpus_of_node, below online_cpus", cpus as u64, online)?;
    for (from, to) in ids().flat_map(|from| ids().map(move |to| (from, to))) {
        let local = u64::from(platform.node_distance(from, from));
        let distance = u64::from(platform.node_distance(from, to));
        at_least(NODES, "node_distance to another node, below that to itself", distance, local)?;
    }
    Ok(())
}
