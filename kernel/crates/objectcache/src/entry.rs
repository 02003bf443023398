//! An entry of the cache: its state, with the number of users, and its links.

use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

/// No entry.
pub(crate) const NONE: u32 = u32::MAX;
/// State without an object: no lookup finds it.
const DEAD: u32 = u32::MAX;
/// A lookup has found the object since the last eviction passed it. The bits below count users.
const REFERENCED: u32 = 1 << 31;

/// Objects that an eviction takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Objects that no lookup has found since the last eviction passed them.
    Cold,
    /// All that are not in use.
    Unused,
}

/// The place of an object. On one list at a time; with an object also in the chain of one bucket.
///
/// All fields but the state are Relaxed: a lock orders them. Key, word and chain are written under the bucket's lock. They
/// are read under it, or by a thread that got the entry from a list, on which it came after the bucket's lock. A list is
/// changed under its lock, and a detached part by its owner alone.
#[derive(Debug)]
pub struct Entry {
    key: AtomicU64,
    word: AtomicU64,
    state: AtomicU32,
    chained: AtomicU32,
    next: AtomicU32,
}

impl Entry {
    /// The entry without an object.
    #[allow(clippy::declare_interior_mutable_const, reason = "an initial value, copied into each entry")]
    pub const VACANT: Self = Self {
        key: AtomicU64::new(0),
        word: AtomicU64::new(0),
        state: AtomicU32::new(DEAD),
        chained: AtomicU32::new(NONE),
        next: AtomicU32::new(NONE),
    };

    /// Fills a vacant entry with an object and its first user. The caller has the bucket's lock.
    pub(crate) fn fill(&self, key: u64, word: u64, chained: u32) {
        self.key.store(key, Relaxed);
        self.word.store(word, Relaxed);
        self.chained.store(chained, Relaxed);
        self.state.store(1, SeqCst);
    }

    pub(crate) fn key(&self) -> u64 {
        self.key.load(Relaxed)
    }

    pub(crate) fn word(&self) -> u64 {
        self.word.load(Relaxed)
    }

    /// Returns whether the entry has the object of this number.
    pub(crate) fn holds(&self, key: u64) -> bool {
        self.key() == key && self.state.load(SeqCst) != DEAD
    }

    /// Adds a user if the entry has the object of this number. The caller has the bucket's lock, so the entry is not filled
    /// again meanwhile.
    pub(crate) fn use_if(&self, key: u64) -> bool {
        let add = |state| (state != DEAD).then(|| (state | REFERENCED) + 1);
        self.key() == key && self.state.fetch_update(SeqCst, SeqCst, add).is_ok()
    }

    pub(crate) fn release(&self) {
        self.state.fetch_sub(1, SeqCst);
    }

    /// Removes the object if it is not in use and is one of `which`. Returns whether it was. A referenced object that stays
    /// is not referenced afterwards.
    pub(crate) fn kill(&self, which: Which) -> bool {
        let end = |state: u32| match (state & !REFERENCED, which) {
            (0, Which::Unused) => Some(DEAD),
            (0, Which::Cold) if state == 0 => Some(DEAD),
            (users, _) => Some(users),
        };
        let before = self.state.fetch_update(SeqCst, SeqCst, end);
        before.is_ok_and(|before| end(before) == Some(DEAD))
    }

    pub(crate) fn chained(&self) -> u32 {
        self.chained.load(Relaxed)
    }

    pub(crate) fn set_chained(&self, index: u32) {
        self.chained.store(index, Relaxed);
    }

    pub(crate) fn next(&self) -> u32 {
        self.next.load(Relaxed)
    }

    pub(crate) fn set_next(&self, index: u32) {
        self.next.store(index, Relaxed);
    }
}
