//! Panics of a thread function.
//!
//! With `std`, a panic in a chunk counts as its failure and goes on in the job's caller,
//! after the join and the undo, as rayon and TBB do it. Without `std` nothing can be
//! caught: a kernel panics where it stands. Should it be built to unwind, the unwinding is
//! turned into an abort rather than let loose in a thread that was only borrowed.

#[cfg(feature = "std")]
mod imp {
    extern crate std;

    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    pub(crate) type Payload = std::boxed::Box<dyn core::any::Any + Send>;

    pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
        // What `f` broke by unwinding is the client's; the caller of the job sees the
        // panic, so nothing goes on with it in secret.
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
        let no_unwinding = AbortOnUnwind;
        let result = f();
        core::mem::forget(no_unwinding);
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
