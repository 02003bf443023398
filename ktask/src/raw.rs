//! The only unsafe code of the crate: a borrow lent to other threads, and a lock.
//!
//! # Why a helper may use what lies on the caller's stack
//!
//! [`scope`] puts a [`Shared`] on the caller's stack and hands out [`HelperTask`]s that
//! point to it. The pointer is good for as long as the task lives, by four steps:
//!
//! 1. `outstanding` counts the tasks that exist. It goes up *before* a task
//!    exists and down only in [`Ticket`]'s destructor, which runs once.
//! 2. `scope` does not return, nor unwind, before it has read `outstanding == 0`:
//!    the wait is in the destructor of [`JoinGuard`]. Tasks are made only by
//!    borrowers of the scope (its body), so at that point no new one can come.
//! 3. A task's last access to `Shared` is that decrement. What it
//!    needs afterwards, the caller's thread handle, it copies *before*.
//! 4. The decrement is `Release`, the caller's read of 0 `Acquire` (all
//!    decrements in between continue the release sequence): whatever helpers did to
//!    borrowed data happens before `scope` returns.
//!
//! A task that is leaked keeps `outstanding` above 0: the caller waits forever, which is
//! safe. So [`Platform`] need not be an unsafe trait.
#![allow(unsafe_code)]

use core::ptr::NonNull;

use crate::platform::Platform;
use crate::sync::{AtomicBool, AtomicUsize, Ordering, UnsafeCell, spin_loop};

/// What a helper does: called with its worker number. It must not unwind; if
/// it does, the count is still kept.
type Work<'s> = dyn Fn(usize) + Sync + 's;

/// The caller's side of a scope, on the caller's stack.
struct Shared<P: Platform> {
    /// Tasks that exist: queued, running, or being dropped.
    outstanding: AtomicUsize,
    /// Whom to wake when none is left.
    caller: P::Thread,
    /// Borrowed for the time of the scope; the lifetime is erased, see the module's proof.
    work: NonNull<Work<'static>>,
}

/// The right of one task to use a scope, and its duty to sign off.
struct Ticket<P: Platform> {
    shared: NonNull<Shared<P>>,
    platform: P,
}

impl<P: Platform> Drop for Ticket<P> {
    fn drop(&mut self) {
        // SAFETY: a ticket counts in `outstanding` from its making to the decrement below, so
        // the scope is alive (steps 1 and 2). The reference is not used after that.
        let shared = unsafe { self.shared.as_ref() };
        let caller = shared.caller.clone();
        // Release pairs with the Acquire load in `Helpers::outstanding` (step 4).
        if shared.outstanding.fetch_sub(1, Ordering::Release) == 1 {
            self.platform.unpark(&caller);
        }
    }
}

// SAFETY: the pointer leads to `Shared`, whose fields may be used from any thread:
// an atomic, `P::Thread: Sync`, and a closure that is `Sync`; `platform` is `Send`.
unsafe impl<P: Platform> Send for Ticket<P> {}

/// A helper's errand: to be run once, on a thread that is not the job's caller.
///
/// It is a counted borrow of the caller's frame: the count goes up before the task exists and
/// down as the last thing that the task does, and [`Job::run`](crate::Job::run) does not leave
/// that frame before the count is 0. It is three words and the platform handle, never allocates, and may be sent to
/// any thread. [`run`](Self::run) it, or drop it: then the helper counts as
/// lost and the others do its share. The job waits until one of the two has happened.
#[must_use = "a task that is not run is a lost helper"]
pub struct HelperTask<P: Platform> {
    ticket: Ticket<P>,
    worker: u32,
    family: u64,
}

impl<P: Platform> HelperTask<P> {
    /// Works for the job until nothing is left to do, the job has enough helpers, or it
    /// failed. The calling thread should have the lowest weight.
    pub fn run(self) {
        // SAFETY: the ticket has not signed off, so the scope is alive (steps 1 and 2), and
        // with it the closure that it borrows. The reference is not used after `ticket`
        // is dropped, at the end of this function or by unwinding.
        let work = unsafe { self.ticket.shared.as_ref().work.as_ref() };
        work(self.worker as usize);
    }

    /// The same number for all tasks of a job and of the jobs nested in it: a caller
    /// that waits may run tasks of its own family without fear of a stranger's long chunk.
    /// See [`Platform::take_queued`].
    #[must_use]
    pub fn family(&self) -> u64 {
        self.family
    }
}

impl<P: Platform> core::fmt::Debug for HelperTask<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HelperTask").field("worker", &self.worker).finish_non_exhaustive()
    }
}

/// Makes tasks for one scope and knows how many are out.
pub(crate) struct Helpers<'s, P: Platform> {
    shared: &'s Shared<P>,
    platform: &'s P,
    family: u64,
}

