//! Keys out of bytes: control characters, and the escape sequences of the keys that an editor needs.
//!
//! The usual parsers of escape sequences collect strings (of DCS, OSC) until a terminator comes. A cut one would
//! swallow every line after it, so here no sequence outlives a line end, and none is longer than a few bytes.

/// Something that the editor can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A printable ASCII character.
    Char(char),
    /// The line is done.
    Enter,
    /// Deletes the character before the cursor.
    Backspace,
    /// Deletes the character under the cursor.
    Delete,
    /// One to the left.
    Left,
    /// One to the right.
    Right,
    /// To the start of the line.
    Home,
    /// To the end of the line.
    End,
    /// The line before this one.
    Up,
    /// The line after this one.
    Down,
    /// Completes a word.
    Tab,
    /// Deletes everything before the cursor (^U).
    DeleteToStart,
    /// Deletes everything from the cursor on (^K).
    DeleteToEnd,
    /// Deletes the word before the cursor (^W).
    DeleteWord,
    /// Gives the line up (^C).
    Interrupt,
    /// No more input (^D).
    EndOfInput,
    /// A key that the editor has no use for: an escape sequence.
    Unused,
    /// A byte that is neither text nor a key.
    NoText(u8),
}

/// Most bytes of one escape sequence; what comes after them is text again.
const SEQUENCE_MAX_BYTES: u8 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ground,
    /// After a carriage return, whose line feed is not another line end.
    Return,
    /// After ESC.
    Escape,
    /// In `ESC [`: its first parameter, bytes so far.
    Control {
        parameter: u8,
        len: u8,
    },
    /// After `ESC O`.
    Single,
}

/// Turns bytes into keys.
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
    /// A decoder that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Ground }
    }

    /// The key that `byte` completes, if it does.
    pub fn feed(&mut self, byte: u8) -> Option<Key> {
        const ESCAPE: u8 = 0x1b;
        let before = core::mem::replace(&mut self.state, State::Ground);
        match (before, byte) {
            (State::Return, b'\n') => None,
            (_, b'\r') => {
                self.state = State::Return;
                Some(Key::Enter)
            }
            // An escape begins anew, and no other control character is ever part of a sequence.
            (_, ESCAPE) => {
                self.state = State::Escape;
                None
            }
            (_, 0..0x20 | 0x7f) => Some(control(byte)),
            (State::Escape, b'[') => {
                self.state = State::Control { parameter: 0, len: 0 };
                None
            }
            (State::Escape, b'O') => {
                self.state = State::Single;
                None
            }
            (State::Escape, 0x20..0x7f) => Some(Key::Unused),
            (State::Control { parameter, .. }, b'~') => Some(numbered(parameter)),
            (State::Control { .. } | State::Single, 0x40..0x7f) => Some(lettered(byte)),
            (State::Control { parameter, len }, 0x20..0x40) if len < SEQUENCE_MAX_BYTES => {
                let digit = byte.wrapping_sub(b'0');
                let parameter =
                    if digit < 10 { parameter.saturating_mul(10).saturating_add(digit) } else { parameter };
                self.state = State::Control { parameter, len: len + 1 };
                None
            }
            (_, 0x20..0x7f) => Some(Key::Char(char::from(byte))),
            (_, 0x80..) => Some(Key::NoText(byte)),
        }
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

/// `ESC [ n ~`.
fn numbered(number: u8) -> Key {
    match number {
        1 | 7 => Key::Home,
        3 => Key::Delete,
        4 | 8 => Key::End,
        _ => Key::Unused,
    }
}

/// `ESC [ letter` and `ESC O letter`.
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
