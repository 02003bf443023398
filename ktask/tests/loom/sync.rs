//! The items of the crate's `sync`, from the model checker.

pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// None: a polling thread has nothing to find that a parked one does not.
pub(crate) static LOCK_POLLS: u32 = 0;

/// Always 0: addresses differ from one run of a model to the next, which must not.
pub(crate) fn hash_of_address(_address: usize) -> usize {
    0
}

/// Runs a test of a module as a model.
pub(crate) fn test(run: impl Fn() + Send + Sync + 'static) {
    loom::model(run);
}

/// A function that is not `const`: the checker's atomics cannot be made in constants.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $vis:vis fn $($rest:tt)*) => {
        $(#[$attribute])* $vis fn $($rest)*
    };
}
pub(crate) use const_fn;

/// As in the crate, but made at run time.
macro_rules! array_of {
    ($value:expr; $len:expr) => {
        core::array::from_fn::<_, { $len }, _>(|_| $value)
    };
}
pub(crate) use array_of;

/// As in the crate. Two unordered accesses fail the model.
#[derive(Debug, Default)]
pub(crate) struct UnsafeCell<T>(loom::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::cell::UnsafeCell::new(value))
    }

    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.0.with_mut(f)
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner()
    }
}
