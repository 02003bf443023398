//! CPUID, and the features of this CPU that the kernel may use.

use core::arch::x86_64::__cpuid_count;

use params::cpu_features::{self, Disabled, Feature};
use params::registry::CPU_DISABLE;
use spin::Once;
use x86_64::registers::model_specific::Msr;

/// The registers of one CPUID leaf.
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

/// Reads a CPUID leaf. All registers are zero if the CPU lacks the leaf.
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

/// Features of the boot CPU that the kernel may use. The kernel assumes that all CPUs have the same features, and does
/// not support machines on which they differ.
#[derive(Debug, Clone, Copy)]
pub struct Features {
    /// Pages may be made non-executable.
    pub nx: bool,
    /// 1 GiB pages.
    pub pages_1g: bool,
    /// Access to the local APIC through MSRs.
    pub x2apic: bool,
    /// The local APIC timer takes a TSC value as its deadline.
    pub tsc_deadline: bool,
    /// An MSR adjusts the CPU's TSC.
    pub tsc_adjust: bool,
    /// AVX, and an XSAVE that can enable it.
    pub avx: bool,
    /// 128-bit vector registers may be used.
    pub sse_stores: bool,
    /// Cache line zeroing.
    pub clzero: bool,
    /// Machine check exceptions, and banks that describe the errors.
    pub machine_check: bool,
    /// The page attribute table.
    pub pat: bool,
    /// Width of physical addresses.
    pub phys_addr_bits: u8,
}

impl Features {
    fn read(disabled: Disabled) -> Self {
        let basic = cpuid(1, 0);
        let structured = cpuid(7, 0);
        let extended = cpuid(0x8000_0001, 0);
        let sizes = cpuid(0x8000_0008, 0);
        let unless_disabled = |feature, is_there: bool| is_there && !disabled.contains(feature);
        Self {
            nx: unless_disabled(Feature::NoExecute, bit(extended.d, 20)),
            pages_1g: unless_disabled(Feature::Pages1G, bit(extended.d, 26)),
            x2apic: bit(basic.c, 21)
                && (!disabled.contains(Feature::X2Apic) || is_x2apic_locked(&structured)),
            tsc_deadline: unless_disabled(Feature::TscDeadline, bit(basic.c, 24)),
            tsc_adjust: unless_disabled(Feature::TscAdjust, bit(structured.b, 1)),
            avx: unless_disabled(Feature::Avx, bit(basic.c, 28) && xsave_holds_avx(&basic)),
            // Every 64-bit CPU has SSE2, and the entry code has checked it.
            sse_stores: unless_disabled(Feature::SseStores, true),
            clzero: unless_disabled(Feature::Clzero, bit(sizes.b, 0)),
            machine_check: unless_disabled(Feature::MachineCheck, bit(basic.d, 7) && bit(basic.d, 14)),
            pat: unless_disabled(Feature::Pat, bit(basic.d, 16)),
            // The architecture allows 36 to 52.
            phys_addr_bits: (sizes.a as u8).clamp(36, 52),
        }
    }
}

/// Whether XSAVE can be enabled for AVX state: leaf 1 announces it, and leaf 0xd describes it completely. Machines exist
/// whose leaf 1 announces XSAVE and whose leaf 0xd is empty. On these CR4.OSXSAVE is a reserved bit.
fn xsave_holds_avx(basic: &Leaf) -> bool {
    const XSAVE: u32 = 26;
    const X87_SSE_AVX: u32 = 0b111;
    const AVX_STATE: u32 = 2;
    /// x87 and SSE state, and the header. The upper halves of 16 registers follow.
    const LEGACY_BYTES: u32 = 512 + 64;
    const AVX_BYTES: u32 = 16 * 16;
    let (all, extensions, avx) = (cpuid(0xd, 0), cpuid(0xd, 1), cpuid(0xd, AVX_STATE));
    bit(basic.c, XSAVE)
        && all.a & X87_SSE_AVX == X87_SSE_AVX
        && all.c >= LEGACY_BYTES + AVX_BYTES
        // Nearly every CPU with AVX has XSAVEOPT. An emulator without these extensions treats OSXSAVE as reserved, and
        // hangs.
        && extensions.a != 0
        && avx.a == AVX_BYTES
        && avx.b >= LEGACY_BYTES
}

/// Whether the CPU is locked in x2APIC mode, whatever is written.
fn is_x2apic_locked(structured: &Leaf) -> bool {
    const HAS_ARCH_CAPABILITIES: u32 = 29;
    const MSR_ARCH_CAPABILITIES: u32 = 0x10a;
    const HAS_XAPIC_DISABLE_STATUS: u64 = 1 << 21;
    const MSR_XAPIC_DISABLE_STATUS: u32 = 0xbd;
    // SAFETY: CPUID announces the first register, and the first register announces the second.
    unsafe {
        bit(structured.d, HAS_ARCH_CAPABILITIES)
            && Msr::new(MSR_ARCH_CAPABILITIES).read() & HAS_XAPIC_DISABLE_STATUS != 0
            && Msr::new(MSR_XAPIC_DISABLE_STATUS).read() & 1 != 0
    }
}

/// Returns the features that `cpu.disable` disables.
pub fn disabled() -> Disabled {
    let mut buffer = [0; params::TEXT_CAPACITY];
    cpu_features::parse(CPU_DISABLE.get(&mut buffer)).unwrap_or_default()
}

/// Returns the boot CPU's features without those that `cpu.disable` disables. The first call reads them, after the
/// command line was applied.
pub fn features() -> &'static Features {
    static FEATURES: Once<Features> = Once::new();
    FEATURES.call_once(|| Features::read(disabled()))
}

/// The CPU's name from CPUID, or its signature where CPUID has no name.
pub struct Name;

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let brand = (0x8000_0002..=0x8000_0004).map(|leaf| cpuid(leaf, 0));
        let mut bytes = [0; 48];
        for (chunk, leaf) in bytes.chunks_exact_mut(16).zip(brand) {
            for (word, register) in chunk.chunks_exact_mut(4).zip([leaf.a, leaf.b, leaf.c, leaf.d]) {
                word.copy_from_slice(&register.to_le_bytes());
            }
        }
        let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        match core::str::from_utf8(&bytes[..len]).map(str::trim) {
            Ok(name) if !name.is_empty() && name.bytes().all(|byte| matches!(byte, 0x20..0x7f)) => {
                f.write_str(name)
            }
            _ => {
                let family = cpuid(1, 0).a;
                write!(f, "unnamed cpu, signature {family:#x}")
            }
        }
    }
}

/// Returns this CPU's APIC id from CPUID: of the extended topology leaf where it is valid, else the 8-bit initial id. The
/// trampoline does the same.
pub fn apic_id() -> u32 {
    let topology = cpuid(0xb, 0);
    if topology.b & 0xffff != 0 { topology.d } else { cpuid(1, 0).b >> 24 }
}

/// Pauses for a moment inside a spin loop.
pub fn relax() {
    core::hint::spin_loop();
}

/// Halts this CPU for good, with interrupts off.
pub fn halt_forever() -> ! {
    loop {
        x86_64::instructions::interrupts::disable();
        x86_64::instructions::hlt();
    }
}
