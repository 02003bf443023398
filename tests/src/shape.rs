//! Shapes of machine.

use ktask_boot::cli::BootChoice;
use ktask_boot::kernel::Profile;
use ktask_boot::qemu::Accel;
use protocol::ktest::Facts;

/// A shape of machine.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The scenario's name in test names.
    pub name: &'static str,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory.
    pub memory_mib: u64,
    /// Memory nodes.
    pub nodes: u32,
    /// QEMU's CPU model; `None` means the default.
    pub cpu_model: Option<&'static str>,
    /// The way to the kernel.
    pub boot: BootChoice,
    /// Build profile of the kernel.
    pub profile: Profile,
    /// The accelerator. Nearly always the translator: a test that fails on it fails on every host.
    pub accel: Accel,
    /// Whether the machine has QEMU's exit device, to which the kernel writes its verdict.
    pub exit_device: bool,
    /// Additional arguments for QEMU.
    pub extra: &'static [&'static str],
    /// The in-kernel tests that can tell something new on this shape, as a pattern of the kernel's parameter `run`.
    pub suites: &'static str,
}

/// All suites.
const EVERY: &str = "";
/// Suites whose code runs on several CPUs at a time: a new number of CPUs interleaves it anew.
const CONCURRENT: &str = "sched::,ktask::,pools::,jobs::,stress::,huge::,trace::";
/// Suites whose code depends on how much memory there is, and where.
const OF_MEMORY: &str = "mm::,heap::,huge::,jobs::,stress::";
/// Suites whose code depends on the features of the CPU: instructions, tables, timers, registers.
const OF_CPU: &str = "arch::,mm::,huge::,huge1g::,sched::,trace::";
/// Suites whose code depends on nodes.
const OF_NODES: &str = "mm::,heap::,huge::,jobs::,sched::,pools::,ktask::,stress::";

impl Shape {
    /// Returns what tests find on this shape.
    pub fn facts(&self) -> Facts {
        let nodes = match self.name {
            // One of the three has no CPU, and one no memory.
            "numa_uneven" => 2,
            _ => self.nodes,
        };
        Facts {
            cpus: self.cpus.into(),
            cpu_nodes: nodes.min(self.cpus).into(),
            memory_nodes: nodes.into(),
            memory_mib: self.memory_mib,
            // The kernel and QEMU's devices take parts of the first and the last GiB below 4 GiB.
            free_gib: (self.memory_mib >> 10).saturating_sub(2),
            maps_gib: !matches!(self.cpu_model, Some("qemu64" | "Skylake-Client")),
            is_debug: self.profile == Profile::KernelDebug,
            has_counted_time: self.extra.contains(&"-icount"),
            has_screen: false,
        }
    }
}

/// Two CPUs and 512 MiB: enough for every test, and the host backs it quickly.
pub const SMP2: Shape = Shape {
    name: "smp2",
    cpus: 2,
    memory_mib: 512,
    nodes: 1,
    cpu_model: None,
    boot: BootChoice::Pvh,
    profile: Profile::Kernel,
    accel: Accel::Tcg,
    exit_device: true,
    extra: &[],
    suites: EVERY,
};

/// One CPU: no helpers.
pub const SMP1: Shape = Shape { name: "smp1", cpus: 1, ..SMP2 };

/// Four CPUs.
pub const SMP4: Shape = Shape { name: "smp4", cpus: 4, ..SMP2 };

/// Four CPUs and a debug kernel, which checks asserts, lock order and freed memory.
pub const DEBUG_SMP4: Shape = Shape { name: "debug_smp4", profile: Profile::KernelDebug, ..SMP4 };

/// Two CPUs, little memory, and a debug kernel.
pub const DEBUG_SMP2: Shape =
    Shape { name: "debug_smp2", memory_mib: 256, profile: Profile::KernelDebug, ..SMP2 };

/// Two nodes, each with two CPUs and half of the memory.
pub const NUMA2: Shape = Shape { name: "numa2", nodes: 2, suites: OF_NODES, ..SMP4 };

/// A node with memory only, one with CPUs and memory, one with a CPU only, and a distance table.
pub const UNEVEN_NODES: Shape = Shape {
    name: "numa_uneven",
    suites: OF_NODES,
    cpus: 3,
    extra: &[
        "-object",
        "memory-backend-ram,id=m0,size=192M",
        "-object",
        "memory-backend-ram,id=m1,size=320M",
        "-numa",
        "node,nodeid=0,memdev=m0",
        "-numa",
        "node,nodeid=1,memdev=m1,cpus=0-1",
        "-numa",
        "node,nodeid=2,cpus=2",
        "-numa",
        "dist,src=0,dst=1,val=15",
        "-numa",
        "dist,src=0,dst=2,val=40",
        "-numa",
        "dist,src=1,dst=2,val=30",
    ],
    ..SMP2
};

