//! A path through the graph of lock classes, which an acquisition would close to a cycle.

use crate::kind::{LockClassId, MAX_CLASSES};

/// Classes that were taken inside one another, outermost first.
pub(crate) struct Cycle {
    classes: [LockClassId; MAX_CLASSES],
    start: usize,
}

impl Cycle {
    pub(crate) const fn ending_at(last: LockClassId) -> Self {
        Self { classes: [last; MAX_CLASSES], start: MAX_CLASSES - 1 }
    }

    pub(crate) fn prepend(&mut self, class: LockClassId) {
        self.start -= 1;
        self.classes[self.start] = class;
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (LockClassId, LockClassId)> {
        self.classes[self.start..].windows(2).map(|pair| (pair[0], pair[1]))
    }
}
