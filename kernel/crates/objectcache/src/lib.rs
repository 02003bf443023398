//! A cache of objects that are not in use, by number: lookups find them until memory is short.
//!
//! Objects are kept on a list for each memory node, the oldest first. A lookup does not change a list: it counts a user
//! and marks the object as referenced (the second chance of the clock algorithm). So eviction can detach a whole list
//! ([`ObjectCache::detach`]) and walk it on several threads, each with a separate part, while lookups and insertions
//! go on. An object in use is never evicted.
//!
//! The kernel supplies the memory and the locks ([`Locked`]). None is held for more than a chain of a hash bucket, or the
//! steps to the end of a part that [`ObjectCache::detach_some`] takes.
#![no_std]
#![forbid(unsafe_code)]

mod entry;

use entry::NONE;
pub use entry::{Entry, Which};

/// A lock around a `T` that is held only while `work` runs.
pub trait Locked<T> {
    /// Runs `work` on the value, under the lock.
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R;
}

/// The first and last entry of a list, and the number of its entries.
#[derive(Debug, Clone, Copy)]
pub struct List {
    first: u32,
    last: u32,
    len: u32,
}

impl List {
    /// The list without entries.
    pub const EMPTY: Self = Self { first: NONE, last: NONE, len: 0 };

    /// Returns the position of the first entry.
    #[must_use]
    pub const fn first(&self) -> Position {
        Position(self.first)
    }

    /// Returns the number of entries.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Returns whether there are no entries.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The entries of one hash bucket.
#[derive(Debug)]
pub struct Bucket(u32);

impl Bucket {
    /// The bucket without entries.
    pub const EMPTY: Self = Self(NONE);
}

/// A position in a detached list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position(u32);

/// Why an object was not inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is an object of this number.
    Exists,
    /// All entries are taken.
    Full,
}

/// The cache, in memory of the caller for `'m`. `B` locks a bucket, `L` a list.
#[derive(Debug)]
pub struct ObjectCache<'m, B, L> {
    entries: &'m [Entry],
    buckets: &'m [B],
    /// By node.
    lists: &'m [L],
    vacant: L,
}

/// A user of an object, until it is dropped.
#[derive(Debug)]
pub struct InUse<'m> {
    entry: &'m Entry,
}

impl InUse<'_> {
    /// Returns the word that was inserted.
    #[must_use]
    pub fn word(&self) -> u64 {
        self.entry.word()
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.entry.release();
    }
}

impl<'m, B: Locked<Bucket>, L: Locked<List>> ObjectCache<'m, B, L> {
    /// Creates an empty cache, of an object for each entry. `lists` are by node; `list` makes one more.
    ///
    /// # Panics
    /// When `entries` are none or more than 2^30, or the number of `buckets` is no power of two.
    pub fn new(entries: &'m [Entry], buckets: &'m [B], lists: &'m [L], list: impl FnOnce(List) -> L) -> Self {
        let capacity = entries.len();
        assert!((1..=1 << 30).contains(&capacity), "a cache of {capacity} objects; 1 to 2^30 are possible");
        assert!(buckets.len().is_power_of_two(), "{} buckets; a power of two is possible", buckets.len());
        let capacity = capacity as u32;
        for (index, entry) in (1..capacity).zip(entries) {
            entry.set_next(index);
        }
        let vacant = list(List { first: 0, last: capacity - 1, len: capacity });
        Self { entries, buckets, lists, vacant }
    }

    /// Returns the number of objects, in use or not.
    pub fn len(&self) -> u32 {
        self.capacity() - self.vacant.with(|list| list.len)
    }

    /// Returns the number of objects that there may be.
    pub fn capacity(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Returns whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of objects on the list of a node, in use or not.
    pub fn len_on(&self, node: usize) -> u32 {
        self.lists[node].with(|list| list.len)
    }

    /// Inserts an object with its first user. `word` says where the object is.
    ///
    /// # Errors
    /// [`Refused`]; the object stays the caller's.
    pub fn insert(&self, node: usize, key: u64, word: u64) -> Result<InUse<'m>, Refused> {
        let index = self.vacant.with(|list| self.pop(list)).ok_or(Refused::Full)?;
        let entry = &self.entries[index as usize];
        let is_new = self.bucket(key).with(|bucket| {
            if self.chain(bucket).any(|other| self.entries[other as usize].holds(key)) {
                return false;
            }
            entry.fill(key, word, bucket.0);
            bucket.0 = index;
            true
        });
        if !is_new {
            self.vacant.with(|list| self.append(list, self.single(index)));
            return Err(Refused::Exists);
        }
        // On a list only now: no eviction meets the entry before.
        self.lists[node].with(|list| self.append(list, self.single(index)));
        Ok(InUse { entry })
    }

