//! A priority queue of threads that allocates nothing.
//!
//! A leftist heap whose links live in the threads: the thread with the smallest
//! key first, and putting in, taking the first and taking any out each in
//! O(log n) however the threads came; among equal keys, the one that came first. Used for run queues (key: virtual runtime)
//! and for timers (key: deadline).
//!
//! Keys are compared by wrapping difference, so a clock that overflows is no
//! matter as long as all keys of one heap are within 2^63 of each other.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::list::Tid;

/// A thread's place in one heap, and its key there.
///
/// Relaxed throughout: whatever guards the heap orders the accesses.
#[derive(Debug)]
pub struct HeapNode {
    key: AtomicU64,
    left: AtomicU32,
    right: AtomicU32,
    parent: AtomicU32,
    /// Steps along right links to where one is missing, plus 1.
    rank: AtomicU32,
    /// When the thread came, to tell equal keys apart.
    ticket: AtomicU32,
}

impl HeapNode {
    /// A node in no heap, with key 0.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            key: AtomicU64::new(0),
            left: AtomicU32::new(Tid::NONE_RAW),
            right: AtomicU32::new(Tid::NONE_RAW),
            parent: AtomicU32::new(Tid::NONE_RAW),
            rank: AtomicU32::new(1),
            ticket: AtomicU32::new(0),
        }
    }

    /// The key.
    #[inline]
    #[must_use]
    pub fn key(&self) -> u64 {
        self.key.load(Relaxed)
    }

    /// Sets the key; not while the thread is in a heap.
    #[inline]
    pub fn set_key(&self, key: u64) {
        self.key.store(key, Relaxed);
    }

    #[inline]
    fn left(&self) -> Option<Tid> {
        Tid::new(self.left.load(Relaxed))
    }

    #[inline]
    fn right(&self) -> Option<Tid> {
        Tid::new(self.right.load(Relaxed))
    }

    #[inline]
    fn parent(&self) -> Option<Tid> {
        Tid::new(self.parent.load(Relaxed))
    }

    #[inline]
    fn set_left(&self, child: Option<Tid>) {
        self.left.store(Tid::to_raw(child), Relaxed);
    }

    #[inline]
    fn set_right(&self, child: Option<Tid>) {
        self.right.store(Tid::to_raw(child), Relaxed);
    }

    #[inline]
    fn set_parent(&self, parent: Option<Tid>) {
        self.parent.store(Tid::to_raw(parent), Relaxed);
    }

    #[inline]
    fn reset_links(&self) {
        self.set_left(None);
        self.set_right(None);
        self.set_parent(None);
        self.rank.store(1, Relaxed);
    }
}

impl Default for HeapNode {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the nodes of one kind of heap are kept. A thread has one node for
/// each kind of heap that it can be in at one time.
pub trait HeapNodes {
    /// The node of `tid`.
    fn node(&self, tid: Tid) -> &HeapNode;
}

/// Whether key `a` comes before key `b`.
#[inline]
#[must_use]
pub const fn is_before(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) < 0
}

/// The heap itself: a few words. Every call on one heap takes the same
/// [`HeapNodes`]; a thread is in at most one heap of a kind.
#[derive(Debug, Default)]
pub struct Heap {
    root: Option<Tid>,
    len: usize,
    /// The next thread's ticket.
    ticket: u32,
}

impl Heap {
    /// An empty heap.
    #[must_use]
    pub const fn new() -> Self {
        Self { root: None, len: 0, ticket: 0 }
    }

    /// Number of threads in it.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no thread is in it.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// A thread with the smallest key, which stays.
    #[inline]
    #[must_use]
    pub const fn first(&self) -> Option<Tid> {
        self.root
    }

    /// The smallest key.
    #[inline]
    #[must_use]
    pub fn first_key(&self, nodes: &impl HeapNodes) -> Option<u64> {
        self.root.map(|tid| nodes.node(tid).key())
    }

    /// Puts in `tid`, which is in no heap of this kind, under the key of its
    /// node. O(log n).
    #[inline]
    pub fn push(&mut self, nodes: &impl HeapNodes, tid: Tid) {
        let node = nodes.node(tid);
        node.reset_links();
        node.ticket.store(self.ticket, Relaxed);
        self.ticket = self.ticket.wrapping_add(1);
        self.root = merge(nodes, self.root, Some(tid));
        self.len += 1;
    }

    /// Takes out a thread with the smallest key. O(log n).
    #[inline]
    pub fn pop(&mut self, nodes: &impl HeapNodes) -> Option<Tid> {
        let tid = self.root?;
        self.remove(nodes, tid);
        Some(tid)
    }

