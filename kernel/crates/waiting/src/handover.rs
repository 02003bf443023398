//! A mutex's owner and who waits for it. The mutex is handed to the thread that
//! has waited longest: nobody starves, and a wake-up cannot be lost to a
//! thread that comes by. Waiting threads lend their weight to the owner.

use runqueue::{List, Tid};

use crate::threads::{Locked, Threads};

/// Threads that can own something.
pub trait Owners: Threads {
    /// A thread that is kept, whether it has ended or not.
    type Owner: Clone;

    /// The calling thread.
    fn this_thread(&self) -> Self::Owner;

    /// The thread numbered `tid`, which waits: it lives.
    fn waiting_thread(&self, tid: Tid) -> Self::Owner;

    /// The number of a thread.
    fn tid_of(&self, owner: &Self::Owner) -> Tid;

    /// The thread numbered `waiting`, which waits here or is the calling one, waits from now on for `owner`, or no more.
    fn set_donee(&self, waiting: Tid, owner: Option<&Self::Owner>);
}

/// Owner and waiting threads of a mutex, behind a lock. The functions take that
/// lock, and block with it open.
#[derive(Debug)]
pub struct HandOver<O> {
    owner: Option<O>,
    waiting: List,
}

impl<O: Clone> HandOver<O> {
    /// Of a mutex that is open.
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

/// Makes the calling thread the owner, if there is none.
pub fn try_lock<T: Owners>(state: &impl Locked<HandOver<T::Owner>>, threads: &T) -> bool {
    state.with(|state| {
        let is_open = state.owner.is_none();
        if is_open {
            state.owner = Some(threads.this_thread());
        }
        is_open
    })
}

/// Waits until the calling thread is the owner, but at most until `deadline_ns`; whether it is.
///
/// # Panics
/// When it is already: it would wait for itself.
pub fn lock<T: Owners>(
    state: &impl Locked<HandOver<T::Owner>>,
    threads: &T,
    deadline_ns: Option<u64>,
) -> bool {
    let me = threads.me();
    let has_it = state.with(|state| {
        let Some(owner) = &state.owner else {
            state.owner = Some(threads.this_thread());
            return true;
        };
        assert!(threads.tid_of(owner) != me, "thread {me} waits for a mutex that it holds");
        // Under the lock: whoever hands it over finds us in the list with our donation made.
        threads.set_donee(me, Some(owner));
        state.waiting.push_back(threads, me);
        false
    });
    if has_it {
        return true;
    }
    loop {
        threads.park(deadline_ns);
        let ending = state.with(|state| {
            if state.is_owner(threads, me) {
                return Some(true);
            }
            threads.is_past(deadline_ns).then(|| {
                state.waiting.remove(threads, me);
                threads.set_donee(me, None);
                false
            })
        });
        if let Some(has_it) = ending {
            return has_it;
        }
    }
}

/// Hands the mutex to the thread that has waited longest; open if none waits. The
/// calling thread is the owner.
pub fn unlock<T: Owners>(state: &impl Locked<HandOver<T::Owner>>, threads: &T) {
    state.with(|state| {
        let Some(next) = state.waiting.pop_front(threads) else {
            state.owner = None;
            return;
        };
        // In the list until now, so it waits here, and lives.
        let owner = threads.waiting_thread(next);
        threads.set_donee(next, None);
        for waiter in state.waiting.iter(threads) {
            threads.set_donee(waiter, Some(&owner));
        }
        state.owner = Some(owner);
        // Under the lock: the calling thread has given back what it was lent, and were it switched away from now, both
        // would wait behind everyone whom the next one's weight is to come before.
        threads.unpark(next);
    });
}
