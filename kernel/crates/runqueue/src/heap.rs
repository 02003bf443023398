//! A priority queue of threads that allocates nothing.
//!
//! A leftist heap whose links live in the threads. The thread with the smallest key comes first; among equal keys, the one
//! that was pushed first. Pushing, popping and removing any thread each take O(log n), whatever the order of pushes. Used
//! for run queues (key: virtual runtime) and for timers (key: deadline).
//!
//! Keys are compared by wrapping difference: a clock may overflow, as long as all keys of one heap are within 2^63 of each
//! other.

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
    /// Number of nodes on the path along right links.
    rank: AtomicU32,
    /// Order of pushes, to compare equal keys.
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

    /// Returns the key.
    #[inline]
    #[must_use]
    pub fn key(&self) -> u64 {
        self.key.load(Relaxed)
    }

    /// Sets the key. The thread must not be in a heap.
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

    /// Whether the node is in the state of a node that is in no heap.
    fn is_outside(&self) -> bool {
        (self.left(), self.right(), self.parent()) == (None, None, None) && self.rank.load(Relaxed) == 1
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

/// Where the nodes of one kind of heap are kept. A thread has one node for each kind of heap that it can be in at one time.
pub trait HeapNodes {
    /// Returns the node of `tid`.
    fn node(&self, tid: Tid) -> &HeapNode;
}

/// Whether key `a` comes before key `b`.
#[inline]
#[must_use]
pub const fn is_before(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) < 0
}

/// The heap itself: a few words. Every call on one heap takes the same [`HeapNodes`]; a thread is in at most one heap of a
/// kind.
#[derive(Debug, Default)]
pub struct Heap {
    root: Option<Tid>,
    len: usize,
    /// The ticket of the next push.
    ticket: u32,
}

impl Heap {
    /// An empty heap.
    #[must_use]
    pub const fn new() -> Self {
        Self { root: None, len: 0, ticket: 0 }
    }

    /// Returns the number of threads.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the heap is empty.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Returns the first thread, which stays.
    #[inline]
    #[must_use]
    pub const fn first(&self) -> Option<Tid> {
        self.root
    }

    /// Returns the smallest key.
    #[inline]
    #[must_use]
    pub fn first_key(&self, nodes: &impl HeapNodes) -> Option<u64> {
        self.root.map(|tid| nodes.node(tid).key())
    }

    /// Pushes `tid`, which is in no heap of this kind, with the key of its node. O(log n).
    #[inline]
    pub fn push(&mut self, nodes: &impl HeapNodes, tid: Tid) {
        self.enter(nodes, (tid, nodes.node(tid)));
        self.len += 1;
    }

    /// Pops the first thread and pushes `tid`, whose node is `node` and which is in no heap of this kind. Does nothing, and
    /// returns `None`, when the heap is empty. O(log n), and next to nothing for one thread.
    #[inline(always)]
    pub fn replace_first(&mut self, nodes: &impl HeapNodes, tid: Tid, node: &HeapNode) -> Option<Tid> {
        let first = self.root?;
        let first_node = nodes.node(first);
        // The deeper child is the left one.
        self.root = match first_node.left() {
            None => None,
            Some(left) => self.heir_of_first(nodes, first_node, left),
        };
        self.enter(nodes, (tid, node));
        Some(first)
    }

    /// Returns the root of the heap without its first thread, whose left child is `left`.
    #[inline(never)]
    fn heir_of_first(&self, nodes: &impl HeapNodes, first: &HeapNode, left: Tid) -> Option<Tid> {
        let heir = merge(nodes, (left, nodes.node(left)), first.right());
        nodes.node(heir).set_parent(None);
        first.reset_links();
        Some(heir)
    }

    /// Pushes `tid` without counting it.
    #[inline(always)]
    fn enter(&mut self, nodes: &impl HeapNodes, (tid, node): Placed<'_>) {
        debug_assert!(node.is_outside(), "thread {tid} is in a heap already, should be in none");
        node.ticket.store(self.ticket, Relaxed);
        self.ticket = self.ticket.wrapping_add(1);
        match self.root {
            None => self.root = Some(tid),
            Some(root) => self.root = Some(insert(nodes, root, (tid, node))),
        }
    }

    /// Pops the first thread. O(log n).
    #[inline]
    pub fn pop(&mut self, nodes: &impl HeapNodes) -> Option<Tid> {
        let tid = self.root?;
        self.remove(nodes, tid);
        Some(tid)
    }

