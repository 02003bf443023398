//! The terminal's unfinished line: prompt, text and cursor.
//!
//! This sends only printable characters, backspaces and line ends. Every terminal knows them, and a pipe gets no escape
//! sequences. A line that is wider than the terminal wraps. Terminals that do not move back over a wrap then show the
//! cursor in the wrong place.

/// A line of up to `N` bytes, as the terminal shows it.
#[derive(Clone, Debug)]
pub struct Screen<const N: usize> {
    shown: [u8; N],
    len: usize,
    /// Position of the terminal's cursor.
    cursor: usize,
}

/// Length of a run of equal bytes that is sent at once.
const RUN: usize = 16;
const BACKSPACES: [u8; RUN] = [8; RUN];
const SPACES: [u8; RUN] = [b' '; RUN];
const LINE_END: &[u8] = b"\r\n";

impl<const N: usize> Default for Screen<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Screen<N> {
    /// Returns an empty line.
    #[must_use]
    pub const fn new() -> Self {
        Self { shown: [0; N], len: 0, cursor: 0 }
    }

    /// Returns whether the line is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Discards the line without output: another writer has taken over the terminal.
    pub const fn forget(&mut self) {
        (self.len, self.cursor) = (0, 0);
    }

    /// Makes the terminal show the first `N` bytes of `text`, printable ASCII, with the cursor before byte number
    /// `cursor`. Sends only the difference.
    pub fn show(&mut self, text: &[u8], cursor: usize, send: &mut dyn FnMut(&[u8])) {
        let text = &text[..text.len().min(N)];
        let cursor = cursor.min(text.len());
        let same = self.shown[..self.len].iter().zip(text).take_while(|(old, new)| old == new).count();
        if same < text.len() || same < self.len {
            self.move_to(same, send);
            send(&text[same..]);
            let surplus = self.len.saturating_sub(text.len());
            repeat(&SPACES, surplus, send);
            repeat(&BACKSPACES, surplus, send);
            self.shown[same..text.len()].copy_from_slice(&text[same..]);
            (self.len, self.cursor) = (text.len(), text.len());
        }
        self.move_to(cursor, send);
    }

    /// Ends the line; output continues below it.
    pub fn finish(&mut self, send: &mut dyn FnMut(&[u8])) {
        self.move_to(self.len, send);
        send(LINE_END);
        self.forget();
    }

    /// Makes room for another writer's line, which the caller sends next.
    pub fn step_aside(&self, send: &mut dyn FnMut(&[u8])) {
        if !self.is_empty() {
            send(LINE_END);
        }
    }

    /// Shows the line again after [`step_aside`](Self::step_aside).
    pub fn step_back(&self, send: &mut dyn FnMut(&[u8])) {
        send(&self.shown[..self.len]);
        repeat(&BACKSPACES, self.len - self.cursor, send);
    }

    fn move_to(&mut self, cursor: usize, send: &mut dyn FnMut(&[u8])) {
        match self.cursor.checked_sub(cursor) {
            Some(back) => repeat(&BACKSPACES, back, send),
            None => send(&self.shown[self.cursor..cursor]),
        }
        self.cursor = cursor;
    }
}

fn repeat(run: &[u8; RUN], mut count: usize, send: &mut dyn FnMut(&[u8])) {
    while count > 0 {
        let part = count.min(RUN);
        send(&run[..part]);
        count -= part;
    }
}
