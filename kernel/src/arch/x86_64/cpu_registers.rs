//! The registers of a CPU that the kernel relies on.
//!
//! Firmware, a loader or another kernel ran before and may have left any value in any register. So every CPU
//! writes each of them whole.

use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::model_specific::Msr;
use x86_64::registers::xcontrol::{XCr0, XCr0Flags};

use super::{cpu, machine_check, simd};

const MSR_PAT: u32 = 0x277;
/// The page attribute table as it is after reset: what PCD and PWT of a page
/// mean then is what `paging::Rights` counts on.
const PAT_AFTER_RESET: u64 = 0x0007_0406_0007_0406;

/// Puts this CPU's control registers, its page attribute table, its debug
/// registers and its vector registers into the state that the kernel expects,
/// and switches machine checks on. The interrupt table is loaded, so that an
/// instruction that faults is told.
pub fn init() {
    let features = cpu::features();
    let mut cr4 = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION | Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE;
    cr4.set(Cr4Flags::OSXSAVE, features.avx);
    // The number of levels of the tables in use cannot be changed while they are in use.
    cr4 |= Cr4::read() & Cr4Flags::L5_PAGING;
    // SAFETY:
    // 1. No mapping in use relies on WP being off: the image's read-only parts are never written.
    // 2. Caching is on: an AP comes out of reset with it off.
    // 3. NXE is set only where CPUID has it, and before any table with the NX bit is loaded. A table with the bit was
    //    loaded only by this kernel, after that.
    // 4. OSFXSR and OSXSAVE only allow instructions; XCR0 is written only where AVX and all of XSAVE's description
    //    exist, with x87 and SSE set as the architecture demands.
    // 5. The page attribute table is written only where CPUID has it, with its value after reset, which gives the
    //    entries in use (write-back, uncached) the meaning that they have without it.
    unsafe {
        let cr0 = Cr0Flags::PROTECTED_MODE_ENABLE
            | Cr0Flags::MONITOR_COPROCESSOR
            | Cr0Flags::EXTENSION_TYPE
            | Cr0Flags::NUMERIC_ERROR
            | Cr0Flags::WRITE_PROTECT
            | Cr0Flags::PAGING;
        Cr0::write_raw(cr0.bits());
        Cr4::write_raw(cr4.bits());
        let mut efer = EferFlags::LONG_MODE_ENABLE | EferFlags::LONG_MODE_ACTIVE;
        efer.set(EferFlags::NO_EXECUTE_ENABLE, features.nx);
        Efer::write_raw(efer.bits());
        if features.avx {
            XCr0::write_raw((XCr0Flags::X87 | XCr0Flags::SSE | XCr0Flags::AVX).bits());
        }
        if features.pat && Msr::new(MSR_PAT).read() != PAT_AFTER_RESET {
            Msr::new(MSR_PAT).write(PAT_AFTER_RESET);
            // Lines and translations that were made under the old table.
            core::arch::asm!("wbinvd", options(nostack));
            let (root, flags) = x86_64::registers::control::Cr3::read();
            x86_64::registers::control::Cr3::write(root, flags);
        }
    }
    disarm_breakpoints();
    simd::clear_registers();
    machine_check::init();
}

/// Switches this CPU's hardware breakpoints off: firmware or a loader may have
/// left some, and what they meant is not at those addresses any more.
fn disarm_breakpoints() {
    /// Bit 10 is always set.
    const DR7_NONE: u64 = 1 << 10;
    // SAFETY: ring 0 may write DR7; without breakpoints nothing in this kernel traps that would not otherwise.
    unsafe {
        core::arch::asm!("mov dr7, {}", in(reg) DR7_NONE, options(nomem, nostack, preserves_flags));
    }
}

/// CR0, CR4, EFER, and the page attribute table where it is in use, of the CPU
/// that runs this.
pub fn read() -> [u64; 4] {
    // SAFETY: CPUID has the register.
    let pat = if cpu::features().pat { unsafe { Msr::new(MSR_PAT).read() } } else { 0 };
    [Cr0::read_raw(), Cr4::read_raw(), Efer::read_raw(), pat]
}