    /// Removes `tid`, which is in this heap. O(log n).
    #[inline]
    pub fn remove(&mut self, nodes: &impl HeapNodes, tid: Tid) {
        let node = nodes.node(tid);
        let parent = node.parent();
        let heir = node.left().map(|left| merge(nodes, (left, nodes.node(left)), node.right()));
        node.reset_links();
        self.len -= 1;
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

    /// Returns the first of up to `most` threads that `wanted` accepts. Visits small keys early, though not in strict order.
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

/// Returns the thread after `tid` in the order parent, left, right.
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

/// A thread and its node, looked up once.
type Placed<'a> = (Tid, &'a HeapNode);

/// Merges two heaps. The right spines, which are the short ones, are merged like sorted lists; then ranks are updated from
/// the bottom up.
#[inline(always)]
fn merge(nodes: &impl HeapNodes, a: Placed<'_>, b: Option<Tid>) -> Tid {
    match b {
        None => a.0,
        Some(b) => merge_two(nodes, a, (b, nodes.node(b))),
    }
}

fn merge_two<'a>(nodes: &'a impl HeapNodes, a: Placed<'a>, b: Placed<'a>) -> Tid {
    let (root, mut other) = if goes_first(b.1, a.1) { (b, a) } else { (a, b) };
    // `at` is placed, and goes before `other`.
    let mut at = root;
    while let Some(right) = at.1.right() {
        let right = (right, nodes.node(right));
        at = if goes_first(other.1, right.1) {
            link_right(at, other);
            core::mem::replace(&mut other, right)
        } else {
            right
        };
    }
    link_right(at, other);
    // The rank of the right child is known on the way up.
    let mut right = other;
    while at.0 != root.0 {
        repair(nodes, at.1, right);
        right = at;
        let Some(above) = at.1.parent() else { break };
        at = (above, nodes.node(above));
    }
    repair(nodes, at.1, right);
    root.0
}

/// Inserts `new`, which has no children, into the heap of `root`, and returns the new root.
#[inline(never)]
fn insert<'a>(nodes: &'a impl HeapNodes, root: Tid, new: Placed<'a>) -> Tid {
    let mut at = (root, nodes.node(root));
    if goes_first(new.1, at.1) {
        new.1.set_left(Some(root));
        at.1.set_parent(Some(new.0));
        return new.0;
    }
    let below = loop {
        let Some(right) = at.1.right() else { break None };
        let right = (right, nodes.node(right));
        if goes_first(new.1, right.1) {
            break Some(right);
        }
        at = right;
    };
    if let Some(below) = below {
        new.1.set_left(Some(below.0));
        below.1.set_parent(Some(new.0));
    }
    link_right(at, new);
    repair_until_unchanged(nodes, at.0);
    root
}

#[inline(always)]
fn goes_first(a: &HeapNode, b: &HeapNode) -> bool {
    match a.key() == b.key() {
        true => (a.ticket.load(Relaxed).wrapping_sub(b.ticket.load(Relaxed)) as i32) < 0,
        false => is_before(a.key(), b.key()),
    }
}

#[inline(always)]
fn link_right(above: Placed<'_>, below: Placed<'_>) {
    above.1.set_right(Some(below.0));
    below.1.set_parent(Some(above.0));
}

/// Makes the deeper child of `node`, whose right child is `right`, the left one, updates its rank, and says whether the rank
/// changed.
#[inline(always)]
fn repair(nodes: &impl HeapNodes, node: &HeapNode, right: Placed<'_>) -> bool {
    let right_rank = right.1.rank.load(Relaxed);
    let left = node.left();
    let left_rank = left.map_or(0, |left| nodes.node(left).rank.load(Relaxed));
    let new = if left_rank < right_rank {
        node.set_left(Some(right.0));
        node.set_right(left);
        left_rank + 1
    } else {
        right_rank + 1
    };
    let old = node.rank.load(Relaxed);
    node.rank.store(new, Relaxed);
    old != new
}

/// Updates the ranks from `from`, one of whose children has changed, upwards.
#[inline]
fn repair_until_unchanged(nodes: &impl HeapNodes, from: Tid) {
    let mut dirty = Some(from);
    while let Some(tid) = dirty {
        let node = nodes.node(tid);
        let has_changed = match node.right() {
            Some(right) => repair(nodes, node, (right, nodes.node(right))),
            None => {
                let old = node.rank.load(Relaxed);
                node.rank.store(1, Relaxed);
                old != 1
            }
        };
        if !has_changed {
            return;
        }
        dirty = node.parent();
    }
}
