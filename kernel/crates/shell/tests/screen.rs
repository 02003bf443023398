//! The terminal shows the line.

use proptest::prelude::*;
use shell::screen::Screen;

/// A terminal of unlimited width: finished lines, and the unfinished one.
#[derive(Default)]
struct Terminal {
    lines: Vec<String>,
    line: Vec<u8>,
    cursor: usize,
}

impl Terminal {
    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                8 => self.cursor = self.cursor.checked_sub(1).expect("the cursor stays on the line"),
                b'\r' => self.cursor = 0,
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    self.lines.push(String::from_utf8(line).unwrap().trim_end().to_string());
                }
                _ => {
                    if self.cursor == self.line.len() {
                        self.line.push(0);
                    }
                    self.line[self.cursor] = byte;
                    self.cursor += 1;
                }
            }
        }
    }

    fn shows(&self) -> (&str, usize) {
        (std::str::from_utf8(&self.line).unwrap().trim_end_matches(' '), self.cursor)
    }
}

#[test]
fn an_appended_character_costs_one_byte() {
    let mut screen = Screen::<80>::new();
    let mut sent = Vec::<u8>::new();
    screen.show(b"> a", 3, &mut |bytes| sent.extend(bytes));
    assert_eq!(sent, b"> a");
    sent.clear();
    screen.show(b"> ab", 4, &mut |bytes| sent.extend(bytes));
    assert_eq!(sent, b"b");
}

#[test]
fn another_writers_line_stands_alone_and_the_unfinished_line_returns() {
    let mut screen = Screen::<80>::new();
    let mut terminal = Terminal::default();
    screen.step_aside(&mut |bytes| terminal.take(bytes));
    terminal.take(b"log 1\r\n");
    screen.step_back(&mut |bytes| terminal.take(bytes));
    screen.show(b"> hello", 4, &mut |bytes| terminal.take(bytes));
    screen.step_aside(&mut |bytes| terminal.take(bytes));
    terminal.take(b"log 2\r\n");
    screen.step_back(&mut |bytes| terminal.take(bytes));
    assert_eq!(terminal.shows(), ("> hello", 4));
    screen.finish(&mut |bytes| terminal.take(bytes));
    assert_eq!(terminal.lines, ["log 1", "> hello", "log 2", "> hello"]);
    assert!(screen.is_empty());
}

proptest! {
    #[test]
    fn the_terminal_follows(steps in prop::collection::vec(("[a-c]{0,12}", 0..20_usize, any::<bool>()), 0..40)) {
        let mut screen = Screen::<10>::new();
        let mut terminal = Terminal::default();
        for (text, cursor, log) in steps {
            screen.show(text.as_bytes(), cursor, &mut |bytes| terminal.take(bytes));
            let shown = &text[..text.len().min(10)];
            prop_assert_eq!(terminal.shows(), (shown, cursor.min(shown.len())));
            if log {
                screen.step_aside(&mut |bytes| terminal.take(bytes));
                terminal.take(b"log\r\n");
                screen.step_back(&mut |bytes| terminal.take(bytes));
                prop_assert_eq!(terminal.lines.last().map(String::as_str), Some("log"));
                prop_assert_eq!(terminal.shows(), (shown, cursor.min(shown.len())));
            }
        }
    }
}
