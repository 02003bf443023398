//! CPUID, model-specific registers, and what this CPU can do.

use core::arch::x86_64::__cpuid_count;

use spin::Once;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::xcontrol::{XCr0, XCr0Flags};

/// One CPUID leaf's registers.
#[derive(Debug, Default)]
pub struct Leaf {
    /// eax
    pub a: u32,
    /// ebx
    pub b: u32,
    /// ecx
    pub c: u32,
    /// edx
    pub d: u32,
}

/// Reads a CPUID leaf; all zero when the CPU has no such leaf.
pub fn cpuid(leaf: u32, subleaf: u32) -> Leaf {
    let highest = __cpuid_count(leaf & 0xf000_0000, 0).eax;
    if leaf > highest || highest < (leaf & 0xf000_0000) {
        return Leaf { a: 0, b: 0, c: 0, d: 0 };
    }
    let r = __cpuid_count(leaf, subleaf);
    Leaf { a: r.eax, b: r.ebx, c: r.ecx, d: r.edx }
}

fn bit(register: u32, bit: u32) -> bool {
    register & (1 << bit) != 0
}

/// What the boot CPU can do. Other CPUs are taken to be the same; machines
/// with mixed feature sets are outside what this kernel supports.
#[derive(Debug, Clone, Copy)]
pub struct Features {
    /// Pages may be made non-executable.
    pub nx: bool,
    /// 1 GiB pages.
    pub pages_1g: bool,
    /// Local APIC reached through MSRs.
    pub x2apic: bool,
    /// The local APIC timer can wait for a value of the TSC.
    pub tsc_deadline: bool,
    /// AVX, and the means to switch it on.
    pub avx: bool,
    /// Cache line zeroing.
    pub clzero: bool,
    /// Width of physical addresses.
    pub phys_addr_bits: u8,
}

/// The boot CPU's features; read from the CPU at the first call.
pub fn features() -> &'static Features {
    static FEATURES: Once<Features> = Once::new();
    FEATURES.call_once(|| {
        let basic = cpuid(1, 0);
        let extended = cpuid(0x8000_0001, 0);
        let sizes = cpuid(0x8000_0008, 0);
        Features {
            nx: bit(extended.d, 20),
            pages_1g: bit(extended.d, 26),
            x2apic: bit(basic.c, 21),
            tsc_deadline: bit(basic.c, 24),
            avx: bit(basic.c, 26) && bit(basic.c, 28),
            clzero: bit(sizes.b, 0),
            // The architecture's least is 36; its most, 52.
            phys_addr_bits: (sizes.a as u8).clamp(36, 52),
        }
    })
}

/// Puts this CPU's control registers into the state the kernel expects:
/// write protection also for ring 0, no-execute, SSE and AVX instructions
/// allowed (only zeroing uses them; see invariant 14).
pub fn init_control_registers() {
    let features = features();
    // SAFETY:
    // 1. No mapping in use relies on WP being off: the image's read-only parts are never written.
    // 2. NXE is set only where CPUID has it, and before any table with the NX bit is loaded.
    // 3. OSFXSR and OSXSAVE only allow instructions; XCR0 is written only where AVX (thus XSAVE) exists,
    //    with x87 and SSE set as the architecture demands.
    unsafe {
        Cr0::update(|flags| {
            flags.insert(Cr0Flags::WRITE_PROTECT | Cr0Flags::MONITOR_COPROCESSOR | Cr0Flags::NUMERIC_ERROR);
            flags.remove(Cr0Flags::EMULATE_COPROCESSOR | Cr0Flags::TASK_SWITCHED);
            // An AP comes out of reset with caching off.
            flags.remove(Cr0Flags::CACHE_DISABLE | Cr0Flags::NOT_WRITE_THROUGH);
        });
        Cr4::update(|flags| {
            flags.insert(Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE);
            flags.set(Cr4Flags::OSXSAVE, features.avx);
        });
        Efer::update(|flags| flags.set(EferFlags::NO_EXECUTE_ENABLE, features.nx));
        if features.avx {
            XCr0::write(XCr0Flags::X87 | XCr0Flags::SSE | XCr0Flags::AVX);
        }
    }
}

/// This CPU's APIC id as CPUID tells it, the same way the AP entry code does:
/// the extended topology leaf where it is valid, else the 8-bit initial id.
pub fn apic_id() -> u32 {
    let topology = cpuid(0xb, 0);
    if topology.b & 0xffff != 0 { topology.d } else { cpuid(1, 0).b >> 24 }
}

/// Waits a moment inside a spin loop.
pub fn relax() {
    core::hint::spin_loop();
}

/// Stops this CPU for good, interrupts off.
pub fn halt_forever() -> ! {
    loop {
        x86_64::instructions::interrupts::disable();
        x86_64::instructions::hlt();
    }
}
