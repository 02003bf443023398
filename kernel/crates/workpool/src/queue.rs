//! A queue ordered by nice level that allocates nothing: the links are in the items.
//!
//! Each item is in two lists: that of its level, and that of all items in order of arrival. Every operation is O(1), so
//! that the time under the pool's lock does not depend on the number of items.

use runqueue::Nice;

pub(crate) const LEVELS: usize = 40;

/// A neighbour of an item in one of its lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// The item before it at its level.
    Before,
    /// The item after it at its level.
    After,
    /// The last item that arrived earlier.
    Earlier,
    /// The first item that arrived later.
    Later,
}

impl Neighbour {
    /// The number of neighbours of an item.
    pub const COUNT: usize = 4;

    const fn opposite(self) -> Self {
        match self {
            Self::Before => Self::After,
            Self::After => Self::Before,
            Self::Earlier => Self::Later,
            Self::Later => Self::Earlier,
        }
    }
}

/// What the queue keeps in an item. Exclusive access to the queue includes the nodes of its items.
pub trait Node<H> {
    /// Sets a neighbour, and returns the previous one.
    fn set(&self, neighbour: Neighbour, item: Option<H>) -> Option<H>;

    /// Stores the level at which the item is queued; `None`: it is in no queue.
    fn set_level(&self, level: Option<Nice>);

    /// Returns what [`set_level`](Self::set_level) stored last; before that, `None`.
    fn level(&self) -> Option<Nice>;

    /// Stores the item's number in the order of arrival.
    fn set_number(&self, number: u64);

    /// Returns the number that [`set_number`](Self::set_number) stored.
    fn number(&self) -> u64;
}

/// A handle to an item. Cloning it must not allocate: an `Arc`, a reference, an index.
pub trait Link: Clone {
    /// The part of the item that belongs to the queue.
    type Node: Node<Self>;

    /// Returns that part.
    fn node(&self) -> &Self::Node;
}

/// The ends of a doubly linked list.
#[derive(Debug)]
struct List<H> {
    first: Option<H>,
    last: Option<H>,
}

impl<H: Link> List<H> {
    const EMPTY: Self = Self { first: None, last: None };

    /// Appends `item`. `forward` is the neighbour that leads towards the end.
    fn push(&mut self, forward: Neighbour, item: H) {
        let node = item.node();
        match &self.last {
            Some(last) => {
                drop(last.node().set(forward, Some(item.clone())));
                drop(node.set(forward.opposite(), Some(last.clone())));
            }
            None => self.first = Some(item.clone()),
        }
        self.last = Some(item);
    }

    /// Removes the item of `node`, which is in this list, and returns the list's handle to it.
    fn remove(&mut self, forward: Neighbour, node: &H::Node) -> Option<H> {
        let before = node.set(forward.opposite(), None);
        let after = node.set(forward, None);
        let item = match &before {
            Some(before) => before.node().set(forward, after.clone()),
            None => core::mem::replace(&mut self.first, after.clone()),
        };
        match &after {
            Some(after) => drop(after.node().set(forward.opposite(), before)),
            None => self.last = before,
        }
        item
    }
}

/// Items by level, the heaviest first, and within a level in the order in which they came to it. An item is in at most one
/// queue.
#[derive(Debug)]
pub struct Queue<H> {
    lists: [List<H>; LEVELS],
    /// The levels that have an item, one bit each, the heaviest in bit 0; and the number of items of each.
    occupied: u64,
    counts: [usize; LEVELS],
    arrivals: List<H>,
    len: usize,
}

/// Returns the position of `level` among all, the heaviest at 0.
pub(crate) const fn index(level: Nice) -> usize {
    (level.get() - Nice::MIN.get()) as usize
}

impl<H: Link> Queue<H> {
    /// Creates an empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            lists: [const { List::EMPTY }; LEVELS],
            occupied: 0,
            counts: [0; LEVELS],
            arrivals: List::EMPTY,
            len: 0,
        }
    }

    /// Returns the number of items.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the queue is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the level of the first item.
    #[must_use]
    pub fn first_level(&self) -> Option<Nice> {
        // Without a set bit the sum is 44, which is no level.
        Nice::new(Nice::MIN.get() + self.occupied.trailing_zeros() as i8)
    }

    /// Returns the level of the item before which `ahead` others are. O(1): it looks at each level once.
    #[must_use]
    pub fn level_at(&self, mut ahead: usize) -> Option<Nice> {
        if ahead >= self.len {
            return None;
        }
        let mut left = self.occupied;
        loop {
            let level = Nice::new(Nice::MIN.get() + left.trailing_zeros() as i8)?;
            let count = self.counts[index(level)];
            if ahead < count {
                return Some(level);
            }
            ahead -= count;
            left &= left - 1;
        }
    }

    /// Returns the item that arrived first, without removing it.
    #[must_use]
    pub const fn oldest(&self) -> Option<&H> {
        self.arrivals.first.as_ref()
    }

    /// Appends `item` to those of `level`. O(1).
    pub fn push(&mut self, item: H, level: Nice) {
        self.arrivals.push(Neighbour::Later, item.clone());
        self.enter(item, level);
        self.len += 1;
    }

    fn enter(&mut self, item: H, level: Nice) {
        item.node().set_level(Some(level));
        self.lists[index(level)].push(Neighbour::After, item);
        self.occupied |= 1 << index(level);
        self.counts[index(level)] += 1;
    }

    /// Removes the item of `node` from the list of `level`, where it is.
    fn leave(&mut self, node: &H::Node, level: Nice) -> Option<H> {
        let list = &mut self.lists[index(level)];
        let item = list.remove(Neighbour::After, node);
        self.counts[index(level)] -= 1;
        if list.first.is_none() {
            self.occupied &= !(1 << index(level));
        }
        node.set_level(None);
        item
    }

    /// Removes the first item and returns it. O(1).
    pub fn pop(&mut self) -> Option<H> {
        let item = self.lists[index(self.first_level()?)].first.clone()?;
        self.remove(item.node())
    }

    /// Removes the item of `node` and returns it; `None` if it is in no queue. O(1).
    pub fn remove(&mut self, node: &H::Node) -> Option<H> {
        let level = node.level()?;
        let item = self.leave(node, level);
        drop(self.arrivals.remove(Neighbour::Later, node));
        self.len -= 1;
        item
    }

    /// Moves the item of `node` behind those of `level`, if it is queued at a lighter one. Returns whether it was. O(1).
    pub fn raise(&mut self, node: &H::Node, level: Nice) -> bool {
        let Some(current) = node.level().filter(|current| level < *current) else { return false };
        if let Some(item) = self.leave(node, current) {
            self.enter(item, level);
        }
        true
    }
}

impl<H: Link> Default for Queue<H> {
    fn default() -> Self {
        Self::new()
    }
}
