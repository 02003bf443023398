//! The registers of a CPU that the kernel relies on.
//!
//! Firmware, a loader or another kernel ran before and may have left any value in any register. So every CPU
//! writes each of them whole.

use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::model_specific::Msr;
use x86_64::registers::xcontrol::{XCr0, XCr0Flags};

use super::{cpu, machine_check, simd};

const MSR_PAT: u32 = 0x277;
/// The page attribute table: its value after reset, with write combining in place of write-through in entry 1. `rights`
/// relies on the meaning that it gives to the PCD and PWT bits of a page.
const PAT: u64 = 0x0007_0406_0007_0106;

/// Sets this CPU's control registers, page attribute table, debug registers and vector registers, and enables machine
/// checks. The interrupt table is loaded before, so that a fault here is reported.
pub fn init() {
    let features = cpu::features();
    let mut cr4 = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION | Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE;
    cr4.set(Cr4Flags::OSXSAVE, features.avx);
    // The number of table levels cannot change while paging is on.
    cr4 |= Cr4::read() & Cr4Flags::L5_PAGING;
    // SAFETY:
    // 1. Setting WP breaks no mapping in use: the read-only parts of the image are never written.
    // 2. Clearing CD and NW enables caching, which an AP has disabled after reset.
    // 3. NXE is set only where CPUID has it. The boot CPU is on the boot map here, whose entries have no NX bit. Another CPU
    //    is on the kernel's tables, for which the trampoline has set NXE already.
    // 4. OSFXSR and OSXSAVE only allow instructions. XCR0 is written only where CPUID has AVX and describes XSAVE
    //    completely. x87 and SSE are set in XCR0, as the architecture requires.
    // 5. The page attribute table is written only where CPUID has it. It changes the meaning of entry 1 alone, which only
    //    mappings of video memory use. The boot map has none; another CPU touches video memory only after this.
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
        if features.pat && Msr::new(MSR_PAT).read() != PAT {
            Msr::new(MSR_PAT).write(PAT);
            // Flushes cache lines and translations that the CPU made under the old table.
            core::arch::asm!("wbinvd", options(nostack));
            let (root, flags) = x86_64::registers::control::Cr3::read();
            x86_64::registers::control::Cr3::write(root, flags);
        }
    }
    disarm_breakpoints();
    simd::clear_registers();
    machine_check::init();
}

/// Disables this CPU's hardware breakpoints. Firmware or a loader may have left some, at addresses that now hold other
/// code.
fn disarm_breakpoints() {
    /// Bit 10 is always set.
    const DR7_NONE: u64 = 1 << 10;
    // SAFETY: ring 0 may write DR7, and disabled breakpoints only remove debug exceptions.
    unsafe {
        core::arch::asm!("mov dr7, {}", in(reg) DR7_NONE, options(nomem, nostack, preserves_flags));
    }
}

/// Returns CR0, CR4, EFER, and the page attribute table (0 where it is not in use) of the running CPU.
pub fn read() -> [u64; 4] {
    // SAFETY: CPUID has the register.
    let pat = if cpu::features().pat { unsafe { Msr::new(MSR_PAT).read() } } else { 0 };
    [Cr0::read_raw(), Cr4::read_raw(), Efer::read_raw(), pat]
}
