//! Reads lines from a terminal or a pipe.

use alloc::string::String;
use alloc::vec::Vec;

use protocol::shell::PROMPT;
use shell::command::{self, Argument};
use shell::completion::{Wanted, wanted};
use shell::editor::{Event, LINE_MAX_BYTES, LineEditor};

use super::input;
use crate::bench;
use crate::console::{self, print_line, serial};
use crate::debug::ktest;
use crate::jobs::timing;

// The display shows the whole line.
const _: () = assert!(PROMPT.len() + LINE_MAX_BYTES <= console::LINE_BYTES);

/// Width of a list of candidates.
const LIST_COLUMNS: usize = 78;

/// What the reader returns.
pub enum Typed {
    /// A line.
    Line(String),
    /// A damaged line, which must not run, and why.
    Refused(String),
    /// The end of input.
    End,
    /// The power button was pressed.
    PowerButton,
}

/// The line that is being edited, and received bytes that the editor has not seen yet.
pub struct Terminal {
    editor: LineEditor,
    bytes: [u8; 64],
    next: usize,
    len: usize,
}

impl Terminal {
    pub fn new() -> Self {
        Self { editor: LineEditor::new(), bytes: [0; 64], next: 0, len: 0 }
    }

    /// Reads a line; sleeps until there is input.
    pub fn read(&mut self) -> Typed {
        loop {
            let Some(byte) = self.next_byte() else {
                serial::finish_line();
                return Typed::PowerButton;
            };
            match self.editor.feed(byte) {
                None => {}
                Some(Event::Tab) => self.complete(),
                Some(Event::Interrupt) => {
                    serial::show_line(&alloc::format!("{PROMPT}^C"), usize::MAX);
                    serial::finish_line();
                }
                Some(Event::EndOfInput) => {
                    serial::finish_line();
                    return Typed::End;
                }
                Some(Event::Enter) => {
                    self.show();
                    serial::finish_line();
                    return self.take_line();
                }
            }
        }
    }

    fn take_line(&mut self) -> Typed {
        let line = self.editor.take_line();
        match (console::input::take_overruns(), line) {
            (0, Ok(line)) => Typed::Line(line),
            (0, Err(refusal)) => Typed::Refused(alloc::format!("{refusal}")),
            (times, _) => Typed::Refused(alloc::format!(
                "line is not run; bytes came faster than they could be taken, {times} times; send it slower"
            )),
        }
    }

    /// Returns the next byte; `None`: the power button was pressed.
    fn next_byte(&mut self) -> Option<u8> {
        if self.next == self.len {
            self.show();
            (self.next, self.len) = (0, input::read(&mut self.bytes));
        }
        let byte = self.bytes[..self.len].get(self.next).copied();
        self.next += 1;
        byte
    }

    fn show(&self) {
        let text = alloc::format!("{PROMPT}{}", self.editor.line());
        serial::show_line(&text, PROMPT.len() + self.editor.cursor());
    }

    /// Completes the word before the cursor, or lists the candidates.
    fn complete(&mut self) {
        let Some(Wanted { word_len, what }) = wanted(self.editor.before_cursor()) else { return };
        let candidates = candidates(what);
        let before = self.editor.before_cursor();
        let word = String::from(&before[before.len() - word_len..]);
        // A value may follow a parameter's name directly.
        let then = if what == Argument::Parameter { "" } else { " " };
        let len_before = self.editor.line().len();
        let count = self.editor.complete(word_len, candidates.iter().copied(), then);
        if count > 1 && self.editor.line().len() == len_before {
            self.show();
            list(candidates.iter().copied().filter(|candidate| candidate.starts_with(&*word)));
        }
    }
}

fn candidates(what: Argument) -> Vec<&'static str> {
    match what {
        Argument::Word(words) => words.into(),
        Argument::Command => command::ALL.iter().map(|spec| spec.name).collect(),
        Argument::Parameter => params::registry::ALL.iter().map(|param| param.name()).collect(),
        Argument::Test => ktest::names().collect(),
        Argument::Bench => bench::names().collect(),
        Argument::Job => timing::names(),
        Argument::Free => Vec::new(),
    }
}

/// Prints words, several to a line.
fn list<'a>(words: impl Iterator<Item = &'a str>) {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() && line.len() + 2 + word.len() > LIST_COLUMNS {
            print_line(format_args!("{line}"));
            line.clear();
        }
        if !line.is_empty() {
            line.push_str("  ");
        }
        line.push_str(word);
    }
    print_line(format_args!("{line}"));
}
