//! The crate's only unsafe code: a borrow lent to other threads, and a lock.
//!
//! # Why a helper may use data on the caller's stack
//!
//! [`scope`] puts a [`Shared`] on the caller's stack and hands out [`RawTask`]s that point to
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

/// Blocking and waking threads. Every [`Platform`](crate::Platform) has it.
pub(crate) trait Threads: Clone + Send + Sync + 'static {
    /// As [`Platform::Thread`](crate::Platform::Thread).
    type Handle: Clone + Send + Sync + 'static;

    /// Returns a handle to the calling thread.
    fn this_thread(&self) -> Self::Handle;

    /// Blocks the calling thread until it is woken. Spurious returns are allowed.
    fn block(&self);

    /// Wakes `thread`, or makes its next [`block`](Self::block) return at once.
    fn wake(&self, thread: &Self::Handle);
}

/// A helper's work, called with its worker number. It must not unwind; if it does, `outstanding`
/// is still correct.
type Work<'s> = dyn Fn(usize) + Sync + 's;

/// The state of a scope, on the caller's stack.
struct Shared<T: Threads> {
    /// Tasks that exist: queued, running, or being dropped.
    outstanding: AtomicUsize,
    /// The thread to wake when no task is left.
    caller: T::Handle,
    /// Borrowed for the duration of the scope. The lifetime is erased; see the module's proof.
    work: NonNull<Work<'static>>,
}

/// The right of one task to use a scope, counted in `outstanding`. Dropping it gives up the right.
struct Ticket<T: Threads> {
    shared: NonNull<Shared<T>>,
    platform: T,
}

impl<T: Threads> Drop for Ticket<T> {
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
// `T::Handle: Sync`, and a pointer to a closure that is `Sync`. `platform` is `Send`.
unsafe impl<T: Threads> Send for Ticket<T> {}

/// A task of a scope: a counted borrow of the caller's frame.
pub(crate) struct RawTask<T: Threads> {
    ticket: Ticket<T>,
    worker: u32,
    family: u64,
}

impl<T: Threads> RawTask<T> {
    /// Calls the scope's work.
    pub(crate) fn run(self) {
        // SAFETY: the ticket still counts in `outstanding`, so the scope is alive (steps 1 and 2),
        // and with it the closure that it borrows. The reference is not used after `ticket` is
        // dropped, at the end of this function or by unwinding.
        let work = unsafe { self.ticket.shared.as_ref().work.as_ref() };
        work(self.worker as usize);
    }

    /// Returns the worker number.
    pub(crate) fn worker(&self) -> u32 {
        self.worker
    }

    /// Returns the number that all tasks of a job and of the jobs nested in it share.
    pub(crate) fn family(&self) -> u64 {
        self.family
    }
}

/// Makes the tasks of one scope.
pub(crate) struct Helpers<'s, T: Threads> {
    shared: &'s Shared<T>,
    platform: &'s T,
    family: u64,
}

impl<T: Threads> Helpers<'_, T> {
    /// Makes a task that calls the scope's work with `worker`.
    pub(crate) fn task(&self, worker: u32) -> RawTask<T> {
        // Relaxed: the thread that increments later waits for 0 itself (or holds a task), so it
        // cannot read 0 in between.
        self.shared.outstanding.fetch_add(1, Ordering::Relaxed);
        let shared = NonNull::from(self.shared);
        let ticket = Ticket { shared, platform: self.platform.clone() };
        RawTask { ticket, worker, family: self.family }
    }

    /// Returns the number of tasks that exist. After 0, all effects of all helpers are visible.
    pub(crate) fn outstanding(&self) -> usize {
        // Acquire pairs with the Release decrement in `Ticket::drop`.
        self.shared.outstanding.load(Ordering::Acquire)
    }
}

/// Waits for every task when dropped, also during unwinding.
struct JoinGuard<'s, T: Threads> {
    helpers: &'s Helpers<'s, T>,
}

impl<T: Threads> Drop for JoinGuard<'_, T> {
    fn drop(&mut self) {
        // If the platform's `park` unwinds, the borrowed frame must not be left: a second panic
        // aborts.
        let abort_on_unwind = AbortOnUnwind;
        while self.helpers.outstanding() != 0 {
            self.helpers.platform.block();
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
pub(crate) fn scope<T: Threads, R>(
    platform: &T,
    family: u64,
    work: &Work<'_>,
    body: impl FnOnce(&Helpers<'_, T>) -> R,
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
