//! A lock that is waited for by parking, and handed over.
//!
//! A holder may be stopped: preempted, or of a lower priority than the waiter. A waiter that polls
//! would then keep the CPU that the holder needs, for ever where priorities are strict. So a waiter
//! polls a bounded number of times, then queues and parks.
//!
//! # Why it is sound
//!
//! `state` is [`FREE`], or [`HELD`], or the last of a stack of [`Waiter`]s that arrived while the
//! lock was held. It leaves `FREE` by one thread's exchange, and the thread that made it is the
//! *holder*. The holder gives the lock up in [`release`](TurnLock::release): it makes another thread
//! the holder by setting `is_granted` of that thread's waiter, or exchanges `HELD` for `FREE`. So
//! there is one holder at most.
//!
//! The value, the turn and the list `waiting` are used by the holder alone. A waiter lies on the stack
//! of a thread that waits for its `is_granted`, which is set once, as the last access of any other
//! thread to that waiter; by then it is in no list. So each waiter in a list is alive. A platform whose
//! `park` unwinds aborts the program, as in `lending`.

use core::ptr;

use super::parking::{AbortOnUnwind, Parking};
use crate::sync::{AtomicBool, AtomicPtr, LOCK_POLLS, Ordering, UnsafeCell, spin_loop};

/// A value behind a lock, with an optional order: each value of a turn may be waited for.
pub(crate) struct TurnLock<P: Parking, T> {
    state: AtomicPtr<Waiter<P>>,
    inner: UnsafeCell<Inner<P, T>>,
}

struct Inner<P: Parking, T> {
    value: T,
    /// The turn that is next. `None` when order is given up: every waiter may go on.
    turn: Option<u64>,
    /// Waiters that have been taken from `state`, the first to be served first; each points to the
    /// next.
    waiting: *mut Waiter<P>,
}

/// A thread that waits, on its stack.
struct Waiter<P: Parking> {
    /// The turn for which it waits; `None` for any.
    turn: Option<u64>,
    thread: P::Thread,
    /// In the stack of arrivals: the waiter that arrived before. In `waiting`: the one behind.
    next: UnsafeCell<*mut Waiter<P>>,
    is_granted: AtomicBool,
}

/// The state of a lock that no thread holds.
const fn free<P: Parking>() -> *mut Waiter<P> {
    ptr::null_mut()
}

/// The state of a lock that is held, and for which no thread has queued since.
const fn held<P: Parking>() -> *mut Waiter<P> {
    // No waiter has this address.
    ptr::without_provenance_mut(1)
}

// SAFETY: the holder alone uses `inner`, one thread at a time, so that sharing the lock only sends the
// value between threads, and `T: Send`. Waiters are shared: their thread handle is `Sync`, the flag is
// an atomic, and `next` belongs to the holder once the waiter is in a list.
unsafe impl<P: Parking, T: Send> Sync for TurnLock<P, T> {}
// SAFETY: as above. A lock that is moved is not borrowed: no thread waits for it, and `waiting` is
// empty.
unsafe impl<P: Parking, T: Send> Send for TurnLock<P, T> {}

impl<P: Parking, T> TurnLock<P, T> {
    /// Makes a lock whose first turn is `turn`.
    pub(crate) fn new(value: T, turn: u64) -> Self {
        let inner = Inner { value, turn: Some(turn), waiting: ptr::null_mut() };
        Self { state: AtomicPtr::new(free()), inner: UnsafeCell::new(inner) }
    }

    /// Calls `f` with the value.
    pub(crate) fn with<R>(&self, platform: &P, f: impl FnOnce(&mut T) -> R) -> R {
        let _release = self.acquire(platform, None);
        // SAFETY: this thread is the holder until `_release` is dropped, so the reference is unique.
        self.inner.with_mut(|inner| f(unsafe { &mut (*inner).value }))
    }

    /// Calls `f` with the value when it is the turn of `turn`; the next turn is then `next`. Each turn is
    /// waited for by one thread at most.
    ///
    /// If `f` unwinds, the order is given up: this returns `None` for all threads that wait, and from
    /// then on.
    pub(crate) fn in_turn<R>(
        &self,
        platform: &P,
        turn: u64,
        next: u64,
        f: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let _release = self.acquire(platform, Some(turn));
        self.inner.with_mut(|inner| {
            // SAFETY: as in `with`.
            let inner = unsafe { &mut *inner };
            // Given up unless `f` returns.
            inner.turn.take()?;
            let result = f(&mut inner.value);
            inner.turn = Some(next);
            Some(result)
        })
    }

    /// Returns the value of a lock that is no longer shared.
    pub(crate) fn into_inner(self) -> T {
        self.inner.into_inner().value
    }

