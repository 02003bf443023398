//! Keys out of bytes.

use proptest::prelude::*;
use shell::keys::{Decoder, Key};

fn keys(bytes: &[u8]) -> Vec<Key> {
    let mut decoder = Decoder::new();
    bytes.iter().filter_map(|byte| decoder.feed(*byte)).collect()
}

#[test]
fn keys_of_common_terminals() {
    for (bytes, key) in [
        (&b"\x1b[A"[..], Key::Up),
        (b"\x1bOB", Key::Down),
        (b"\x1b[1;5C", Key::Right),
        (b"\x1b[D", Key::Left),
        (b"\x1b[H", Key::Home),
        (b"\x1b[4~", Key::End),
        (b"\x1bOF", Key::End),
        (b"\x1b[3~", Key::Delete),
        (b"\x1b[15~", Key::Unused),
        (b"\x1bx", Key::Unused),
        (b"\x7f", Key::Backspace),
        (b"\x08", Key::Backspace),
        (b"\x03", Key::Interrupt),
        (b"\x04", Key::EndOfInput),
        (b"\x15", Key::DeleteToStart),
        (b"\x17", Key::DeleteWord),
        (b"\t", Key::Tab),
        (b"\xc3", Key::NoText(0xc3)),
        (b"\0", Key::NoText(0)),
    ] {
        assert_eq!(keys(bytes), [key], "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_line_ends_once_however_it_ends() {
    let line_ends = |bytes| keys(bytes).into_iter().filter(|key| *key == Key::Enter).count();
    assert_eq!(line_ends(b"a\rb\r"), 2);
    assert_eq!(line_ends(b"a\nb\n\n"), 3);
    assert_eq!(line_ends(b"a\r\nb\r\n"), 2);
    assert_eq!(line_ends(b"\n\r"), 2);
}

#[test]
fn a_cut_sequence_takes_no_line_with_it() {
    for cut in
        [&b"\x1b"[..], b"\x1b[", b"\x1b[1", b"\x1b[1;", b"\x1bO", b"\x1b\x1b[", b"\x1b]0;title", b"\x1bP"]
    {
        let bytes = [cut, b"\nps\n"].concat();
        let found = keys(&bytes);
        assert!(found.ends_with(&[Key::Enter, Key::Char('p'), Key::Char('s'), Key::Enter]), "{found:?}");
    }
}

proptest! {
    /// Whatever came before, a line feed that follows no carriage return ends a line, and what follows is text.
    #[test]
    fn every_line_is_seen(mut bytes: Vec<u8>) {
        bytes.extend(b"x\nok");
        let found = keys(&bytes);
        prop_assert!(found.ends_with(&[Key::Enter, Key::Char('o'), Key::Char('k')]), "{:?}", found);
    }

    /// No byte becomes more than one key.
    #[test]
    fn keys_are_not_made_up(bytes: Vec<u8>) {
        prop_assert!(keys(&bytes).len() <= bytes.len());
    }
}