    /// Takes out `tid`, which is in this heap. O(log n).
    #[inline]
    pub fn remove(&mut self, nodes: &impl HeapNodes, tid: Tid) {
        let node = nodes.node(tid);
        let parent = node.parent();
        let (left, right) = (node.left(), node.right());
        self.len -= 1;
        if self.len == 0 {
            debug_assert!(self.root == Some(tid), "thread {tid} is in another heap or none");
            self.root = None;
            return;
        }
        for child in [left, right].into_iter().flatten() {
            nodes.node(child).set_parent(None);
        }
        let heir = merge(nodes, left, right);
        if let Some(heir) = heir {
            nodes.node(heir).set_parent(parent);
        }
        match parent {
            None => {
                debug_assert!(self.root == Some(tid), "thread {tid} is in another heap or none");
                self.root = heir;
            }
            Some(above) => {
                let node = nodes.node(above);
                if node.left() == Some(tid) {
                    node.set_left(heir)
                } else {
                    node.set_right(heir)
                }
                repair_until_unchanged(nodes, above);
            }
        }
    }

    /// The first thread that `wanted` accepts, looking at `most` of them, from
    /// the smallest keys on though not in their strict order.
    pub fn find(
        &self,
        nodes: &impl HeapNodes,
        most: usize,
        mut wanted: impl FnMut(Tid) -> bool,
    ) -> Option<Tid> {
        let mut at = self.root;
        for _ in 0..most {
            let tid = at?;
            if wanted(tid) {
                return Some(tid);
            }
            at = following(nodes, tid);
        }
        None
    }
}

/// The thread after `tid` in the order parent, left, right.
fn following(nodes: &impl HeapNodes, tid: Tid) -> Option<Tid> {
    let node = nodes.node(tid);
    if let Some(child) = node.left().or(node.right()) {
        return Some(child);
    }
    let mut below = tid;
    loop {
        let above = nodes.node(below).parent()?;
        match nodes.node(above).right() {
            Some(right) if right != below => return Some(right),
            _ => below = above,
        }
    }
}

/// Makes one heap of two. The right spines, which are the short ones, are
/// merged like sorted lists; then ranks are put right from the bottom up.
fn merge(nodes: &impl HeapNodes, a: Option<Tid>, b: Option<Tid>) -> Option<Tid> {
    let (Some(a), Some(b)) = (a, b) else { return a.or(b) };
    let (root, mut other) = if goes_first(nodes, b, a) { (b, a) } else { (a, b) };
    // `at` is placed, and goes before `other`.
    let mut at = root;
    while let Some(right) = nodes.node(at).right() {
        if goes_first(nodes, other, right) {
            hang_right(nodes, at, other);
            (at, other) = (other, right);
        } else {
            at = right;
        }
    }
    hang_right(nodes, at, other);
    let mut dirty = Some(at);
    while let Some(tid) = dirty {
        repair(nodes, tid);
        dirty = nodes.node(tid).parent();
    }
    Some(root)
}

#[inline]
fn goes_first(nodes: &impl HeapNodes, a: Tid, b: Tid) -> bool {
    let (a, b) = (nodes.node(a), nodes.node(b));
    match a.key() == b.key() {
        true => (a.ticket.load(Relaxed).wrapping_sub(b.ticket.load(Relaxed)) as i32) < 0,
        false => is_before(a.key(), b.key()),
    }
}

fn hang_right(nodes: &impl HeapNodes, above: Tid, below: Tid) {
    nodes.node(above).set_right(Some(below));
    nodes.node(below).set_parent(Some(above));
}

/// Puts the deeper child left, and the rank right; whether that changed.
#[inline]
fn repair(nodes: &impl HeapNodes, tid: Tid) -> bool {
    let node = nodes.node(tid);
    let (left, right) = (node.left(), node.right());
    let rank = |child: Option<Tid>| child.map_or(0, |child| nodes.node(child).rank.load(Relaxed));
    let (left_rank, right_rank) = (rank(left), rank(right));
    if left_rank < right_rank {
        node.set_left(right);
        node.set_right(left);
    }
    let new = left_rank.min(right_rank) + 1;
    let old = node.rank.load(Relaxed);
    node.rank.store(new, Relaxed);
    old != new
}

fn repair_until_unchanged(nodes: &impl HeapNodes, from: Tid) {
    let mut dirty = Some(from);
    while let Some(tid) = dirty {
        if !repair(nodes, tid) {
            return;
        }
        dirty = nodes.node(tid).parent();
    }
}
