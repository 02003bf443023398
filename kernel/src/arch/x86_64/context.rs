//! Switching stacks: the one place where a thread stops and another goes on.

/// A stopped thread's stack pointer. Everything else that it needs is on its
/// stack. There is no vector register state to save: kernel code has none, and
/// the zeroing code keeps only zeros there (invariant 14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct StackPointer(u64);

impl StackPointer {
    /// No stack: for a thread that has never stopped.
    pub const NONE: Self = Self(0);
}

/// What `switch` pushes, lowest address first, and pops on the way back.
#[repr(C)]
struct SavedRegisters {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    rbx: u64,
    rbp: u64,
    return_address: u64,
}

// `switch` pushes exactly this (invariant 8).
const _: () = assert!(size_of::<SavedRegisters>() == 7 * 8);

/// Prepares the stack that ends at `stack_top` so that the first [`switch`] to
/// it calls `entry(argument)`, which must not return.
///
/// # Safety
/// The 128 bytes below `stack_top` are mapped, writable and unused;
/// `stack_top` is 16-aligned.
pub unsafe fn prepare(stack_top: u64, entry: extern "C" fn(usize) -> !, argument: usize) -> StackPointer {
    // Two words of nothing above: the end of the frame chain, and alignment.
    let registers = stack_top - 16 - size_of::<SavedRegisters>() as u64;
    let saved = SavedRegisters {
        r15: 0,
        r14: 0,
        r13: 0,
        r12: entry as usize as u64,
        rbx: argument as u64,
        rbp: 0,
        return_address: thread_start as *const () as u64,
    };
    // SAFETY: the caller promises the memory; the address is 8-aligned as `stack_top` is 16-aligned.
    unsafe { (registers as *mut SavedRegisters).write(saved) };
    StackPointer(registers)
}

/// Where a new thread begins: takes entry and argument from the registers that
/// [`prepare`] filled.
#[unsafe(naked)]
extern "C" fn thread_start() {
    // rsp is stack_top - 16 here, 16-aligned as the ABI wants before a call.
    core::arch::naked_asm!("mov rdi, rbx", "xor ebp, ebp", "call r12", "ud2")
}

/// Stops the calling thread, saving its stack pointer in `*from`, and goes on
/// with the one stopped at `to`. Returns when somebody switches back.
///
/// # Safety
/// 1. Interrupts are off.
/// 2. `from` may be written, and stays valid until the thread runs again.
/// 3. `to` was saved by `switch` or made by [`prepare`], once for each use,
///    and no CPU runs on that stack.
#[unsafe(naked)]
pub unsafe extern "C" fn switch(from: *mut StackPointer, to: StackPointer) {
    core::arch::naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}
