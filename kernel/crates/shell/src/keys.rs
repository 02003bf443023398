//! Decodes bytes into keys: control characters, and the escape sequences of the keys that an editor needs.
//!
//! No byte of an escape sequence is text, however long it is. A sequence ends with its final byte; a string (DCS, OSC
//! and similar) ends with BEL or ST. A line end also ends both: a truncated one would swallow all following lines.

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A printable ASCII character.
    Char(char),
    /// Ends the line.
    Enter,
    /// Deletes the character before the cursor.
    Backspace,
    /// Deletes the character under the cursor.
    Delete,
    /// Moves left by one.
    Left,
    /// Moves right by one.
    Right,
    /// Moves to the start of the line.
    Home,
    /// Moves to the end of the line.
    End,
    /// Shows the previous line of the history.
    Up,
    /// Shows the next line of the history.
    Down,
    /// Completes a word.
    Tab,
    /// Deletes everything before the cursor (^U).
    DeleteToStart,
    /// Deletes everything from the cursor on (^K).
    DeleteToEnd,
    /// Deletes the word before the cursor (^W).
    DeleteWord,
    /// Abandons the line (^C).
    Interrupt,
    /// Ends the input (^D).
    EndOfInput,
    /// An escape sequence that the editor does not use.
    Unused,
    /// A byte that is neither text nor part of a key.
    NoText(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ground,
    /// After a carriage return: a following line feed or NUL (telnet) belongs to it.
    Return,
    /// After ESC.
    Escape,
    /// After ESC and intermediate bytes: one byte more.
    Designation,
    /// In `ESC [`: its first parameter, and whether a byte followed already.
    Control {
        parameter: u8,
        is_begun: bool,
    },
    /// After `ESC [ [`: one byte more, a function key of the Linux console.
    Console,
    /// In `ESC O`, which has parameters on some terminals.
    Single,
    /// In a string.
    Text,
    /// After ESC in a string.
    TextEscape,
}

/// Decodes bytes into keys.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Returns a decoder between two keys.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Ground }
    }

    /// Processes `byte`; returns the key that it completes, if any.
    pub fn feed(&mut self, byte: u8) -> Option<Key> {
        let before = core::mem::replace(&mut self.state, State::Ground);
        let (state, key) = step(before, byte);
        self.state = state;
        key
    }
}

/// Returns the state after `byte`, and the key that it completes, if any.
fn step(state: State, byte: u8) -> (State, Option<Key>) {
    const ESCAPE: u8 = 0x1b;
    const BELL: u8 = 0x07;
    const CANCEL: u8 = 0x18;
    const SUBSTITUTE: u8 = 0x1a;
    const INTERRUPT: u8 = 0x03;
    let ends_with = |key| (State::Ground, Some(key));
    match (state, byte) {
        (State::Return, b'\n' | 0) => (State::Ground, None),
        (_, b'\r') => (State::Return, Some(Key::Enter)),
        (_, b'\n') => ends_with(Key::Enter),
        // A string ends with BEL, or with ESC and a backslash.
        (State::Text | State::TextEscape, BELL) | (State::TextEscape, b'\\') => ends_with(Key::Unused),
        // CAN and SUB abort a string, as terminals do; so does ^C, for the user.
        (State::Text | State::TextEscape, CANCEL | SUBSTITUTE) => ends_with(Key::Unused),
        (State::Text | State::TextEscape, INTERRUPT) => ends_with(Key::Interrupt),
        (State::Text, ESCAPE) => (State::TextEscape, None),
        (State::Text, _) => (State::Text, None),
        // ESC always starts a new sequence. No other control character is part of a sequence.
        (_, ESCAPE) => (State::Escape, None),
        (_, 0..0x20 | 0x7f) => ends_with(control(byte)),
        (State::Escape | State::TextEscape, _) => escaped(byte),
        (State::Designation, 0x20..0x30) => (State::Designation, None),
        (State::Designation | State::Console, 0x20..0x7f) => ends_with(Key::Unused),
        (State::Control { is_begun: false, .. }, b'[') => (State::Console, None),
        (State::Control { parameter, .. }, b'~') => ends_with(numbered(parameter)),
        (State::Control { .. } | State::Single, 0x40..0x7f) => ends_with(lettered(byte)),
        (State::Control { parameter, .. }, 0x20..0x40) => {
            let digit = byte.wrapping_sub(b'0');
            let parameter =
                if digit < 10 { parameter.saturating_mul(10).saturating_add(digit) } else { parameter };
            (State::Control { parameter, is_begun: true }, None)
        }
        (State::Single, 0x20..0x40) => (State::Single, None),
        (State::Ground | State::Return, 0x20..0x7f) => ends_with(Key::Char(char::from(byte))),
        (_, 0x80..) => ends_with(Key::NoText(byte)),
    }
}

/// Returns the state after ESC and `byte`, and the key that it completes, if any.
fn escaped(byte: u8) -> (State, Option<Key>) {
    match byte {
        b'[' => (State::Control { parameter: 0, is_begun: false }, None),
        b'O' => (State::Single, None),
        // Strings: DCS, SOS, OSC, PM, APC.
        b'P' | b'X' | b']' | b'^' | b'_' => (State::Text, None),
        0x20..0x30 => (State::Designation, None),
        0x30..0x7f => (State::Ground, Some(Key::Unused)),
        // No terminal sends this.
        byte => (State::Ground, Some(Key::NoText(byte))),
    }
}

fn control(byte: u8) -> Key {
    const fn ctrl(letter: u8) -> u8 {
        letter - b'@'
    }
    const CTRL_A: u8 = ctrl(b'A');
    const CTRL_B: u8 = ctrl(b'B');
    const CTRL_C: u8 = ctrl(b'C');
    const CTRL_D: u8 = ctrl(b'D');
    const CTRL_E: u8 = ctrl(b'E');
    const CTRL_F: u8 = ctrl(b'F');
    const CTRL_H: u8 = ctrl(b'H');
    const CTRL_K: u8 = ctrl(b'K');
    const CTRL_N: u8 = ctrl(b'N');
    const CTRL_P: u8 = ctrl(b'P');
    const CTRL_U: u8 = ctrl(b'U');
    const CTRL_W: u8 = ctrl(b'W');
    match byte {
        b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        CTRL_H | 0x7f => Key::Backspace,
        CTRL_A => Key::Home,
        CTRL_B => Key::Left,
        CTRL_C => Key::Interrupt,
        CTRL_D => Key::EndOfInput,
        CTRL_E => Key::End,
        CTRL_F => Key::Right,
        CTRL_K => Key::DeleteToEnd,
        CTRL_N => Key::Down,
        CTRL_P => Key::Up,
        CTRL_U => Key::DeleteToStart,
        CTRL_W => Key::DeleteWord,
        _ => Key::NoText(byte),
    }
}

/// Returns the key of `ESC [ number ~`.
fn numbered(number: u8) -> Key {
    match number {
        1 | 7 => Key::Home,
        3 => Key::Delete,
        4 | 8 => Key::End,
        _ => Key::Unused,
    }
}

/// Returns the key of `ESC [ letter` and `ESC O letter`.
fn lettered(letter: u8) -> Key {
    match letter {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'F' => Key::End,
        b'H' => Key::Home,
        _ => Key::Unused,
    }
}
