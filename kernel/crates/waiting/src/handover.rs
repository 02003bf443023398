//! A mutex with direct hand-over. On release, the thread that has waited longest becomes the owner. So no thread
//! starves, and a running thread cannot take the mutex before the thread that was woken for it.
//!
//! Waiting threads donate their weight to the owner. They do so through a *turnstile* (the idea and the name are from
//! Solaris): they donate to it, and it donates to the owner. On release only the turnstile turns to the next owner, so a
//! release takes the same few instructions whatever the number of waiting threads.
//!
//! A thread has one turnstile while it waits for no mutex. The first thread that waits for a mutex lends it its own.
//! While threads wait, one of them lacks a turnstile: that in use. A thread that ceases to wait and lacks one takes
//! that of the first thread that still waits; the last one takes back that in use. So waiting allocates nothing.

use runqueue::{List, Tid};

use crate::donation::{Changed, Donors, redirect};
use crate::threads::{Locked, Threads};

/// Threads that can own a mutex.
pub trait Owners: Threads + Donors {
    /// A handle that keeps a thread's record alive, even after the thread has ended.
    type Owner: Clone;

    /// Returns the calling thread.
    fn this_thread(&self) -> Self::Owner;

    /// Returns the thread numbered `tid`. It is waiting, so it has not ended.
    fn waiting_thread(&self, tid: Tid) -> Self::Owner;

    /// Returns the number of a thread.
    fn tid_of(&self, owner: &Self::Owner) -> Tid;

    /// Returns the thread as one that donates.
    fn donor(&self, owner: &Self::Owner) -> Self::Thread;

    /// Runs `work` on the turnstile that the thread has. The thread is the calling one, or waits for a mutex whose state
    /// the caller has locked.
    fn with_turnstile<R>(&self, owner: &Self::Owner, work: impl FnOnce(&mut Option<Self::Thread>) -> R) -> R;
}

/// The owner and the waiting threads of a mutex. A lock protects them; the functions take it, and release it before they
/// block.
#[derive(Debug)]
pub struct HandOver<O, T> {
    owner: Option<O>,
    waiting: List,
    /// There is one while threads wait.
    turnstile: Option<T>,
}

/// The state of a mutex of the threads `T`.
type State<T> = HandOver<<T as Owners>::Owner, <T as Donors>::Thread>;

impl<O: Clone, T: Clone> HandOver<O, T> {
    /// Creates the state of a mutex that is free.
    #[must_use]
    pub const fn new() -> Self {
        Self { owner: None, waiting: List::new(), turnstile: None }
    }

    fn is_owner(&self, threads: &impl Owners<Owner = O>, tid: Tid) -> bool {
        self.owner.as_ref().is_some_and(|owner| threads.tid_of(owner) == tid)
    }

    /// Queues `thread`, which donates to the owner from now on: at once to the turnstile, to the owner when the change is
    /// passed on.
    fn enqueue(&mut self, threads: &impl Owners<Owner = O, Thread = T>, thread: &O) -> Changed<T> {
        let turnstile = self.turnstile.get_or_insert_with(|| {
            let own = threads.with_turnstile(thread, Option::take);
            own.expect("a thread that waits for no mutex has a turnstile")
        });
        if self.waiting.is_empty() {
            let owner = self.owner.as_ref().map(|owner| threads.donor(owner));
            // Nothing to pass on: the turnstile has no donor yet.
            let _ = redirect(threads, turnstile, owner.as_ref());
        }
        self.waiting.push_back(threads, threads.tid_of(thread));
        redirect(threads, &threads.donor(thread), Some(turnstile))
    }

    /// Removes `thread`, which waits no longer. It donates no more.
    fn dequeue(&mut self, threads: &impl Owners<Owner = O, Thread = T>, thread: &O) -> [Changed<T>; 2] {
        self.waiting.remove(threads, threads.tid_of(thread));
        let from_thread = redirect(threads, &threads.donor(thread), None);
        let from_turnstile = match &self.turnstile {
            Some(turnstile) if self.waiting.is_empty() => redirect(threads, turnstile, None),
            _ => Changed::none(),
        };
        self.return_turnstile(threads, thread);
        [from_thread, from_turnstile]
    }

    /// Makes the thread that has waited longest the owner, to which the others then donate; or frees the mutex.
    fn hand_over(&mut self, threads: &impl Owners<Owner = O, Thread = T>) -> [Changed<T>; 2] {
        let next = self.waiting.pop_front(threads);
        let (Some(next), Some(turnstile)) = (next, self.turnstile.clone()) else {
            self.owner = None;
            return [Changed::none(), Changed::none()];
        };
        // The thread was in the list until now, so it waits here and has not ended.
        let owner = threads.waiting_thread(next);
        let donor = threads.donor(&owner);
        // In this order: no thread donates to itself at any time.
        let from_last = redirect(threads, &turnstile, None);
        // Nothing to pass on: the turnstile has no donee.
        let _ = redirect(threads, &donor, None);
        let to_next = match self.waiting.is_empty() {
            true => Changed::none(),
            false => redirect(threads, &turnstile, Some(&donor)),
        };
        self.return_turnstile(threads, &owner);
        self.owner = Some(owner);
        // Under the lock, which keeps interrupts off: the calling thread has lost the donations. If it were preempted
        // before the wake-up, both threads would wait behind threads that the new owner's weight should precede.
        threads.unpark(next);
        [from_last, to_next]
    }

    /// Gives `thread`, which has left the list and donates no more, a turnstile if it lacks one.
    fn return_turnstile(&mut self, threads: &impl Owners<Owner = O, Thread = T>, thread: &O) {
        if threads.with_turnstile(thread, |own| own.is_some()) {
            return;
        }
        let taken = match self.waiting.front() {
            Some(first) => threads.with_turnstile(&threads.waiting_thread(first), Option::take),
            None => self.turnstile.take(),
        };
        threads.with_turnstile(thread, |own| *own = taken);
    }
}

impl<O: Clone, T: Clone> Default for HandOver<O, T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes the calling thread the owner if the mutex is free. Returns whether it did.
pub fn try_lock<T: Owners>(state: &impl Locked<State<T>>, threads: &T) -> bool {
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
pub fn lock<T: Owners>(state: &impl Locked<State<T>>, threads: &T, deadline_ns: Option<u64>) -> bool {
    let me = threads.me();
    let waits = state.with(|state| {
        let Some(owner) = &state.owner else {
            state.owner = Some(threads.this_thread());
            return None;
        };
        assert!(threads.tid_of(owner) != me, "thread {me} waits for a mutex that it holds");
        // Under the lock: a thread that hands the mutex over finds us in the list with our donation made.
        Some(state.enqueue(threads, &threads.this_thread()))
    });
    let Some(changed) = waits else { return true };
    changed.pass_on(threads);
    loop {
        threads.park(deadline_ns);
        let ended = state.with(|state| {
            if state.is_owner(threads, me) {
                return Some(None);
            }
            threads.is_past(deadline_ns).then(|| Some(state.dequeue(threads, &threads.this_thread())))
        });
        match ended {
            None => {}
            Some(None) => return true,
            Some(Some(changed)) => {
                changed.into_iter().for_each(|changed| changed.pass_on(threads));
                return false;
            }
        }
    }
}

/// Hands the mutex to the thread that has waited longest, or frees it. The calling thread is the owner.
///
/// The lock is held for a few instructions, whatever the number of waiting threads.
pub fn unlock<T: Owners>(state: &impl Locked<State<T>>, threads: &T) {
    let changed = state.with(|state| state.hand_over(threads));
    changed.into_iter().for_each(|changed| changed.pass_on(threads));
}
