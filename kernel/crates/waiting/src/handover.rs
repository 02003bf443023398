//! A mutex with direct hand-over. On release, the thread that has waited longest becomes the owner. So no thread
//! starves, and a running thread cannot take the mutex before the thread that was woken for it. Waiting threads donate
//! their weight to the owner.

use runqueue::{List, Tid};

use crate::threads::{Locked, Threads};

/// Threads that can own a mutex.
pub trait Owners: Threads {
    /// A handle that keeps a thread's record alive, even after the thread has ended.
    type Owner: Clone;

    /// Returns the calling thread.
    fn this_thread(&self) -> Self::Owner;

    /// Returns the thread numbered `tid`. It is waiting, so it has not ended.
    fn waiting_thread(&self, tid: Tid) -> Self::Owner;

    /// Returns the number of a thread.
    fn tid_of(&self, owner: &Self::Owner) -> Tid;

    /// Makes the thread numbered `waiting` donate its weight to `owner`, or to no thread. The thread waits here, or is the
    /// calling thread.
    fn set_donee(&self, waiting: Tid, owner: Option<&Self::Owner>);
}

/// The owner and the waiting threads of a mutex. A lock protects them; the functions take it, and release it before they
/// block.
#[derive(Debug)]
pub struct HandOver<O> {
    owner: Option<O>,
    waiting: List,
}

impl<O: Clone> HandOver<O> {
    /// Creates the state of a mutex that is free.
    #[must_use]
    pub const fn new() -> Self {
        Self { owner: None, waiting: List::new() }
    }

    fn is_owner(&self, threads: &impl Owners<Owner = O>, tid: Tid) -> bool {
        self.owner.as_ref().is_some_and(|owner| threads.tid_of(owner) == tid)
    }
}

impl<O: Clone> Default for HandOver<O> {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes the calling thread the owner if the mutex is free. Returns whether it did.
pub fn try_lock<T: Owners>(state: &impl Locked<HandOver<T::Owner>>, threads: &T) -> bool {
    state.with(|state| {
        let is_free = state.owner.is_none();
        if is_free {
            state.owner = Some(threads.this_thread());
        }
        is_free
    })
}

/// Waits until the calling thread is the owner, or until `deadline_ns`. Returns whether it is the owner.
///
/// # Panics
/// When the calling thread is the owner already: it would wait for itself.
pub fn lock<T: Owners>(
    state: &impl Locked<HandOver<T::Owner>>,
    threads: &T,
    deadline_ns: Option<u64>,
) -> bool {
    let me = threads.me();
    let is_owner = state.with(|state| {
        let Some(owner) = &state.owner else {
            state.owner = Some(threads.this_thread());
            return true;
        };
        assert!(threads.tid_of(owner) != me, "thread {me} waits for a mutex that it holds");
        // Under the lock: a thread that hands the mutex over finds us in the list with our donation made.
        threads.set_donee(me, Some(owner));
        state.waiting.push_back(threads, me);
        false
    });
    if is_owner {
        return true;
    }
    loop {
        threads.park(deadline_ns);
        let result = state.with(|state| {
            if state.is_owner(threads, me) {
                return Some(true);
            }
            threads.is_past(deadline_ns).then(|| {
                state.waiting.remove(threads, me);
                threads.set_donee(me, None);
                false
            })
        });
        if let Some(is_owner) = result {
            return is_owner;
        }
    }
}

/// Hands the mutex to the thread that has waited longest, or frees it. The calling thread is the owner.
pub fn unlock<T: Owners>(state: &impl Locked<HandOver<T::Owner>>, threads: &T) {
    state.with(|state| {
        let Some(next) = state.waiting.pop_front(threads) else {
            state.owner = None;
            return;
        };
        // The thread was in the list until now, so it waits here and has not ended.
        let owner = threads.waiting_thread(next);
        threads.set_donee(next, None);
        for waiter in state.waiting.iter(threads) {
            threads.set_donee(waiter, Some(&owner));
        }
        state.owner = Some(owner);
        // Under the lock, which keeps interrupts off: the calling thread has lost the donations. If it were preempted
        // before the wake-up, both threads would wait behind threads that the new owner's weight should precede.
        threads.unpark(next);
    });
}
