//! Switches stacks: the only code that stops one thread and resumes another.

/// The saved stack pointer of a stopped thread. All other state of the thread is on its stack. There is no vector
/// state to save: the vector registers hold zeros (invariant 14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct StackPointer(u64);

impl StackPointer {
    /// The value for a thread that has never stopped.
    pub const NONE: Self = Self(0);
}

/// The words that [`switch`] pushes on the stack of the thread that it stops, lowest address first.
#[repr(C)]
struct SavedContext {
    resume_rip: u64,
    rbx: u64,
    rbp: u64,
}

// `switch` pushes exactly this (invariant 8).
const _: () = assert!(size_of::<SavedContext>() == 3 * 8);

/// The function in which a thread begins. `argument` comes from [`prepare`], `passed` from the first [`switch`] to the
/// thread.
pub type Entry = extern "C" fn(argument: usize, passed: usize) -> !;

/// Prepares the stack that ends at `stack_top`. The first [`switch`] to it calls `entry` with `argument` and the value
/// that `switch` passes.
///
/// # Safety
/// 1. The 128 bytes below `stack_top` are mapped, writable and unused.
/// 2. `stack_top` is 16-aligned.
pub unsafe fn prepare(stack_top: u64, entry: Entry, argument: usize) -> StackPointer {
    // Two unused words above: the end of the frame chain, and alignment.
    let saved_sp = stack_top - 16 - size_of::<SavedContext>() as u64;
    let context = SavedContext {
        resume_rip: thread_start as *const () as u64,
        rbx: argument as u64,
        rbp: entry as usize as u64,
    };
    // SAFETY: the memory is writable and unused (1); the address is 8-aligned, because `stack_top` is 16-aligned (2).
    unsafe { (saved_sp as *mut SavedContext).write(context) };
    StackPointer(saved_sp)
}

/// Calls the entry of a new thread: its first instructions. Pops the argument and the entry, which [`prepare`] stored above
/// the word that `switch` pops. The passed value is in `rax`, where `switch` has it.
#[unsafe(naked)]
extern "C" fn thread_start() {
    // After the pops, rsp is stack_top - 16: aligned to 16, as the ABI requires before a call.
    core::arch::naked_asm!("pop rdi", "pop rdx", "mov rsi, rax", "xor ebp, ebp", "call rdx", "ud2")
}

/// Stops the calling thread, saves its stack pointer in `*from` and resumes the thread with the saved stack pointer `to`.
/// That thread's own call of `switch` returns `pass`. This call returns when a CPU switches back to the calling thread,
/// with the value that is passed then.
///
/// The function is inlined, so its caller saves only the registers that it needs. It jumps to the other thread's resume
/// address: a return instruction would not match the calls in the CPU's return stack.
///
/// # Safety
/// 1. Interrupts are off.
/// 2. `from` is valid for a write, and stays valid until the thread runs again.
/// 3. `to` comes from `switch` or [`prepare`], is used once, and no CPU runs on that stack.
#[inline(always)]
pub unsafe fn switch(from: *mut StackPointer, to: StackPointer, pass: usize) -> usize {
    let passed;
    // SAFETY: `from` may be written (2) and `to` is a stopped context (3). No interrupt sees the state in between (1).
    // When this thread resumes, rsp, rbx and rbp have their old values, and all other registers are declared clobbered.
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
