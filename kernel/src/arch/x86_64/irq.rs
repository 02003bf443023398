//! The interrupt flag of the running CPU.

use core::marker::PhantomData;

use x86_64::instructions::interrupts;

/// Keeps interrupts off on this CPU while it lives, and restores the previous state on drop. Guards nest. Not `Send`: a
/// guard belongs to the CPU that made it.
pub struct IrqGuard {
    was_enabled: bool,
    not_send: PhantomData<*const ()>,
}

impl IrqGuard {
    /// Switches interrupts off until the guard is dropped.
    #[inline]
    pub fn new() -> Self {
        let was_enabled = interrupts::are_enabled();
        interrupts::disable();
        Self { was_enabled, not_send: PhantomData }
    }

    /// Returns a guard inside this one, which restores nothing.
    #[inline(always)]
    pub(super) fn nested(&self) -> Self {
        Self { was_enabled: false, not_send: PhantomData }
    }
}

impl Drop for IrqGuard {
    #[inline]
    fn drop(&mut self) {
        if self.was_enabled {
            // SAFETY: interrupts were on before the guard. This is `interrupts::enable` without its final `nop`. Without
            // `nomem` the compiler moves no memory access out of the guarded part.
            unsafe { core::arch::asm!("sti", options(nostack, preserves_flags)) };
        }
    }
}

/// Lets interrupts come between two steps, and leaves them on. They come after the instruction that follows the one that
/// enables them: that must not be the one that disables them again.
pub fn let_interrupts_in() {
    interrupts::enable();
    core::hint::spin_loop();
}
