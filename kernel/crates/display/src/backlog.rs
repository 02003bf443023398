//! Text that waits to be drawn.

use crate::ink::Ink;

/// Marks the ink of the text that follows, together with the ink's number: a control character that no text contains.
const INK_MARK: u8 = 0x10;

/// A queue of whole lines, `N` bytes at most. The newest lines push out the oldest: these would have scrolled off.
///
/// A CPU may be stopped for good while it changes the queue. The queue then holds some text, and no index is wrong.
#[derive(Debug)]
pub struct Backlog<const N: usize> {
    bytes: [u8; N],
    first: usize,
    len: usize,
}

impl<const N: usize> Default for Backlog<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Backlog<N> {
    /// Returns an empty queue.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 2) };
        Self { bytes: [0; N], first: 0, len: 0 }
    }

    /// Adds a line; one that is longer than the queue is cut off.
    pub fn put(&mut self, text: &str, ink: Ink) {
        // The mark before the text, and the line's end after it.
        let text = &text.as_bytes()[..text.len().min(N - 2)];
        while N - self.len < text.len() + 2 {
            self.drop_line();
        }
        let len = self.len;
        self.set(len, INK_MARK | ink as u8);
        for (offset, byte) in text.iter().enumerate() {
            // A mark in the text would change its colour.
            self.set(len + 1 + offset, if ink_of(*byte).is_some() { b'?' } else { *byte });
        }
        self.set(len + 1 + text.len(), b'\n');
        // One store for the whole line: a CPU that is stopped before it has added nothing.
        self.len = len + text.len() + 2;
    }

    /// Moves the oldest lines into `buffer`, whole; returns the number of bytes. One that is longer than `buffer` is cut off:
    /// a rest that was pushed out later would be lost with its line end.
    pub fn take_lines(&mut self, buffer: &mut [u8]) -> usize {
        let most = self.len.min(buffer.len());
        for (offset, slot) in buffer[..most].iter_mut().enumerate() {
            *slot = self.bytes[(self.first + offset) % N];
        }
        if let Some(end) = buffer[..most].iter().rposition(|byte| *byte == b'\n') {
            self.remove(end + 1);
            return end + 1;
        }
        if let Some(last) = buffer[..most].last_mut() {
            *last = b'\n';
            self.drop_line();
        }
        most
    }

    /// Returns whether no text waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the queue usable after the CPU that used it was stopped for good.
    pub fn seize(&mut self) {
        // A half-done change may have left either out of bounds.
        (self.first, self.len) = (self.first % N, self.len.min(N));
    }

    fn set(&mut self, offset: usize, byte: u8) {
        self.bytes[(self.first + offset) % N] = byte;
    }

    fn remove(&mut self, count: usize) {
        self.first = (self.first + count) % N;
        self.len -= count;
    }

    /// Drops the oldest line.
    fn drop_line(&mut self) {
        let line = (0..self.len).position(|offset| self.bytes[(self.first + offset) % N] == b'\n');
        self.remove(line.map_or(self.len, |end| end + 1));
    }
}

/// Returns the ink that a byte of the queue's text selects, if it is a mark.
#[must_use]
pub fn ink_of(byte: u8) -> Option<Ink> {
    if byte & 0xf0 == INK_MARK { Ink::from_number(byte & 0x0f) } else { None }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::String;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn lines<const N: usize>(backlog: &mut Backlog<N>) -> Vec<(Ink, String)> {
        let mut bytes = [0; N];
        let count = backlog.take_lines(&mut bytes);
        let text = bytes[..count].split_inclusive(|byte| *byte == b'\n');
        let line = |line: &[u8]| {
            let ink = ink_of(line[0]).expect("a mark begins each line");
            (ink, String::from_utf8_lossy(&line[1..line.len() - 1]).into_owned())
        };
        text.map(line).collect()
    }

    #[test]
    fn newest_lines_push_out_the_oldest() {
        let mut backlog = Backlog::<16>::new();
        for line in ["one", "two", "three"] {
            backlog.put(line, Ink::Text);
        }
        backlog.put("four", Ink::Report);
        assert_eq!(lines(&mut backlog), [(Ink::Text, "three".into()), (Ink::Report, "four".into())]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn lines_are_taken_whole() {
        let mut backlog = Backlog::<32>::new();
        for line in ["one", "two", "a long line"] {
            backlog.put(line, Ink::Text);
        }
        let mut buffer = [0; 8];
        let mut take = |backlog: &mut Backlog<32>| {
            let count = backlog.take_lines(&mut buffer);
            String::from_utf8_lossy(&buffer[..count]).replace('\x10', "")
        };
        assert_eq!(take(&mut backlog), "one\n");
        assert_eq!(take(&mut backlog), "two\n");
        assert_eq!(take(&mut backlog), "a long\n");
        assert!(backlog.is_empty());
    }

    #[test]
    fn text_cannot_select_an_ink() {
        let mut backlog = Backlog::<16>::new();
        backlog.put("a\x12b\x1f", Ink::Warning);
        assert_eq!(lines(&mut backlog), [(Ink::Warning, "a?b\x1f".into())]);
    }

    proptest! {
        /// Against a list of lines that forgets from its front.
        #[test]
        fn keeps_as_many_whole_lines_as_fit(texts in prop::collection::vec("[ -~]{0,40}", 0..20)) {
            let mut backlog = Backlog::<64>::new();
            let mut model: Vec<String> = Vec::new();
            for text in &texts {
                backlog.put(text, Ink::Text);
                model.push(text.clone());
                while model.iter().map(|line| line.len() + 2).sum::<usize>() > 64 {
                    model.remove(0);
                }
            }
            let kept: Vec<_> = lines(&mut backlog).into_iter().map(|(_, text)| text).collect();
            prop_assert_eq!(kept, model);
        }
    }
}
