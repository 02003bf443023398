//! A FIFO list of threads that allocates nothing.
//!
//! Each thread holds one number for each list that it may be in: its successor there. The list itself is three words. The
//! owner serializes access: a list and the links of its members are under one lock, or belong to one CPU.

use core::fmt;
use core::num::NonZeroU32;

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

/// Where the links of one kind of list are kept: one `u32` per thread.
///
/// A thread has as many links as there are lists that it can be in at one time; each kind of list has its own
/// implementation. Relaxed atomics are enough for the links: whatever guards the list orders the accesses.
pub trait Links {
    /// Returns the thread after `tid`; `None` for the last thread and for a thread in no list.
    fn next(&self, tid: Tid) -> Option<Tid>;

    /// Sets the thread after `tid`.
    fn set_next(&self, tid: Tid, next: Option<Tid>);
}

/// A singly linked FIFO list of threads: a wait queue.
///
/// Every call on one list takes the same [`Links`]. A thread is in at most one list of a kind; debug builds check that where
/// it costs O(1).
#[derive(Debug)]
pub struct List {
    head: Option<Tid>,
    tail: Option<Tid>,
    len: usize,
}

impl List {
    /// An empty list.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self { head: None, tail: None, len: 0 }
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

    /// Appends `tid`, which is in no list of this kind. O(1).
    pub fn push_back(&mut self, links: &impl Links, tid: Tid) {
        self.debug_check_outside(links, tid);
        links.set_next(tid, None);
        match self.tail {
            Some(tail) => links.set_next(tail, Some(tid)),
            None => self.head = Some(tid),
        }
        self.tail = Some(tid);
        self.len += 1;
    }

    /// Prepends `tid`, which is in no list of this kind. O(1).
    pub fn push_front(&mut self, links: &impl Links, tid: Tid) {
        self.debug_check_outside(links, tid);
        links.set_next(tid, self.head);
        if self.tail.is_none() {
            self.tail = Some(tid);
        }
        self.head = Some(tid);
        self.len += 1;
    }

    /// Removes the first thread. O(1).
    pub fn pop_front(&mut self, links: &impl Links) -> Option<Tid> {
        let tid = self.head?;
        self.unlink(links, None, tid);
        Some(tid)
    }

    /// Removes the first thread that `wanted` accepts. O(n).
    pub fn pop_first_where(
        &mut self,
        links: &impl Links,
        mut wanted: impl FnMut(Tid) -> bool,
    ) -> Option<Tid> {
        let mut before = None;
        let mut cursor = self.head;
        while let Some(tid) = cursor {
            if wanted(tid) {
                self.unlink(links, before, tid);
                return Some(tid);
            }
            before = cursor;
            cursor = links.next(tid);
        }
        None
    }

    /// Removes `tid`; false when it is not in this list. O(n).
    pub fn remove(&mut self, links: &impl Links, tid: Tid) -> bool {
        self.pop_first_where(links, |other| other == tid).is_some()
    }

    /// Whether `tid` is in this list. O(n).
    #[must_use]
    pub fn contains(&self, links: &impl Links, tid: Tid) -> bool {
        self.iter(links).any(|other| other == tid)
    }

    /// Iterates over the threads in order.
    pub fn iter(&self, links: &impl Links) -> impl Iterator<Item = Tid> {
        core::iter::successors(self.head, move |&tid| links.next(tid))
    }

    /// Removes `tid`, which follows `before` or is first.
    fn unlink(&mut self, links: &impl Links, before: Option<Tid>, tid: Tid) {
        let after = links.next(tid);
        match before {
            Some(before) => links.set_next(before, after),
            None => self.head = after,
        }
        if after.is_none() {
            self.tail = before;
        }
        links.set_next(tid, None);
        self.len -= 1;
    }

    /// Panics, in debug builds, if `tid` is in this list, or elsewhere with a successor. (The last thread of another list is
    /// not recognised.)
    fn debug_check_outside(&self, links: &impl Links, tid: Tid) {
        debug_assert!(
            links.next(tid).is_none() && self.tail != Some(tid),
            "thread {tid} is in a list already, should be in none"
        );
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}
