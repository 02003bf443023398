//! Finds out what kind of word the cursor is at.

use crate::command::{Argument, find};

/// The word before the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The word's length so far.
    pub word_len: usize,
    /// Its kind.
    pub what: Argument,
}

/// Returns the last word of `before_cursor`; `None` if the command has no argument there.
#[must_use]
pub fn wanted(before_cursor: &str) -> Option<Wanted> {
    let word_start = before_cursor.rfind(' ').map_or(0, |space| space + 1);
    let (before, word) = before_cursor.split_at(word_start);
    let mut words = before.split_ascii_whitespace();
    let what = match words.next() {
        None => Argument::Command,
        Some(name) => *find(name)?.arguments.get(words.count())?,
    };
    Some(Wanted { word_len: word.len(), what })
}
