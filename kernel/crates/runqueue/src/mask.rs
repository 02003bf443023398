//! Sets of CPUs.

use core::fmt;
use core::ops::{BitAnd, BitOr, Not};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// CPUs that a [`CpuMask`] can hold.
pub const MAX_CPUS: usize = 512;

const WORD_BITS: usize = u64::BITS as usize;
const WORDS: usize = MAX_CPUS / WORD_BITS;

/// A set of CPU indices below [`MAX_CPUS`].
///
/// `Display` writes it as Linux writes CPU lists: `0-3,7`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct CpuMask {
    words: [u64; WORDS],
}

impl CpuMask {
    /// The empty set.
    pub const EMPTY: Self = Self { words: [0; WORDS] };

    /// The set of all CPUs that there can be.
    pub const ALL: Self = Self { words: [u64::MAX; WORDS] };

    /// Returns the set of CPUs `0..count`; of all that there can be when `count` is larger.
    #[must_use]
    pub const fn first_n(count: usize) -> Self {
        let mut mask = Self::EMPTY;
        let mut word = 0;
        while word < WORDS {
            let bits = count.saturating_sub(word * WORD_BITS);
            mask.words[word] = if bits >= WORD_BITS { u64::MAX } else { (1 << bits) - 1 };
            word += 1;
        }
        mask
    }

    /// Returns the set of one CPU; empty when `cpu` is out of range.
    #[must_use]
    pub const fn single(cpu: usize) -> Self {
        let mut mask = Self::EMPTY;
        mask.insert(cpu);
        mask
    }

    /// Adds `cpu`; false when it was in the set already or is out of range.
    pub const fn insert(&mut self, cpu: usize) -> bool {
        let absent = cpu < MAX_CPUS && !self.contains(cpu);
        if absent {
            self.words[cpu / WORD_BITS] |= 1 << (cpu % WORD_BITS);
        }
        absent
    }

    /// Removes `cpu`; false when it was not in the set.
    pub const fn remove(&mut self, cpu: usize) -> bool {
        let present = self.contains(cpu);
        if present {
            self.words[cpu / WORD_BITS] &= !(1 << (cpu % WORD_BITS));
        }
        present
    }

    /// Whether `cpu` is in the set.
    #[inline]
    #[must_use]
    pub const fn contains(&self, cpu: usize) -> bool {
        cpu < MAX_CPUS && self.words[cpu / WORD_BITS] & (1 << (cpu % WORD_BITS)) != 0
    }

    /// Returns the number of CPUs in the set.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// Returns the lowest CPU in the set.
    #[must_use]
    pub fn first(&self) -> Option<usize> {
        self.iter().next()
    }

    /// Returns the CPUs that are in this set and not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        self & !other
    }

    /// Whether every CPU of `other` is in this set.
    #[must_use]
    pub fn contains_all(&self, other: &Self) -> bool {
        *self & *other == *other
    }

    /// Iterates over the CPUs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + use<> {
        let mut rest = *self;
        core::iter::from_fn(move || {
            let (index, word) = rest.words.iter_mut().enumerate().find(|(_, word)| **word != 0)?;
            let bit = word.trailing_zeros() as usize;
            *word &= *word - 1;
            Some(index * WORD_BITS + bit)
        })
    }

    /// Iterates over the CPUs in ascending order from `start`, then over those below it.
    pub fn iter_from(&self, start: usize) -> impl Iterator<Item = usize> + use<> {
        let below = *self & Self::first_n(start);
        self.without(below).iter().chain(below.iter())
    }
}

impl BitAnd for CpuMask {
    type Output = Self;

    fn bitand(mut self, other: Self) -> Self {
        for (word, other) in self.words.iter_mut().zip(other.words) {
            *word &= other;
        }
        self
    }
}

impl BitOr for CpuMask {
    type Output = Self;

    fn bitor(mut self, other: Self) -> Self {
        for (word, other) in self.words.iter_mut().zip(other.words) {
            *word |= other;
        }
        self
    }
}

impl Not for CpuMask {
    type Output = Self;

    fn not(mut self) -> Self {
        for word in &mut self.words {
            *word = !*word;
        }
        self
    }
}

impl FromIterator<usize> for CpuMask {
    /// Collects CPU numbers; those out of range are left out.
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        let mut mask = Self::EMPTY;
        for cpu in cpus {
            mask.insert(cpu);
        }
        mask
    }
}

impl fmt::Display for CpuMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if_eq(&(last + 1)) {
                last = next;
            }
            write!(f, "{separator}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for CpuMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuMask({self})")
    }
}

/// A set of CPUs with one writer at a time and many readers.
///
/// A reader may see half of a change: some CPUs as before, some as after. A reader that must not act on that first makes
/// itself visible to the writer, then loads the CPU in question again (store then load). SeqCst, so that this works.
#[derive(Debug)]
pub struct SharedCpuMask {
    words: [AtomicU64; WORDS],
}

impl SharedCpuMask {
    /// Makes a set that starts as `mask`.
    #[must_use]
    pub const fn new(mask: CpuMask) -> Self {
        let mut words = [const { AtomicU64::new(0) }; WORDS];
        let mut word = 0;
        while word < WORDS {
            words[word] = AtomicU64::new(mask.words[word]);
            word += 1;
        }
        Self { words }
    }

    /// Loads the set, word by word.
    #[inline]
    #[must_use]
    pub fn load(&self) -> CpuMask {
        let mut words = [0; WORDS];
        for (word, shared) in words.iter_mut().zip(&self.words) {
            *word = shared.load(SeqCst);
        }
        CpuMask { words }
    }

    /// Stores `mask`, word by word.
    pub fn store(&self, mask: &CpuMask) {
        for (shared, word) in self.words.iter().zip(mask.words) {
            shared.store(word, SeqCst);
        }
    }

    /// Whether `cpu` is in the set.
    #[inline]
    #[must_use]
    pub fn contains(&self, cpu: usize) -> bool {
        cpu < MAX_CPUS && self.words[cpu / WORD_BITS].load(SeqCst) & (1 << (cpu % WORD_BITS)) != 0
    }

    /// Whether any CPU is in both sets. Loads them word by word, only as far as needed.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(one, other)| one.load(SeqCst) & other.load(SeqCst) != 0)
    }

    /// Adds `cpu`; ignored when out of range.
    pub fn insert(&self, cpu: usize) {
        if cpu < MAX_CPUS {
            self.words[cpu / WORD_BITS].fetch_or(1 << (cpu % WORD_BITS), SeqCst);
        }
    }

    /// Removes `cpu`; ignored when out of range.
    pub fn remove(&self, cpu: usize) {
        if cpu < MAX_CPUS {
            self.words[cpu / WORD_BITS].fetch_and(!(1 << (cpu % WORD_BITS)), SeqCst);
        }
    }
}