/// Two CPUs and 256 GiB, of which the host backs only touched pages.
pub const SPARSE_256G: Shape = Shape {
    name: "sparse_256g",
    memory_mib: 256 << 10,
    cpu_model: Some("max"),
    extra: &["-object", "memory-backend-ram,id=m0,size=256G,reserve=off", "-machine", "memory-backend=m0"],
    ..SMP2
};

/// 6 GiB, of which the host backs only touched pages: pages of 1 GiB are available.
pub const SPARSE_6G: Shape = Shape {
    name: "sparse_6g",
    suites: "huge1g::",
    memory_mib: 6 << 10,
    cpu_model: Some("max"),
    extra: &["-object", "memory-backend-ram,id=m0,size=6G,reserve=off", "-machine", "memory-backend=m0"],
    ..SMP2
};

/// The shapes that in-kernel tests run on: each its suites.
pub const ALL: [Shape; 17] = [
    SMP1,
    SMP2,
    SMP4,
    DEBUG_SMP4,
    // More CPUs than most hosts have: CPUs stop for milliseconds at any instruction, which exposes races.
    Shape { name: "smp8", cpus: 8, suites: CONCURRENT, ..SMP2 },
    Shape { name: "memory_256m", memory_mib: 256, suites: OF_MEMORY, ..SMP2 },
    // Memory on both sides of the hole below 4 GiB.
    Shape { name: "memory_3g", memory_mib: 3072, suites: OF_MEMORY, ..SMP2 },
    // All features of the translator, with AMD's vendor name.
    Shape { name: "cpu_max", cpu_model: Some("max"), suites: OF_CPU, ..SMP2 },
    // The fewest features: no pages of 1 GiB, no invariant TSC.
    Shape { name: "cpu_qemu64", cpu_model: Some("qemu64"), suites: OF_CPU, ..SMP2 },
    Shape { name: "cpu_skylake", cpu_model: Some("Skylake-Client"), suites: OF_CPU, ..SMP2 },
    NUMA2,
    UNEVEN_NODES,
    SPARSE_6G,
    // Costs in instructions, and shares of time.
    COUNTED,
    Shape { name: "icount_smp2", cpus: 2, ..COUNTED },
    Shape { name: "icount_smp4", cpus: 4, ..COUNTED },
    REPEATABLE,
];

/// The shapes that in-kernel tests run on with a second QEMU, whose translator has x2APIC.
pub const SECOND: [Shape; 3] = [
    Shape { name: "qemu2_smp1", suites: OF_CPU, ..SMP1 },
    Shape { name: "qemu2_smp2", cpu_model: Some("max"), ..SMP2 },
    Shape { name: "qemu2_smp8", cpus: 8, suites: CONCURRENT, ..SMP2 },
];

/// A debug kernel on two CPUs that does the same in every boot: instructions count, and idle time is skipped rather than slept.
pub const REPEATABLE: Shape = Shape {
    name: "repeatable",
    cpus: 2,
    profile: Profile::KernelDebug,
    extra: &["-icount", "shift=0,sleep=off"],
    suites: "chaos::",
    ..COUNTED
};

/// The shapes that a soak takes in turn, by name.
pub const SOAK: [&str; 10] = [
    "smp1",
    "smp2",
    "smp4",
    "smp8",
    "memory_256m",
    "memory_3g",
    "cpu_max",
    "cpu_qemu64",
    "numa2",
    "numa_uneven",
];

/// Returns the shapes that a soak takes in turn.
pub fn of_soak() -> Vec<Shape> {
    SOAK.iter().filter_map(|name| ALL.iter().find(|shape| shape.name == *name)).copied().collect()
}

/// The shapes that a soak under chaos takes in turn. A seed does the same in each boot where time is counted; the others have
/// CPUs that really run at the same time.
pub const CHAOS: [Shape; 5] = [
    REPEATABLE,
    DEBUG_SMP4,
    Shape { name: "repeatable_smp4", cpus: 4, memory_mib: 512, ..REPEATABLE },
    DEBUG_SMP2,
    Shape { name: "debug_smp8", cpus: 8, ..DEBUG_SMP4 },
];

/// Counted instructions: costs and shares of time are exact and independent of the host.
pub const COUNTED: Shape =
    Shape { name: "icount", memory_mib: 256, extra: &["-icount", "shift=0"], suites: "CountedTime", ..SMP1 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soak_has_ten_shapes() {
        let names: Vec<_> = of_soak().iter().map(|shape| shape.name).collect();
        assert_eq!(names, SOAK);
    }
}
