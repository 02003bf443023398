//! The settings of the hosted platform have their effect, or are refused.

use std::collections::BTreeSet;
use std::sync::{Barrier, Mutex};

use ktask::hosted::{BuildError, Builder, Hosted};
use ktask::{Job, NodeId, Platform};

/// Calls `f` on each of the pool's threads at the same time, and on the caller, and returns the
/// results of the pool's threads.
fn on_helpers<T: Send + Ord>(platform: &Hosted, helpers: usize, f: impl Fn() -> T + Sync) -> BTreeSet<T> {
    let together = Barrier::new(helpers + 1);
    let results = Mutex::new(BTreeSet::new());
    let stats = Job::new(0..helpers + 1)
        .max_chunk(1)
        .threads_exact(helpers + 1)
        .run(platform, |chunk| {
            together.wait();
            if chunk.worker() != 0 {
                results.lock().unwrap().insert(f());
            }
        })
        .unwrap();
    assert_eq!(stats.threads_used as usize, helpers + 1);
    results.into_inner().unwrap()
}

#[test]
fn settings_out_of_range_are_refused_with_field_and_range() {
    let refused = |builder: Builder| builder.try_build().unwrap_err();
    for (error, expected, text) in [
        (refused(Hosted::builder().cpus(0)), BuildError::CpusZero, "cpus 0: must be at least 1"),
        (refused(Hosted::builder().nodes(0)), BuildError::NodesZero, "nodes 0: must be at least 1"),
        (
            refused(Hosted::builder().threads(usize::MAX)),
            BuildError::TooManyThreads { threads: usize::MAX },
            "threads 18446744073709551615: must be 0 to 65536",
        ),
        (
            refused(Hosted::builder().budget_percent(101)),
            BuildError::BudgetOutOfRange { percent: 101 },
            "budget_percent 101: must be 0 to 100",
        ),
        (
            refused(Hosted::builder().stack_size(100)),
            BuildError::StackTooSmall { bytes: 100 },
            "stack_size 100: must be at least 16384 bytes",
        ),
        (
            refused(Hosted::builder().name("a\0b")),
            BuildError::NameWithZero { index: 1 },
            "name with a zero byte at 1: must have none",
        ),
    ] {
        assert_eq!((error, error.to_string().as_str()), (expected, text));
    }
}

/// More than the 2 MiB that a thread has by default. Not inlined: the job's caller has no more.
#[inline(never)]
fn use_8_mib_of_stack() {
    let large = std::hint::black_box([1_u8; 8 << 20]);
    assert_eq!(large[large.len() / 2], 1);
}

#[test]
fn threads_have_names_and_stacks() {
    let platform = Hosted::builder().threads(2).name("worker").stack_size(32 << 20).try_build().unwrap();
    assert_eq!(platform.threads(), 2);
    let names = on_helpers(&platform, 2, || {
        use_8_mib_of_stack();
        std::thread::current().name().map(str::to_owned)
    });
    assert_eq!(names, BTreeSet::from([Some("worker-0".into()), Some("worker-1".into())]));
}

/// Returns the CPUs that the calling thread may run on, as Linux lists them.
#[cfg(target_os = "linux")]
fn allowed() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("Linux has it");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.expect("Linux lists the CPUs").trim().to_owned()
}

#[test]
#[cfg(target_os = "linux")]
fn pinned_threads_have_one_cpu_each() {
    let cpus = std::thread::available_parallelism().unwrap().get().min(4);
    for builder in [Hosted::builder(), Hosted::builder().system_nodes()] {
        let platform = builder.threads(cpus).pin(true).try_build().unwrap();
        let lists = on_helpers(&platform, cpus, allowed);
        assert_eq!(lists.len(), cpus, "{lists:?}");
        assert!(lists.iter().all(|list| list.parse::<u32>().is_ok()), "{lists:?}");
    }
}

#[test]
fn system_nodes_have_all_cpus_and_know_the_caller() {
    let platform = Hosted::builder().system_nodes().try_build().unwrap();
    let nodes = platform.nodes();
    let of_nodes = (0..nodes).map(|node| platform.online_cpus_of_node(NodeId(node as u32)));
    assert!(of_nodes.sum::<usize>() >= platform.online_cpus());
    assert!((1..=platform.online_cpus()).contains(&platform.physical_cores()));
    let here = platform.current_node();
    assert!(platform.online_cpus_of_node(here) > 0);
    assert!(platform.node_distance(here, here) > 0);
    assert_eq!(platform.online_cpus_of_node(NodeId(u32::MAX)), 0);
    let placed = on_helpers(&platform, 1, || platform.online_cpus_of_node(platform.current_node()) > 0);
    assert_eq!(placed, BTreeSet::from([true]));
}
