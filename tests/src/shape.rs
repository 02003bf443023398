//! Shapes of machine.

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
    /// QEMU's CPU model; `None` is the default.
    pub cpu_model: Option<&'static str>,
    /// How its kernel is built.
    pub profile: Profile,
    /// What runs the guest's code: the translator nearly always, as a test that fails on it fails for everyone.
    pub accel: Accel,
    /// Whether the kernel can tell its verdict by QEMU's exit device.
    pub exit_device: bool,
    /// More arguments for QEMU.
    pub extra: &'static [&'static str],
}

/// Two CPUs, half a GiB: enough for every test, small enough for the host to back quickly.
pub const SMP2: Shape = Shape {
    name: "smp2",
    cpus: 2,
    memory_mib: 512,
    nodes: 1,
    cpu_model: None,
    profile: Profile::Kernel,
    accel: Accel::Tcg,
    exit_device: true,
    extra: &[],
};

/// One CPU: nobody to help.
pub const SMP1: Shape = Shape { name: "smp1", cpus: 1, ..SMP2 };

/// Four CPUs.
pub const SMP4: Shape = Shape { name: "smp4", cpus: 4, ..SMP2 };

/// Four CPUs, and a kernel that checks what it does: asserts, lock order, freed memory.
pub const DEBUG_SMP4: Shape = Shape { name: "debug_smp4", profile: Profile::KernelDebug, ..SMP4 };

/// Two CPUs, little memory, and a kernel that checks what it does.
pub const DEBUG_SMP2: Shape =
    Shape { name: "debug_smp2", memory_mib: 256, profile: Profile::KernelDebug, ..SMP2 };

/// A node with memory only, one with CPUs and memory, one with a CPU only, and distances that are told.
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

/// Two CPUs and 256 GiB of which the host backs only what is touched.
pub const SPARSE_256G: Shape = Shape {
    name: "sparse_256g",
    memory_mib: 256 << 10,
    cpu_model: Some("max"),
    extra: &["-object", "memory-backend-ram,id=m0,size=256G,reserve=off", "-machine", "memory-backend=m0"],
    ..SMP2
};

/// Six GiB of which the host backs only what is touched: pages of 1 GiB to be had.
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
    // More than most hosts have: CPUs stop for milliseconds at any place, which is what finds races.
    Shape { name: "smp8", cpus: 8, ..SMP2 },
    Shape { name: "memory_256m", memory_mib: 256, ..SMP2 },
    // Memory on both sides of the hole below 4 GiB.
    Shape { name: "memory_3g", memory_mib: 3072, ..SMP2 },
    // All that the translator has, as an AMD processor.
    Shape { name: "cpu_max", cpu_model: Some("max"), ..SMP2 },
    // The least: no pages of 1 GiB, no invariant TSC.
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

/// Time is instructions: whatever the host does, costs and shares of time are exact.
pub const COUNTED: Shape = Shape { name: "icount", memory_mib: 256, extra: &["-icount", "shift=0"], ..SMP1 };
