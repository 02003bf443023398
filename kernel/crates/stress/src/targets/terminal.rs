//! From arbitrary bytes of a terminal to keys, lines and commands.

use shell::command;
use shell::editor::{Event, LINE_MAX_BYTES, LineEditor};
use shell::keys::{Decoder, Key};

use crate::input::Rng;

const PIECES: [&[u8]; 24] = [
    b"sysctl ",
    b"help",
    b"=1",
    b"\r",
    b"\n",
    b"\r\n",
    b"\r\0",
    b"\x1b",
    b"\x1b[A",
    b"\x1b[B",
    b"\x1b[C",
    b"\x1b[D",
    b"\x1b[3~",
    b"\x1b[[A",
    b"\x1b[999999999999999999999 ~",
    b"\x1bOP",
    b"\x1bO1;5P",
    b"\x7f",
    b"\x15",
    b"\x17",
    b"\x03",
    b"\x04",
    b"\t",
    b"\x1b]0;title\x07",
];

/// Feeds arbitrary bytes. After each, the line is printable and bounded, and the cursor is inside it.
pub fn run(rng: &mut Rng) -> bool {
    let mut bytes = Vec::new();
    for _ in 0..1 + rng.below(12) {
        match rng.below(4) {
            0 => bytes.push(rng.byte()),
            1 => bytes.push(b' ' + rng.below(95) as u8),
            _ => bytes.extend_from_slice(rng.pick(&PIECES)),
        }
    }
    if rng.one_in(256) {
        bytes.resize(bytes.len() + LINE_MAX_BYTES, b'x');
    }
    let mut keys = Decoder::new();
    let mut editor = LineEditor::new();
    let mut is_taken = false;
    for byte in bytes {
        if let Some(Key::Char(character)) = keys.feed(byte) {
            assert!(character == ' ' || character.is_ascii_graphic(), "{character:?} is a key's");
        }
        let event = editor.feed(byte);
        check(&editor);
        match event {
            Some(Event::Enter) => {
                if let Ok(line) = editor.take_line() {
                    is_taken |= !line.is_empty();
                    let _ = command::parse(&line);
                }
            }
            Some(Event::Tab) => {
                let _ = shell::completion::wanted(editor.before_cursor());
            }
            _ => is_taken |= !editor.line().is_empty(),
        }
        check(&editor);
    }
    is_taken
}

fn check(editor: &LineEditor) {
    let line = editor.line();
    assert!(line.len() <= LINE_MAX_BYTES && editor.cursor() <= line.len());
    assert!(line.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{line:?}");
}