impl<P: Platform> Helpers<'_, P> {
    /// A task that will call the scope's work with `worker`.
    pub(crate) fn task(&self, worker: u32) -> HelperTask<P> {
        // Relaxed: the count goes up on the thread that later waits for 0 (or on one
        // that holds a task itself), so it cannot be seen as 0 in between.
        self.shared.outstanding.fetch_add(1, Ordering::Relaxed);
        let shared = NonNull::from(self.shared);
        let ticket = Ticket { shared, platform: self.platform.clone() };
        HelperTask { ticket, worker, family: self.family }
    }

    /// Tasks that exist. 0 means that every effect of every helper is visible.
    pub(crate) fn outstanding(&self) -> usize {
        // Acquire pairs with the Release decrement in `Ticket::drop`.
        self.shared.outstanding.load(Ordering::Acquire)
    }
}

/// Waits for every task when dropped, so that unwinding waits too.
struct JoinGuard<'s, P: Platform> {
    helpers: &'s Helpers<'s, P>,
}

impl<P: Platform> Drop for JoinGuard<'_, P> {
    fn drop(&mut self) {
        // Should the platform's `park` unwind, the borrowed frame must not go: two panics abort.
        let no_way_out = AbortOnUnwind;
        while self.helpers.outstanding() != 0 {
            self.helpers.platform.park(None);
        }
        core::mem::forget(no_way_out);
    }
}

/// Turns unwinding past it into an abort.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        panic!("ktask: Platform::park unwound while helpers were at work");
    }
}

/// Calls `body`, which may hand out tasks that call `work`; returns what `body` returned,
/// after every task has been run or dropped. The tasks say that they are of `family`.
pub(crate) fn scope<P: Platform, R>(
    platform: &P,
    family: u64,
    work: &Work<'_>,
    body: impl FnOnce(&Helpers<'_, P>) -> R,
) -> R {
    let work = NonNull::from(work);
    // SAFETY: only the lifetime changes, the layout does not. The pointer is used by
    // tasks alone, which do not outlive this call (module proof), and `work` does.
    let work = unsafe { core::mem::transmute::<NonNull<Work<'_>>, NonNull<Work<'static>>>(work) };
    let shared = Shared { outstanding: AtomicUsize::new(0), caller: platform.current_thread(), work };
    let helpers = Helpers { shared: &shared, platform, family };
    let _join = JoinGuard { helpers: &helpers };
    body(&helpers)
}

/// A value behind a spinning lock, for the few places that are off the path from
/// chunk to chunk: keeping an error, merging a result.
#[derive(Debug, Default)]
pub(crate) struct Lock<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands the value to one thread at a time, so sharing the lock
// is sending the value around: `T: Send`.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { held: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Calls `f`, which should take no longer than a few instructions, with the value.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let mut f = f;
        loop {
            match self.try_with(f) {
                Ok(result) => return result,
                Err(back) => f = back,
            }
            spin_loop();
        }
    }

    /// Calls `f` with the value, or gives `f` back when the lock is held.
    pub(crate) fn try_with<R, F: FnOnce(&mut T) -> R>(&self, f: F) -> Result<R, F> {
        // Acquire pairs with the Release store in `Unlock`.
        if self.held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return Err(f);
        }
        let _unlock = Unlock { held: &self.held };
        // SAFETY: `held` was false and is true now by this thread's exchange, and no
        // other thread gets here until `_unlock` puts it back: the reference is unique.
        Ok(self.value.with_mut(|value| f(unsafe { &mut *value })))
    }

    /// The value, when nobody shares the lock any more.
    pub(crate) fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

/// Opens the lock when dropped, also when the closure unwinds.
struct Unlock<'l> {
    held: &'l AtomicBool,
}

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        // Release pairs with the Acquire exchange in `Lock::try_with`.
        self.held.store(false, Ordering::Release);
    }
}

/// CPU time of the calling thread in nanoseconds, where the operating system is known to
/// tell it; the standard library does not.
#[cfg(feature = "std")]
pub(crate) fn thread_cpu_time_ns() -> Option<u64> {
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    {
        /// `struct timespec` of 64-bit Linux.
        #[repr(C)]
        struct Timespec {
            seconds: i64,
            nanoseconds: i64,
        }
        const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
        // SAFETY: the C library's function, which the standard library links, as POSIX
        // declares it for this target.
        unsafe extern "C" {
            fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
        }
        let mut time = Timespec { seconds: 0, nanoseconds: 0 };
        // SAFETY: the pointer is to a writable timespec that lives throughout the call.
        if unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &raw mut time) } == 0 {
            let seconds_ns = u64::try_from(time.seconds).ok()?.checked_mul(1_000_000_000)?;
            return seconds_ns.checked_add(u64::try_from(time.nanoseconds).ok()?);
        }
    }
    None
}
