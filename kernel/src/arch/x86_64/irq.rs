//! Interrupts off for a while, on one CPU.

use core::marker::PhantomData;

use x86_64::instructions::interrupts;

/// Keeps interrupts off on this CPU while it lives; restores on drop what was
/// before. Guards nest. Not `Send`: it belongs to the CPU that made it.
pub struct IrqGuard {
    was_enabled: bool,
    not_send: PhantomData<*const ()>,
}

impl IrqGuard {
    /// Switches interrupts off.
    #[inline]
    pub fn new() -> Self {
        let was_enabled = interrupts::are_enabled();
        interrupts::disable();
        Self { was_enabled, not_send: PhantomData }
    }

    /// Another guard inside this one, which has nothing to restore.
    #[inline(always)]
    pub(super) fn nested(&self) -> Self {
        Self { was_enabled: false, not_send: PhantomData }
    }
}

impl Drop for IrqGuard {
    #[inline]
    fn drop(&mut self) {
        if self.was_enabled {
            // SAFETY: interrupts were on before the guard. This is `interrupts::enable` without the `nop` that it
            // ends with; not without memory effects, so that nothing moves out of the guarded part.
            unsafe { core::arch::asm!("sti", options(nostack, preserves_flags)) };
        }
    }
}
