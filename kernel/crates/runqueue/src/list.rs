//! A FIFO list of threads that allocates nothing.
//!
//! Each thread holds one [`Link`] for each kind of list that it may be in: its neighbours there. The list itself is a few
//! words. The owner serializes access: a list and the links of its members are under one lock, or belong to one CPU. Every
//! operation takes the same few instructions, whatever the length: lists are under spin locks.

use core::fmt;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// The number of a thread; `u32::MAX` is never one.
///
/// Stored as one more than the number, so that `Option<Tid>`, of which links and roots consist, is one word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(NonZeroU32);

impl Tid {
    /// The value of [`to_raw`](Self::to_raw) for no thread.
    pub const NONE_RAW: u32 = u32::MAX;

    /// Makes the number of a thread; `None` for [`NONE_RAW`](Self::NONE_RAW).
    #[inline]
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number.wrapping_add(1)) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Returns the number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get().wrapping_sub(1)
    }

    /// Returns the number as an index into a table of threads.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.get() as usize
    }

    /// Encodes a link as one `u32`; [`new`](Self::new) decodes it.
    #[inline]
    #[must_use]
    pub const fn to_raw(link: Option<Self>) -> u32 {
        match link {
            Some(tid) => tid.get(),
            None => Self::NONE_RAW,
        }
    }
}

impl fmt::Debug for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tid({})", self.get())
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// A thread's place in one list.
///
/// Relaxed throughout: whatever guards the list orders the accesses.
#[derive(Debug)]
pub struct Link {
    next: AtomicU32,
    previous: AtomicU32,
    is_in_list: AtomicBool,
    /// Order of arrival.
    ticket: AtomicU64,
}

impl Link {
    /// A link in no list.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            next: AtomicU32::new(Tid::NONE_RAW),
            previous: AtomicU32::new(Tid::NONE_RAW),
            is_in_list: AtomicBool::new(false),
            ticket: AtomicU64::new(0),
        }
    }

    fn next(&self) -> Option<Tid> {
        Tid::new(self.next.load(Relaxed))
    }

    fn previous(&self) -> Option<Tid> {
        Tid::new(self.previous.load(Relaxed))
    }

    fn set_next(&self, next: Option<Tid>) {
        self.next.store(Tid::to_raw(next), Relaxed);
    }

    fn set_previous(&self, previous: Option<Tid>) {
        self.previous.store(Tid::to_raw(previous), Relaxed);
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the links of one kind of list are kept: one for each thread.
///
/// A thread has as many links as there are lists that it can be in at one time; each kind of list has its own
/// implementation.
pub trait Links {
    /// Returns the link of `tid`.
    fn link(&self, tid: Tid) -> &Link;
}

/// A doubly linked FIFO list of threads: a wait queue.
///
/// Every call on one list takes the same [`Links`]. A thread is in at most one list of a kind. The caller knows which: the
/// link says only whether it is in one.
#[derive(Debug)]
pub struct List {
    head: Option<Tid>,
    tail: Option<Tid>,
    len: usize,
    /// The ticket of the next thread that arrives. It never wraps: 2^64 arrivals take centuries.
    arrivals: u64,
}

impl List {
    /// An empty list.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self { head: None, tail: None, len: 0, arrivals: 0 }
    }

    /// Returns the number of threads in the list.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the list is empty.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the first thread, which stays.
    #[inline]
    #[must_use]
    pub const fn front(&self) -> Option<Tid> {
        self.head
    }

    /// Returns the number of threads that have ever been appended. It marks a moment for
    /// [`pop_front_before`](Self::pop_front_before).
    #[inline]
    #[must_use]
    pub const fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// Appends `tid`, which is in no list of this kind. O(1).
    pub fn push_back(&mut self, links: &impl Links, tid: Tid) {
        let link = links.link(tid);
        let was_in_list = link.is_in_list.load(Relaxed);
        debug_assert!(!was_in_list, "thread {tid} is in a list already, should be in none");
        link.is_in_list.store(true, Relaxed);
        link.ticket.store(self.arrivals, Relaxed);
        link.set_next(None);
        link.set_previous(self.tail);
        match self.tail {
            Some(tail) => links.link(tail).set_next(Some(tid)),
            None => self.head = Some(tid),
        }
        self.tail = Some(tid);
        self.len += 1;
        self.arrivals += 1;
    }

    /// Removes the first thread. O(1).
    pub fn pop_front(&mut self, links: &impl Links) -> Option<Tid> {
        let tid = self.head?;
        self.unlink(links, tid);
        Some(tid)
    }

    /// Removes the first thread, if it was appended when [`arrivals`](Self::arrivals) was less than `mark`. O(1).
    pub fn pop_front_before(&mut self, links: &impl Links, mark: u64) -> Option<Tid> {
        if self.is_front_before(links, mark) { self.pop_front(links) } else { None }
    }

    /// Whether [`pop_front_before`](Self::pop_front_before) would remove a thread. O(1).
    #[must_use]
    pub fn is_front_before(&self, links: &impl Links, mark: u64) -> bool {
        self.head.is_some_and(|tid| links.link(tid).ticket.load(Relaxed) < mark)
    }

    /// Removes `tid`, which is in this list or in none of this kind; false when it is in none. O(1).
    pub fn remove(&mut self, links: &impl Links, tid: Tid) -> bool {
        let is_in_list = self.contains(links, tid);
        if is_in_list {
            self.unlink(links, tid);
        }
        is_in_list
    }

    /// Whether `tid`, which is in this list or in none of this kind, is in this one. O(1).
    #[must_use]
    pub fn contains(&self, links: &impl Links, tid: Tid) -> bool {
        links.link(tid).is_in_list.load(Relaxed)
    }

    /// Iterates over the threads in order.
    pub fn iter(&self, links: &impl Links) -> impl Iterator<Item = Tid> {
        core::iter::successors(self.head, move |&tid| links.link(tid).next())
    }

    /// Removes `tid`, which is in this list.
    fn unlink(&mut self, links: &impl Links, tid: Tid) {
        let link = links.link(tid);
        let (previous, next) = (link.previous(), link.next());
        match previous {
            Some(previous) => links.link(previous).set_next(next),
            None => self.head = next,
        }
        match next {
            Some(next) => links.link(next).set_previous(previous),
            None => self.tail = previous,
        }
        link.set_next(None);
        link.set_previous(None);
        link.is_in_list.store(false, Relaxed);
        self.len -= 1;
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}
