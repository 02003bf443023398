//! Panics of a thread function.
//!
//! With `std`, a panic in a chunk counts as the chunk's failure. It is resumed in the job's caller
//! after the join and the undo, as rayon and TBB do. Without `std` no panic can be caught: a kernel
//! panics on the spot. If a kernel is built to unwind, unwinding aborts, because it would otherwise
//! continue in a borrowed thread.

#[cfg(feature = "std")]
mod imp {
    extern crate std;

    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    pub(crate) type Payload = std::boxed::Box<dyn core::any::Any + Send>;

    pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
        // Unwinding may leave the client's data inconsistent. The job's caller gets the panic, so
        // no code continues with that data unawares.
        catch_unwind(AssertUnwindSafe(f))
    }

    pub(crate) fn resume(payload: Payload) -> ! {
        resume_unwind(payload)
    }
}

#[cfg(not(feature = "std"))]
mod imp {
    pub(crate) enum Payload {}

    pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
        let abort_on_unwind = AbortOnUnwind;
        let result = f();
        core::mem::forget(abort_on_unwind);
        Ok(result)
    }

    pub(crate) fn resume(payload: Payload) -> ! {
        match payload {}
    }

    struct AbortOnUnwind;

    impl Drop for AbortOnUnwind {
        fn drop(&mut self) {
            // A panic while unwinding aborts.
            panic!("a thread function unwound, which needs ktask's feature std");
        }
    }
}

pub(crate) use imp::{Payload, catch, resume};
