//! A FIFO queue that allocates nothing: each item holds a handle to the next one.

/// A handle to an item, which stores one link and one number. Cloning it must not allocate: an `Arc`, a reference, an
/// index.
///
/// Exclusive access to the queue includes the links and numbers of its items.
pub trait Link: Clone {
    /// Sets the next item, and returns the previous value.
    fn set_next(&self, next: Option<Self>) -> Option<Self>;

    /// Returns the next item.
    fn next(&self) -> Option<Self>;

    /// Stores the item's number in the order of arrival.
    fn set_number(&self, number: u64);

    /// Returns the number that [`set_number`](Self::set_number) stored.
    fn number(&self) -> u64;
}

/// Items in order of arrival. An item is in at most one queue.
#[derive(Debug)]
pub struct Queue<H> {
    first: Option<H>,
    last: Option<H>,
    len: usize,
}

impl<H: Link> Queue<H> {
    /// Creates an empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { first: None, last: None, len: 0 }
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

    /// Returns the first item without removing it.
    #[must_use]
    pub const fn first(&self) -> Option<&H> {
        self.first.as_ref()
    }

    /// Appends `item`. O(1).
    pub fn push(&mut self, item: H) {
        match &self.last {
            Some(last) => drop(last.set_next(Some(item.clone()))),
            None => self.first = Some(item.clone()),
        }
        self.last = Some(item);
        self.len += 1;
    }

    /// Removes the first item and returns it. O(1).
    pub fn pop(&mut self) -> Option<H> {
        let item = self.first.take()?;
        self.first = item.set_next(None);
        if self.first.is_none() {
            self.last = None;
        }
        self.len -= 1;
        Some(item)
    }

    /// Removes the first item that `wanted` accepts, and returns it. O(n).
    pub fn take_where(&mut self, mut wanted: impl FnMut(&H) -> bool) -> Option<H> {
        if wanted(self.first.as_ref()?) {
            return self.pop();
        }
        let mut before = self.first.clone()?;
        while let Some(item) = before.next() {
            if !wanted(&item) {
                before = item;
                continue;
            }
            let after = item.set_next(None);
            let is_last = after.is_none();
            drop(before.set_next(after));
            if is_last {
                self.last = Some(before);
            }
            self.len -= 1;
            return Some(item);
        }
        None
    }
}

impl<H: Link> Default for Queue<H> {
    fn default() -> Self {
        Self::new()
    }
}
