//! Vector registers, which hold only zeros (invariant 14).
//!
//! No compiled kernel code uses them: the target is soft-float. The loops of
//! [`super::clear`] store them to memory and never load them, so a thread may
//! be preempted within a loop and go on with it on another CPU, whose registers
//! hold the same zeros. Firmware, however, leaves in them what it likes, and a
//! CPU that is started keeps what it had: each CPU clears its own, once.

use core::arch::asm;

use params::registry::FAULT_VECTOR_GARBAGE;

use super::cpu;
use super::irq::IrqGuard;

/// Vector registers that 64-bit code has without AVX-512.
const REGISTERS: usize = 16;

/// An instruction for each vector register, whose number it has as `\\n`.
macro_rules! each_register {
    ($instruction:literal) => {
        concat!(".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n", $instruction, "\n.endr")
    };
}

/// Sets every vector register of this CPU that the kernel may use to zero, to
/// its full width. Where `cpu.disable` rules out stores from them, they are
/// not touched at all.
pub fn clear_registers() {
    let features = cpu::features();
    if FAULT_VECTOR_GARBAGE.get() {
        fill_with_garbage();
    }
    if features.avx {
        // SAFETY: CR4.OSXSAVE and XCR0 allow AVX. No register is declared as clobbered, as the target has none:
        // no compiled code uses them.
        unsafe { asm!("vzeroall", options(nomem, nostack, preserves_flags)) };
    } else if features.sse_stores {
        // SAFETY: CR4.OSFXSR allows SSE; else as above.
        unsafe { asm!(each_register!("pxor xmm\\n, xmm\\n"), options(nomem, nostack, preserves_flags)) };
    }
}

/// Fills the vector registers as firmware that used them would have left them:
/// for fault injection.
fn fill_with_garbage() {
    static GARBAGE: [u64; 4] = [0xfee1_dead_cafe_f00d; 4];
    let features = cpu::features();
    // SAFETY: as in `clear_registers`, for each of the two; at most 32 bytes are read from a constant.
    unsafe {
        if features.avx {
            asm!(
                each_register!("vmovdqu ymm\\n, [{from}]"),
                from = in(reg) &raw const GARBAGE,
                options(readonly, nostack, preserves_flags)
            );
        } else if features.sse_stores {
            asm!(
                each_register!("movdqu xmm\\n, [{from}]"),
                from = in(reg) &raw const GARBAGE,
                options(readonly, nostack, preserves_flags)
            );
        }
    }
}

/// Whether the vector registers hold only zeros on the CPU that runs this, as
/// far as the kernel may use them.
pub fn are_clear() -> bool {
    let features = cpu::features();
    let mut stored = [[0_u64; 4]; REGISTERS];
    let to = &raw mut stored;
    // One CPU's registers, all of them.
    let _irq = IrqGuard::new();
    // SAFETY: as in `clear_registers`; each register is stored to its own 32 bytes of a local.
    unsafe {
        if features.avx {
            asm!(each_register!("vmovdqu [{to} + 32 * \\n], ymm\\n"), to = in(reg) to, options(nostack, preserves_flags));
        } else if features.sse_stores {
            asm!(each_register!("movdqu [{to} + 32 * \\n], xmm\\n"), to = in(reg) to, options(nostack, preserves_flags));
        }
    }
    stored == [[0; 4]; REGISTERS]
}
