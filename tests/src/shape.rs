//! Shapes of machine.

use ktask_boot::cli::BootChoice;
use ktask_boot::kernel::Profile;
use ktask_boot::qemu::Accel;

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

/// A node with memory only, one with CPUs and memory, one with a CPU only, and a distance table.
pub const UNEVEN_NODES: Shape = Shape {
    name: "numa_uneven",
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
    memory_mib: 6 << 10,
    cpu_model: Some("max"),
    extra: &["-object", "memory-backend-ram,id=m0,size=6G,reserve=off", "-machine", "memory-backend=m0"],
    ..SMP2
};

/// The shapes that every in-kernel test runs on.
pub const ALL: [Shape; 12] = [
    SMP1,
    SMP2,
    SMP4,
    DEBUG_SMP4,
    // More CPUs than most hosts have: CPUs stop for milliseconds at any instruction, which exposes races.
    Shape { name: "smp8", cpus: 8, ..SMP2 },
    Shape { name: "memory_256m", memory_mib: 256, ..SMP2 },
    // Memory on both sides of the hole below 4 GiB.
    Shape { name: "memory_3g", memory_mib: 3072, ..SMP2 },
    // All features of the translator, with AMD's vendor name.
    Shape { name: "cpu_max", cpu_model: Some("max"), ..SMP2 },
    // The fewest features: no pages of 1 GiB, no invariant TSC.
    Shape { name: "cpu_qemu64", cpu_model: Some("qemu64"), ..SMP2 },
    Shape { name: "cpu_skylake", cpu_model: Some("Skylake-Client"), ..SMP2 },
    Shape { name: "numa2", nodes: 2, ..SMP4 },
    UNEVEN_NODES,
];

/// The shapes that every in-kernel test runs on with a second QEMU, whose translator has x2APIC.
pub const SECOND: [Shape; 3] = [
    Shape { name: "qemu2_smp1", ..SMP1 },
    Shape { name: "qemu2_smp2", cpu_model: Some("max"), ..SMP2 },
    Shape { name: "qemu2_smp8", cpus: 8, ..SMP2 },
];

/// Counted instructions: costs and shares of time are exact and independent of the host.
pub const COUNTED: Shape = Shape { name: "icount", memory_mib: 256, extra: &["-icount", "shift=0"], ..SMP1 };

/// Counted instructions on four CPUs, which take turns.
pub const COUNTED_SMP4: Shape = Shape { name: "icount_smp4", cpus: 4, ..COUNTED };
