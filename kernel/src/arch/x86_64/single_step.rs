//! Counts the instructions that a piece of code executes with interrupts off, exactly and on any machine: the CPU takes a
//! debug exception after each instruction (the trap flag). For tests.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use super::percpu;
use super::trap_frame::TrapFrame;

/// In RFLAGS: a debug exception follows each instruction.
const TRAP_FLAG: u64 = 1 << 8;

/// The thread whose instructions are counted, or [`NO_THREAD`].
static THREAD: AtomicU64 = AtomicU64::new(NO_THREAD);
const NO_THREAD: u64 = u64::MAX;
/// Whether the thread was counted to the end. From here on only the exception handler writes, on one CPU at a time: Relaxed.
static IS_WHOLE: AtomicBool = AtomicBool::new(true);
/// Where the thread paused last, and what `CURRENT` was when it paused there first.
static PAUSED_AT: AtomicU64 = AtomicU64::new(0);
static PAUSED_SINCE: AtomicU64 = AtomicU64::new(0);
/// Instructions since interrupts were switched off; 0 where they are on.
static CURRENT: AtomicU64 = AtomicU64::new(0);
static LONGEST: AtomicU64 = AtomicU64::new(0);
/// The address of the instruction after the longest section.
static LONGEST_END: AtomicU64 = AtomicU64::new(0);
static SECTIONS: AtomicU64 = AtomicU64::new(0);

/// What a piece of code did with interrupts off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IrqsOff {
    /// How often it switched interrupts off.
    pub sections: u64,
    /// Instructions in the longest section.
    pub longest: u64,
    /// Where the longest section ended; 0: with the code.
    pub longest_end: u64,
    /// Whether all of the code was counted: counting ends where the thread yields or blocks.
    pub is_whole: bool,
}

/// Runs `work` and counts its instructions with interrupts off. Interrupt handlers that come meanwhile are not counted. A
/// loop around `pause` counts once: how often a CPU spins for a lock is up to the CPU that holds it, which the host may have
/// stopped. One thread counts at a time: the next waits. A hundred times slower than `work` alone.
pub fn count_irqs_off(work: impl FnOnce()) -> IrqsOff {
    let me = u64::from(percpu::current_tid());
    while THREAD.compare_exchange(NO_THREAD, me, SeqCst, SeqCst).is_err() {
        core::hint::spin_loop();
    }
    for counter in [&CURRENT, &LONGEST, &LONGEST_END, &SECTIONS, &PAUSED_AT, &PAUSED_SINCE] {
        counter.store(0, Relaxed);
    }
    IS_WHOLE.store(true, Relaxed);
    // SAFETY: pushes and pops one word, above which nothing lives: the kernel has no red zone. The exceptions that follow are
    // handled by `on_debug_exception`, because `THREAD` is set.
    unsafe { asm!("pushfq", "or qword ptr [rsp], {flag}", "popfq", flag = const TRAP_FLAG) };
    work();
    // SAFETY: as above; and without the flag no exception follows.
    unsafe { asm!("pushfq", "and qword ptr [rsp], {flag}", "popfq", flag = const !(TRAP_FLAG as i32)) };
    end_section(0);
    let counted = IrqsOff {
        sections: SECTIONS.load(Relaxed),
        longest: LONGEST.load(Relaxed),
        longest_end: LONGEST_END.load(Relaxed),
        is_whole: IS_WHOLE.load(Relaxed),
    };
    THREAD.store(NO_THREAD, SeqCst);
    counted
}

/// Counts the instruction before a debug exception. Returns whether the exception is that of a count.
pub(super) fn on_debug_exception(frame: &mut TrapFrame) -> bool {
    let counted = THREAD.load(SeqCst);
    // That after the instruction which clears the flag is one of the count, too.
    if counted == NO_THREAD {
        return false;
    }
    if counted != u64::from(percpu::current_tid()) {
        // A switch keeps the flags of the thread that gave up the CPU.
        frame.rflags &= !TRAP_FLAG;
        IS_WHOLE.store(false, Relaxed);
        return true;
    }
    if frame.was_interruptible() {
        end_section(frame.rip);
    } else {
        CURRENT.store(CURRENT.load(Relaxed) + 1, Relaxed);
        forget_spinning(frame.rip);
    }
    true
}

/// Takes the instructions of a round back, if the next instruction is the `pause` of a loop that has paused before.
fn forget_spinning(next: u64) {
    const PAUSE: [u8; 2] = [0xf3, 0x90];
    /// Instructions of a round at most.
    const ROUND: u64 = 16;
    // SAFETY:
    // 1. The CPU is about to execute the instruction at `next`, so its first byte can be read: the page is present, and
    //    supervisor code can read each present page without protection keys, which the kernel does not use.
    // 2. The second byte is read only after a prefix, which is part of the same instruction.
    let is_pause = unsafe {
        let byte = next as *const u8;
        byte.read() == PAUSE[0] && byte.add(1).read() == PAUSE[1]
    };
    if !is_pause {
        return;
    }
    let (current, since) = (CURRENT.load(Relaxed), PAUSED_SINCE.load(Relaxed));
    if PAUSED_AT.swap(next, Relaxed) == next && (since..=since + ROUND).contains(&current) {
        CURRENT.store(since, Relaxed);
    } else {
        PAUSED_SINCE.store(current, Relaxed);
    }
}

/// Ends the section with interrupts off, if there is one, at the instruction before `end`.
fn end_section(end: u64) {
    let length = CURRENT.swap(0, Relaxed);
    if length > 0 {
        SECTIONS.fetch_add(1, Relaxed);
    }
    if length > LONGEST.load(Relaxed) {
        LONGEST.store(length, Relaxed);
        LONGEST_END.store(end, Relaxed);
    }
}
