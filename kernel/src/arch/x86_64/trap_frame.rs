//! Registers of interrupted code, as the entry stubs of `trap.s` save them.

use super::vector;

/// The words that the entry stubs and the CPU push on the stack, lowest address first.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error_code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

// The stubs push exactly this (invariant 8).
const _: () = assert!(size_of::<TrapFrame>() == 22 * 8);

impl TrapFrame {
    /// Whether the frame is of a page fault.
    pub fn is_page_fault(&self) -> bool {
        self.vector == u64::from(vector::PAGE_FAULT)
    }

    /// Whether interrupts were on in the interrupted code.
    pub fn was_interruptible(&self) -> bool {
        const INTERRUPT_FLAG: u64 = 1 << 9;
        self.rflags & INTERRUPT_FLAG != 0
    }

    /// Whether the frame is of a double fault.
    pub fn is_double_fault(&self) -> bool {
        self.vector == u64::from(vector::DOUBLE_FAULT)
    }

    /// Whether the frame is of a machine check.
    pub fn is_machine_check(&self) -> bool {
        self.vector == u64::from(vector::MACHINE_CHECK)
    }

    /// Whether the frame is of a non-maskable interrupt.
    pub fn is_nmi(&self) -> bool {
        self.vector == u64::from(vector::NMI)
    }

    /// Returns the error code of exceptions that have one.
    pub fn error_code(&self) -> Option<u64> {
        // The same list as in `trap.s`.
        matches!(self.vector, 8 | 10..=14 | 17 | 21 | 29 | 30).then_some(self.error_code)
    }

    /// Returns the exception's name.
    pub fn name(&self) -> &'static str {
        const NAMES: [&str; 22] = [
            "divide error",
            "debug exception",
            "non-maskable interrupt",
            "breakpoint",
            "overflow",
            "bound range exceeded",
            "invalid opcode",
            "device not available",
            "double fault",
            "coprocessor segment overrun",
            "invalid TSS",
            "segment not present",
            "stack segment fault",
            "general protection fault",
            "page fault",
            "reserved exception 15",
            "x87 floating point error",
            "alignment check",
            "machine check",
            "SIMD floating point error",
            "virtualization exception",
            "control protection exception",
        ];
        NAMES.get(self.vector as usize).copied().unwrap_or("unknown exception")
    }
}
