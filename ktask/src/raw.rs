//! The crate's only unsafe code: a borrow lent to other threads, and a lock.
//!
//! # Why a helper may use data on the caller's stack
//!
//! [`scope`] puts a [`Shared`] on the caller's stack and hands out [`HelperTask`]s that point to
//! it. The pointer is valid as long as the task lives (a *countdown*), by four steps:
//!
//! 1. `outstanding` counts the tasks that exist. It is incremented *before* a task exists, and
//!    decremented only in the destructor of [`Ticket`], which runs once.
//! 2. `scope` neither returns nor unwinds before it has read `outstanding == 0`: the destructor
//!    of [`JoinGuard`] waits for it. Only borrowers of the scope (its body) make tasks, so no
//!    task is made after that read.
//! 3. The decrement is a task's last access to `Shared`. The caller's thread handle, which the
//!    task needs afterwards, is copied *before* it.
//! 4. The decrement is `Release`, and the caller's read of 0 is `Acquire`. All decrements in
//!    between continue the release sequence. So all accesses of helpers to borrowed data happen
//!    before `scope` returns.
//!
//! A leaked task keeps `outstanding` above 0: the caller waits forever, which is safe. Therefore
//! [`Platform`](crate::Platform) need not be an unsafe trait.
#![allow(unsafe_code)]

use core::ptr::NonNull;

use crate::sync::{AtomicBool, AtomicUsize, Ordering, UnsafeCell, spin_loop};

/// The part of a [`Platform`](crate::Platform) that the hand-over to helpers needs. Every platform
/// implements it.
///
/// It is a separate trait because `Platform` uses [`HelperTask`], and imports go one way.
pub trait Parking: Clone + Send + Sync + 'static {
    /// [`Platform::Thread`](crate::Platform::Thread).
    type Thread: Clone + Send + Sync + 'static;

    /// Returns a handle to the calling thread.
    fn this_thread(&self) -> Self::Thread;

    /// Blocks the calling thread until [`wake`](Self::wake) is called for it, or for no reason.
    fn sleep(&self);

    /// Wakes `thread` from [`sleep`](Self::sleep), or makes its next `sleep` return at once.
    fn wake(&self, thread: &Self::Thread);
}

/// A helper's work, called with its worker number. It must not unwind; if it does, `outstanding`
/// is still correct.
type Work<'s> = dyn Fn(usize) + Sync + 's;

/// The state of a scope, on the caller's stack.
struct Shared<P: Parking> {
    /// Tasks that exist: queued, running, or being dropped.
    outstanding: AtomicUsize,
    /// The thread to wake when no task is left.
    caller: P::Thread,
    /// Borrowed for the duration of the scope. The lifetime is erased; see the module's proof.
    work: NonNull<Work<'static>>,
}

/// The right of one task to use a scope, counted in `outstanding`. Dropping it gives up the right.
struct Ticket<P: Parking> {
    shared: NonNull<Shared<P>>,
    platform: P,
}

impl<P: Parking> Drop for Ticket<P> {
    fn drop(&mut self) {
        // SAFETY: a ticket counts in `outstanding` from its creation to the decrement below, so
        // the scope is alive (steps 1 and 2). The reference is not used after the decrement.
        let shared = unsafe { self.shared.as_ref() };
        let caller = shared.caller.clone();
        // Release pairs with the Acquire load in `Helpers::outstanding` (step 4).
        if shared.outstanding.fetch_sub(1, Ordering::Release) == 1 {
            self.platform.wake(&caller);
        }
    }
}

// SAFETY: `shared` points to a `Shared`, whose fields may be used from any thread: an atomic,
// `P::Thread: Sync`, and a pointer to a closure that is `Sync`. `platform` is `Send`.
unsafe impl<P: Parking> Send for Ticket<P> {}

/// A helper's part of a job. It is run once, on a thread that is not the job's caller.
///
/// [`run`](Self::run) it or drop it: the job waits for one of the two. If it is dropped, the helper
/// counts as lost, and the other workers do its part.
///
/// A task is a counted borrow of the caller's frame. The count is incremented before the task
/// exists and decremented by the task's last access. [`Job::run`](crate::Job::run) does not leave
/// the frame before the count is 0. A task is three words and the platform handle, never
/// allocates, and may be sent to any thread. `P` is any [`Platform`](crate::Platform).
#[must_use = "a task that is not run is a lost helper"]
pub struct HelperTask<P: Parking> {
    ticket: Ticket<P>,
    worker: u32,
    family: u64,
}

impl<P: Parking> HelperTask<P> {
    /// Works for the job until no work is left, the job has enough helpers, or it has failed. The
    /// calling thread should have the lowest weight.
    pub fn run(self) {
        // SAFETY: the ticket still counts in `outstanding`, so the scope is alive (steps 1 and 2),
        // and with it the closure that it borrows. The reference is not used after `ticket` is
        // dropped, at the end of this function or by unwinding.
        let work = unsafe { self.ticket.shared.as_ref().work.as_ref() };
        work(self.worker as usize);
    }