    /// Returns the object of this number, which is in use then.
    pub fn find(&self, key: u64) -> Option<InUse<'m>> {
        self.bucket(key).with(|bucket| {
            let found = self.chain(bucket).map(|index| &self.entries[index as usize]);
            let entry = found.into_iter().find(|entry| entry.use_if(key))?;
            Some(InUse { entry })
        })
    }

    /// Detaches the list of a node. The caller returns each entry: by [`evict`](Self::evict), or by
    /// [`keep`](Self::keep) or [`put_back`](Self::put_back) what is not to be evicted.
    pub fn detach(&self, node: usize) -> List {
        self.lists[node].with(|list| core::mem::replace(list, List::EMPTY))
    }

    /// Detaches up to `most` of the oldest objects of a node, as [`detach`](Self::detach). Holds the list's lock for so many
    /// steps.
    pub fn detach_some(&self, node: usize, most: u32) -> List {
        self.lists[node].with(|list| {
            if most >= list.len {
                return core::mem::replace(list, List::EMPTY);
            }
            if most == 0 {
                return List::EMPTY;
            }
            let last = self.advance(list.first(), u64::from(most) - 1).0;
            let some = List { first: list.first, last, len: most };
            *list = List { first: self.entries[last as usize].next(), last: list.last, len: list.len - most };
            some
        })
    }

    /// Returns the position `steps` entries after `at`.
    pub fn advance(&self, at: Position, steps: u64) -> Position {
        let mut at = at;
        for _ in 0..steps {
            if at.0 == NONE {
                break;
            }
            at = Position(self.entries[at.0 as usize].next());
        }
        at
    }

    /// Evicts `which` of the `count` objects from `first` on, a part of a detached list that no other caller has. Calls
    /// `free` with the word of each evicted object: the object is the callee's. Appends the others to the list of `node`.
    /// Returns the number of evicted objects.
    pub fn evict(
        &self,
        node: usize,
        first: Position,
        count: u64,
        which: Which,
        mut free: impl FnMut(u64),
    ) -> u64 {
        let (mut kept, mut vacant) = (List::EMPTY, List::EMPTY);
        let mut at = first.0;
        for _ in 0..count {
            if at == NONE {
                break;
            }
            let entry = &self.entries[at as usize];
            // Before the entry is on another list.
            let next = entry.next();
            if entry.kill(which) {
                self.bucket(entry.key()).with(|bucket| self.unlink(bucket, at));
                free(entry.word());
                self.append(&mut vacant, self.single(at));
            } else {
                self.append(&mut kept, self.single(at));
            }
            at = next;
        }
        let evicted = u64::from(vacant.len);
        self.lists[node].with(|list| self.append(list, kept));
        self.vacant.with(|list| self.append(list, vacant));
        evicted
    }

    /// Appends the `count` objects from `first` on, a part of a detached list that no other caller has, to the list of
    /// `node`.
    pub fn keep(&self, node: usize, first: Position, count: u64) {
        let Ok(len @ 1..) = u32::try_from(count) else { return };
        let last = self.advance(first, count - 1).0;
        let part = List { first: first.0, last, len };
        self.lists[node].with(|list| self.append(list, part));
    }

    /// Puts the rest of a detached list, from `at` on, before the list of `node`: they are its oldest objects.
    pub fn put_back(&self, node: usize, detached: List, at: Position, len: u64) {
        let Ok(len @ 1..) = u32::try_from(len) else { return };
        let mut rest = List { first: at.0, last: detached.last, len };
        self.lists[node].with(|list| {
            self.append(&mut rest, *list);
            *list = rest;
        });
    }

    fn bucket(&self, key: u64) -> &B {
        // Fibonacci hashing: the upper bits depend on all bits of the key.
        let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        &self.buckets[hash as usize & (self.buckets.len() - 1)]
    }

    fn chain(&self, bucket: &Bucket) -> impl Iterator<Item = u32> {
        let some = |index: u32| (index != NONE).then_some(index);
        core::iter::successors(some(bucket.0), move |index| some(self.entries[*index as usize].chained()))
    }

    fn unlink(&self, bucket: &mut Bucket, index: u32) {
        let after = self.entries[index as usize].chained();
        let before = self.chain(bucket).find(|other| self.entries[*other as usize].chained() == index);
        match before {
            Some(before) => self.entries[before as usize].set_chained(after),
            None => bucket.0 = after,
        }
    }

    fn single(&self, index: u32) -> List {
        self.entries[index as usize].set_next(NONE);
        List { first: index, last: index, len: 1 }
    }

    fn append(&self, list: &mut List, tail: List) {
        if tail.is_empty() {
            return;
        }
        if list.is_empty() {
            *list = tail;
            return;
        }
        self.entries[list.last as usize].set_next(tail.first);
        *list = List { first: list.first, last: tail.last, len: list.len + tail.len };
    }

    fn pop(&self, list: &mut List) -> Option<u32> {
        let index = (!list.is_empty()).then_some(list.first)?;
        *list = match list.len {
            1 => List::EMPTY,
            len => List { first: self.entries[index as usize].next(), last: list.last, len: len - 1 },
        };
        Some(index)
    }
}
