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

/// What lies at a stopped thread's stack pointer, lowest address first: what [`switch`] pushes, and pops on the way back.
#[repr(C)]
struct Stopped {
    goes_on_at: u64,
    rbx: u64,
    rbp: u64,
}

// `switch` pushes exactly this (invariant 8).
const _: () = assert!(size_of::<Stopped>() == 3 * 8);

/// Where a thread begins: with what [`prepare`] was given, and what was passed by the first [`switch`] to it.
pub type Entry = extern "C" fn(argument: usize, passed: usize) -> !;

/// Prepares the stack that ends at `stack_top` so that the first [`switch`] to
/// it calls `entry` with `argument` and what `switch` passes; it must not return.
///
/// # Safety
/// The 128 bytes below `stack_top` are mapped, writable and unused;
/// `stack_top` is 16-aligned.
pub unsafe fn prepare(stack_top: u64, entry: Entry, argument: usize) -> StackPointer {
    // Two words of nothing above: the end of the frame chain, and alignment.
    let saved_sp = stack_top - 16 - size_of::<Stopped>() as u64;
    let stopped = Stopped {
        goes_on_at: thread_start as *const () as u64,
        rbx: argument as u64,
        rbp: entry as usize as u64,
    };
    // SAFETY: the caller promises the memory; the address is 8-aligned as `stack_top` is 16-aligned.
    unsafe { (saved_sp as *mut Stopped).write(stopped) };
    StackPointer(saved_sp)
}

/// Where a new thread's first instructions are: takes argument and entry from where [`prepare`] put them, below what
/// `switch` has popped, and what is passed from the register in which `switch` has it.
#[unsafe(naked)]
extern "C" fn thread_start() {
    // rsp is stack_top - 16 after the pops, 16-aligned as the ABI wants before a call.
    core::arch::naked_asm!("pop rdi", "pop rdx", "mov rsi, rax", "xor ebp, ebp", "call rdx", "ud2")
}

/// Stops the calling thread, saving its stack pointer in `*from`, and goes on with the one stopped at `to`, which gets
/// `pass` from its own call. Returns when somebody switches back, with what that one passes.
///
/// A part of whatever calls it, which saves what it needs of the registers and no more; a jump to where the other
/// thread goes on, since a return would not match the calls that the CPU has kept count of.
///
/// # Safety
/// 1. Interrupts are off.
/// 2. `from` may be written, and stays valid until the thread runs again.
/// 3. `to` was saved by `switch` or made by [`prepare`], once for each use,
///    and no CPU runs on that stack.
#[inline(always)]
pub unsafe fn switch(from: *mut StackPointer, to: StackPointer, pass: usize) -> usize {
    let passed;
    // SAFETY: by 2 and 3 both stacks may be used as they are; by 1 nobody sees the state in between. When this thread
    // goes on, rsp, rbx and rbp are as they were, and every other register is declared as changed.
    unsafe {
        core::arch::asm!(
            "push rbp",
            "push rbx",
            "lea rcx, [rip + 2f]",
            "push rcx",
            "mov [rdi], rsp",
            "mov rsp, rsi",
            "pop rcx",
            "jmp rcx",
            "2:",
            "pop rbx",
            "pop rbp",
            inout("rdi") from => _,
            inout("rsi") to.0 => _,
            inout("rax") pass => passed,
            out("rcx") _,
            out("rdx") _,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
            out("r12") _,
            out("r13") _,
            out("r14") _,
            out("r15") _,
        );
    }
    passed
}