    /// Returns the number that all tasks of a job and of the jobs nested in it share.
    ///
    /// A waiting caller may run tasks of its family: they are part of its work, so no long chunk of
    /// an unrelated job delays it. See [`Platform::take_queued`](crate::Platform::take_queued).
    #[must_use]
    pub fn family(&self) -> u64 {
        self.family
    }
}

impl<P: Parking> core::fmt::Debug for HelperTask<P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HelperTask").field("worker", &self.worker).finish_non_exhaustive()
    }
}

/// Makes the tasks of one scope.
pub(crate) struct Helpers<'s, P: Parking> {
    shared: &'s Shared<P>,
    platform: &'s P,
    family: u64,
}

impl<P: Parking> Helpers<'_, P> {
    /// Makes a task that calls the scope's work with `worker`.
    pub(crate) fn task(&self, worker: u32) -> HelperTask<P> {
        // Relaxed: the thread that increments later waits for 0 itself (or holds a task), so it
        // cannot read 0 in between.
        self.shared.outstanding.fetch_add(1, Ordering::Relaxed);
        let shared = NonNull::from(self.shared);
        let ticket = Ticket { shared, platform: self.platform.clone() };
        HelperTask { ticket, worker, family: self.family }
    }

    /// Returns the number of tasks that exist. After 0, all effects of all helpers are visible.
    pub(crate) fn outstanding(&self) -> usize {
        // Acquire pairs with the Release decrement in `Ticket::drop`.
        self.shared.outstanding.load(Ordering::Acquire)
    }
}

/// Waits for every task when dropped, also during unwinding.
struct JoinGuard<'s, P: Parking> {
    helpers: &'s Helpers<'s, P>,
}

impl<P: Parking> Drop for JoinGuard<'_, P> {
    fn drop(&mut self) {
        // If the platform's `park` unwinds, the borrowed frame must not be left: a second panic
        // aborts.
        let abort_on_unwind = AbortOnUnwind;
        while self.helpers.outstanding() != 0 {
            self.helpers.platform.sleep();
        }
        core::mem::forget(abort_on_unwind);
    }
}

/// Aborts if it is dropped during unwinding.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        panic!("ktask: Platform::park unwound while helpers were running");
    }
}

/// Calls `body`, which may hand out tasks of `family` that call `work`. Returns the result of
/// `body`, after every task has been run or dropped.
pub(crate) fn scope<P: Parking, R>(
    platform: &P,
    family: u64,
    work: &Work<'_>,
    body: impl FnOnce(&Helpers<'_, P>) -> R,
) -> R {
    let work = NonNull::from(work);
    // SAFETY: only the lifetime changes, not the layout. Only tasks use the pointer; they do not
    // outlive this call (module proof), and `work` does.
    let work = unsafe { core::mem::transmute::<NonNull<Work<'_>>, NonNull<Work<'static>>>(work) };
    let shared = Shared { outstanding: AtomicUsize::new(0), caller: platform.this_thread(), work };
    let helpers = Helpers { shared: &shared, platform, family };
    let _join = JoinGuard { helpers: &helpers };
    body(&helpers)
}

/// A value behind a spin lock, for use outside the path from chunk to chunk: to keep an error or
/// merge a result.
#[derive(Debug, Default)]
pub(crate) struct Lock<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives one thread at a time access to the value, so sharing the lock only sends
// the value between threads, and `T: Send`.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { held: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Calls `f` with the value. `f` should take no more than a few instructions.
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

    /// Calls `f` with the value, or gives `f` back if the lock is held.
    pub(crate) fn try_with<R, F: FnOnce(&mut T) -> R>(&self, f: F) -> Result<R, F> {
        // Acquire pairs with the Release store in `Unlock`.
        if self.held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return Err(f);
        }
        let _unlock = Unlock { held: &self.held };
        // SAFETY: this thread's exchange changed `held` from false to true, and no other thread
        // passes the exchange until `_unlock` resets it: the reference is unique.
        Ok(self.value.with_mut(|value| f(unsafe { &mut *value })))
    }

    /// Returns the value of a lock that is no longer shared.
    pub(crate) fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

/// Releases the lock when dropped, also when the closure unwinds.
struct Unlock<'l> {
    held: &'l AtomicBool,
}

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        // Release pairs with the Acquire exchange in `Lock::try_with`.
        self.held.store(false, Ordering::Release);
    }
}

/// Returns the CPU time of the calling thread in nanoseconds, on operating systems where this
/// crate can read it. The standard library has no function for it.
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
        // SAFETY: the declaration is that of POSIX for this target. The standard library links the
        // C library, which defines the function.
        unsafe extern "C" {
            fn clock_gettime(clock: i32, time: *mut Timespec) -> i32;
        }
        let mut time = Timespec { seconds: 0, nanoseconds: 0 };
        // SAFETY: the pointer is to a writable timespec that outlives the call.
        if unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &raw mut time) } == 0 {
            let seconds_ns = u64::try_from(time.seconds).ok()?.checked_mul(1_000_000_000)?;
            return seconds_ns.checked_add(u64::try_from(time.nanoseconds).ok()?);
        }
    }
    None
}
