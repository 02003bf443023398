//! The line editor.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt;

use crate::keys::{Decoder, Key};

/// Length of the longest line.
pub const LINE_MAX_BYTES: usize = 240;
/// Lines in the history.
pub const HISTORY_LINES: usize = 32;

/// What the caller has to do after a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Run the line: [`LineEditor::take_line`].
    Enter,
    /// The line was abandoned.
    Interrupt,
    /// Input has ended.
    EndOfInput,
    /// Complete a word: [`LineEditor::complete`].
    Tab,
}

/// Why a line must not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is longer than [`LINE_MAX_BYTES`].
    TooLong {
        /// Its length.
        len_bytes: usize,
    },
    /// One of its bytes is not printable ASCII.
    NoText {
        /// The first such byte.
        byte: u8,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len_bytes } => {
                write!(f, "line of {len_bytes} bytes is not run; up to {LINE_MAX_BYTES} are taken")
            }
            Self::NoText { byte } => {
                write!(f, "line with byte {byte:#04x} is not run; only printable ascii is taken")
            }
        }
    }
}

/// The line with its cursor, and the history.
#[derive(Debug, Default)]
pub struct LineEditor {
    keys: Decoder,
    /// Printable ASCII, so each byte is a character.
    line: String,
    cursor: usize,
    /// Bytes beyond the limit.
    surplus: usize,
    /// The first byte that was not text.
    no_text: Option<u8>,
    history: VecDeque<String>,
    /// Position in the history, 1 for the last line; 0: the line is new.
    back: usize,
    /// The new line, while the editor shows a line of the history.
    draft: String,
}

impl LineEditor {
    /// Returns an editor with an empty line and no history.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the line.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Returns the position of the cursor in the line.
    #[must_use]
    pub const fn cursor(&self) -> usize {
        self.cursor
    }

    /// Returns the line up to the cursor.
    #[must_use]
    pub fn before_cursor(&self) -> &str {
        &self.line[..self.cursor]
    }

    /// Processes a received byte.
    pub fn feed(&mut self, byte: u8) -> Option<Event> {
        match self.keys.feed(byte)? {
            Key::Char(character) => self.insert(character),
            Key::Enter => return Some(Event::Enter),
            Key::Tab => return Some(Event::Tab),
            Key::Interrupt => {
                self.clear();
                return Some(Event::Interrupt);
            }
            // As in other shells, ^D ends the input only on an empty line.
            Key::EndOfInput if self.is_untouched() => return Some(Event::EndOfInput),
            Key::EndOfInput | Key::Delete => self.delete(self.cursor, self.cursor + 1),
            Key::Backspace => self.delete(self.cursor.saturating_sub(1), self.cursor),
            Key::DeleteToStart => {
                self.delete(0, self.cursor);
                // An empty line has no damage left.
                if self.line.is_empty() {
                    self.clear();
                }
            }
            Key::DeleteToEnd => self.delete(self.cursor, self.line.len()),
            Key::DeleteWord => self.delete(self.word_start(), self.cursor),
            Key::Left => self.cursor = self.cursor.saturating_sub(1),
            Key::Right => self.cursor = self.line.len().min(self.cursor + 1),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.line.len(),
            Key::Up => self.browse(self.back + 1),
            Key::Down => self.browse(self.back.wrapping_sub(1)),
            Key::Unused => {}
            Key::NoText(byte) => {
                self.no_text.get_or_insert(byte);
            }
        }
        None
    }

    /// Takes the line to run it, and adds it to the history.
    ///
    /// # Errors
    /// A part of the line is missing, so it must not run.
    pub fn take_line(&mut self) -> Result<String, Refusal> {
        let len_bytes = self.line.len() + self.surplus;
        let refusal = match (self.no_text, self.surplus) {
            (Some(byte), _) => Some(Refusal::NoText { byte }),
            (None, 0) => None,
            (None, _) => Some(Refusal::TooLong { len_bytes }),
        };
        let line = core::mem::take(&mut self.line);
        self.clear();
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        if !line.trim().is_empty() && self.history.front() != Some(&line) {
            self.history.truncate(HISTORY_LINES - 1);
            self.history.push_front(line.clone());
        }
        Ok(line)
    }

    /// Empties the line.
    pub fn clear(&mut self) {
        self.line.clear();
        self.draft.clear();
        (self.cursor, self.surplus, self.no_text, self.back) = (0, 0, None, 0);
    }

    /// Completes the word of `word_len` bytes before the cursor with the common prefix of all `candidates` that begin
    /// with the word. After a single candidate it also inserts `then`, unless that is there already. Returns the number
    /// of candidates.
    pub fn complete<'a>(
        &mut self,
        word_len: usize,
        candidates: impl Iterator<Item = &'a str>,
        then: &str,
    ) -> usize {
        let word_start = self.cursor.saturating_sub(word_len);
        let word = String::from(&self.line[word_start..self.cursor]);
        let mut common: Option<&str> = None;
        let mut count = 0;
        for candidate in candidates.filter(|candidate| candidate.starts_with(&*word)) {
            count += 1;
            common = Some(match common {
                Some(common) => &common[..common_len(common, candidate)],
                None => candidate,
            });
        }
        let rest = common.and_then(|common| common.strip_prefix(&*word)).unwrap_or_default();
        let has_then = self.line[self.cursor..].starts_with(then);
        let then = if count == 1 && !has_then { then } else { "" };
        for character in rest.chars().chain(then.chars()) {
            self.insert(character);
        }
        count
    }

    fn is_untouched(&self) -> bool {
        self.line.is_empty() && self.surplus == 0 && self.no_text.is_none()
    }

    fn insert(&mut self, character: char) {
        if self.line.len() < LINE_MAX_BYTES {
            self.line.insert(self.cursor, character);
            self.cursor += 1;
        } else {
            self.surplus = self.surplus.saturating_add(1);
        }
    }

    fn delete(&mut self, start: usize, end: usize) {
        let end = end.min(self.line.len());
        if start < end {
            self.line.replace_range(start..end, "");
            self.cursor = start;
        }
    }

    /// Returns the start of the word before the cursor, without the spaces after it.
    fn word_start(&self) -> usize {
        let before = self.before_cursor().trim_end_matches(' ');
        before.rfind(' ').map_or(0, |space| space + 1)
    }

    /// Shows the line at position `back` of the history, 0 for the new line. Does nothing beyond either end.
    fn browse(&mut self, back: usize) {
        let line = match back.checked_sub(1) {
            Some(index) => match self.history.get(index) {
                Some(line) => line.clone(),
                None => return,
            },
            None => core::mem::take(&mut self.draft),
        };
        let previous = core::mem::replace(&mut self.line, line);
        if self.back == 0 {
            self.draft = previous;
        }
        self.back = back;
        self.cursor = self.line.len();
    }
}

fn common_len(a: &str, b: &str) -> usize {
    let len = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    // Candidates are ASCII, but this works for all text.
    a.floor_char_boundary(len)
}
