//! Clears the vector registers, which hold zeros from then on (invariant 14).
//!
//! Compiled kernel code does not use them, because the target is soft-float. The loops of [`super::clear`] store them to
//! memory and never load them. So a thread may be preempted in a loop and continue on another CPU, whose registers hold
//! the same zeros. Firmware may leave any values, and a CPU that starts keeps its old values. So each CPU clears its
//! registers once.

use core::arch::asm;

use params::registry::FAULT_VECTOR_GARBAGE;

use super::cpu;
use super::irq::IrqGuard;

/// Number of vector registers in 64-bit code without AVX-512.
const REGISTERS: usize = 16;

/// Repeats an instruction for each vector register, with the register's number in place of `\\n`.
macro_rules! each_register {
    ($instruction:literal) => {
        concat!(".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n", $instruction, "\n.endr")
    };
}

/// Sets every vector register of this CPU that the kernel may use to zero, in its full width. If `cpu.disable` disables
/// vector stores, the registers are not accessed.
pub fn clear_registers() {
    let features = cpu::features();
    if FAULT_VECTOR_GARBAGE.get() {
        fill_with_garbage();
    }
    if features.avx {
        // SAFETY: CR4.OSXSAVE and XCR0 allow AVX. No clobbers are declared, because compiled code does not use vector
        // registers (invariant 14).
        unsafe { asm!("vzeroall", options(nomem, nostack, preserves_flags)) };
    } else if features.sse_stores {
        // SAFETY: CR4.OSFXSR allows SSE. No clobbers, as above.
        unsafe { asm!(each_register!("pxor xmm\\n, xmm\\n"), options(nomem, nostack, preserves_flags)) };
    }
}

/// Fills the vector registers, as firmware that used them would leave them: for fault injection.
fn fill_with_garbage() {
    static GARBAGE: [u64; 4] = [0xfee1_dead_cafe_f00d; 4];
    let features = cpu::features();
    // SAFETY: as in `clear_registers`, for each of the two. The instructions read at most the 32 bytes of a constant.
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

/// Whether all vector registers of the running CPU that the kernel may use hold zeros.
pub fn are_clear() -> bool {
    let features = cpu::features();
    let mut stored = [[0_u64; 4]; REGISTERS];
    let to = &raw mut stored;
    // All registers of the same CPU.
    let _irq = IrqGuard::new();
    // SAFETY: as in `clear_registers`. Each register is stored to 32 bytes of a local array.
    unsafe {
        if features.avx {
            asm!(each_register!("vmovdqu [{to} + 32 * \\n], ymm\\n"), to = in(reg) to, options(nostack, preserves_flags));
        } else if features.sse_stores {
            asm!(each_register!("movdqu [{to} + 32 * \\n], xmm\\n"), to = in(reg) to, options(nostack, preserves_flags));
        }
    }
    stored == [[0; 4]; REGISTERS]
}
