//! The atomics that the engine uses.
//!
//! `tests/loom` compiles the same sources with another `sync`, which has a model checker's atomics.

pub(crate) use core::hint::spin_loop;
pub(crate) use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Polls of a lock before a thread queues for it and parks: less than the cost of a wake-up.
pub(crate) static LOCK_POLLS: u32 = 100;

/// Returns a number that differs for addresses on different stacks.
pub(crate) fn hash_of_address(address: usize) -> usize {
    // Fibonacci hashing: the upper half depends on all bits.
    ((address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

/// Runs a test that uses these atomics: where they are a model checker's, as a model.
#[cfg(test)]
pub(crate) fn test(run: impl Fn() + Send + Sync + 'static) {
    run();
}

/// Makes a function `const` where atomics can be made in constants, which a model checker's cannot.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $vis:vis fn $($rest:tt)*) => {
        $(#[$attribute])* $vis const fn $($rest)*
    };
}
pub(crate) use const_fn;

/// Makes an array of `$len` values of `$value`, in place.
macro_rules! array_of {
    ($value:expr; $len:expr) => {
        [const { $value }; $len]
    };
}
pub(crate) use array_of;

/// A [`core::cell::UnsafeCell`] with access through a closure, so that a model checker can watch
/// the access.
#[derive(Debug, Default)]
pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(core::cell::UnsafeCell::new(value))
    }

    /// Calls `f` with a pointer to the value. The caller proves that the accesses are sound.
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner()
    }
}