    /// Makes the calling thread the holder, at `turn` if there is one.
    fn acquire<'l>(&'l self, platform: &'l P, turn: Option<u64>) -> Release<'l, P, T> {
        #[allow(clippy::reversed_empty_ranges, reason = "the model checker has no polls")]
        for _ in 0..LOCK_POLLS {
            // Relaxed: `try_acquire` synchronises.
            if self.state.load(Ordering::Relaxed) == free() && self.try_acquire() {
                if self.is_turn_of(turn) {
                    return Release { lock: self, platform };
                }
                self.release(platform);
            }
            spin_loop();
        }
        let waiter = Waiter {
            turn,
            thread: platform.this_thread(),
            next: UnsafeCell::new(ptr::null_mut()),
            is_granted: AtomicBool::new(false),
        };
        // From here to the grant other threads use `waiter`.
        let abort_on_unwind = AbortOnUnwind;
        self.queue(platform, ptr::from_ref(&waiter).cast_mut());
        // Acquire pairs with the Release in `release`: the last holder's changes are visible.
        while !waiter.is_granted.load(Ordering::Acquire) {
            platform.sleep();
        }
        abort_on_unwind.disarm();
        Release { lock: self, platform }
    }

    /// Makes the calling thread the holder if no thread is.
    fn try_acquire(&self) -> bool {
        // Acquire pairs with the Release in `release`.
        self.state.compare_exchange(free(), held(), Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Queues `waiter` behind the holder. If there is none, the calling thread holds the lock for a
    /// moment and serves the waiters that are there, `waiter` among them.
    fn queue(&self, platform: &P, waiter: *mut Waiter<P>) {
        // Relaxed: the exchange decides.
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let is_free = state == free();
            let before = if is_free || state == held() { ptr::null_mut() } else { state };
            // SAFETY: the waiter is alive: it is on the calling thread's stack. No other thread knows
            // it yet.
            unsafe { (*waiter).next.with_mut(|next| *next = before) };
            // AcqRel: the holder that takes the arrivals sees the waiter; if this thread becomes the
            // holder, it sees what the last one did.
            match self.state.compare_exchange(state, waiter, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if is_free => return self.release(platform),
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
    }

    /// Holder: returns whether it is the turn of `turn`.
    fn is_turn_of(&self, turn: Option<u64>) -> bool {
        // SAFETY: the calling thread is the holder.
        self.inner.with_mut(|inner| is_turn(unsafe { (*inner).turn }, turn))
    }

    /// Holder: hands the lock to the first waiter whose turn it is, or frees it.
    fn release(&self, platform: &P) {
        loop {
            self.take_arrivals();
            if let Some(waiter) = self.take_next() {
                // SAFETY: the waiter was in a list and has not been granted the lock, so it is alive
                // until the store below, which is the last access to it.
                let thread = unsafe { (*waiter).thread.clone() };
                // Release pairs with the Acquire in `acquire`.
                // SAFETY: as above. The flag is set once, and nothing uses the waiter after that.
                unsafe { (*waiter).is_granted.store(true, Ordering::Release) };
                return platform.wake(&thread);
            }
            // Release pairs with the Acquire in `try_acquire` and `queue`. It fails if a waiter has
            // arrived.
            if self.state.compare_exchange(held(), free(), Ordering::Release, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    /// Holder: moves the waiters that have arrived to the end of `waiting`, first come first.
    fn take_arrivals(&self) {
        // Acquire pairs with the Release in `queue`.
        let mut arrival = self.state.swap(held(), Ordering::AcqRel);
        if arrival == held() {
            return;
        }
        let mut first = ptr::null_mut();
        while !arrival.is_null() {
            // SAFETY: waiters in the stack are alive, and belong to the holder now.
            arrival = unsafe {
                let before = (*arrival).next.with_mut(|next| core::mem::replace(&mut *next, first));
                first = arrival;
                before
            };
        }
        // SAFETY: the calling thread is the holder, and the waiters in the list are alive.
        self.inner.with_mut(|inner| unsafe {
            let mut link: *mut *mut Waiter<P> = &raw mut (*inner).waiting;
            while !(*link).is_null() {
                link = (**link).next.with_mut(|next| next);
            }
            *link = first;
        });
    }

    /// Holder: takes the first waiter whose turn it is out of `waiting`.
    fn take_next(&self) -> Option<*mut Waiter<P>> {
        // SAFETY: the calling thread is the holder, and the waiters in the list are alive.
        self.inner.with_mut(|inner| unsafe {
            let turn = (*inner).turn;
            let mut link: *mut *mut Waiter<P> = &raw mut (*inner).waiting;
            while !(*link).is_null() {
                let waiter = *link;
                let next = (*waiter).next.with_mut(|next| next);
                if is_turn(turn, (*waiter).turn) {
                    *link = *next;
                    return Some(waiter);
                }
                link = next;
            }
            None
        })
    }
}

/// Returns whether a thread that waits for `wanted` may go on when the turn is `turn`.
fn is_turn(turn: Option<u64>, wanted: Option<u64>) -> bool {
    turn.is_none() || wanted.is_none() || turn == wanted
}

/// Releases the lock when dropped, also when the closure unwinds.
struct Release<'l, P: Parking, T> {
    lock: &'l TurnLock<P, T>,
    platform: &'l P,
}

impl<P: Parking, T> Drop for Release<'_, P, T> {
    fn drop(&mut self) {
        self.lock.release(self.platform);
    }
}
