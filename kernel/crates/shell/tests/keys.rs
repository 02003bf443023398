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

/// Sequences of keys that the editor has no use for, and of terminals that answer.
const UNUSED: [&[u8]; 17] = [
    b"\x1b[[A",
    b"\x1b[[E",
    b"\x1bOP",
    b"\x1bO1;5P",
    b"\x1bO1;5;12345678901234567890S",
    b"\x1b[999999999999999999999~",
    b"\x1b[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17u",
    b"\x1b[?64;1;2;6;9;15;16;17;18;21;22;28;29c",
    b"\x1b[200~",
    b"\x1b(B",
    b"\x1b%/G",
    b"\x1b]0;title\x07",
    b"\x1b]11;rgb:0000/0000/0000\x1b\\",
    b"\x1bP1$r0m\x1b\\",
    b"\x1b_anything at all\x1b\\",
    b"\x1b^\xc3\xa4\x01\x1b\\",
    b"\x1bX\x07",
];

#[test]
fn nothing_of_a_sequence_is_typed() {
    for sequence in UNUSED {
        let typed = [b"a", sequence, b"b"].concat();
        let expected = [Key::Char('a'), Key::Unused, Key::Char('b')];
        assert_eq!(keys(&typed), expected, "{}", sequence.escape_ascii());
    }
    // With parameters they are the same keys.
    assert_eq!(keys(b"\x1bO1;5A"), [Key::Up]);
    assert_eq!(keys(b"\x1b[000000000000000000003~"), [Key::Delete]);
    assert_eq!(keys(b"\x1b]0;\x03x"), [Key::Interrupt, Key::Char('x')]);
    assert_eq!(keys(b"\x1b[[\nx"), [Key::Enter, Key::Char('x')]);
}

#[test]
fn a_nul_belongs_to_a_carriage_return_alone() {
    assert_eq!(keys(b"\r\0x\r\0\r\n"), [Key::Enter, Key::Char('x'), Key::Enter, Key::Enter]);
    assert_eq!(keys(b"\0"), [Key::NoText(0)]);
    assert_eq!(keys(b"\r\0\0"), [Key::Enter, Key::NoText(0)]);
    assert_eq!(keys(b"\n\0"), [Key::Enter, Key::NoText(0)]);
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

    /// A control sequence, whatever it holds, types nothing.
    #[test]
    fn no_control_sequence_is_typed(
        opening in prop::sample::select(vec!["\x1b[", "\x1bO"]),
        body in prop::collection::vec(0x20u8..0x40, 0..200),
        last in (0x40u8..0x7f).prop_filter("of the linux console", |last| *last != b'['),
    ) {
        let typed = [opening.as_bytes(), &body, &[last], b"x"].concat();
        let found = keys(&typed);
        prop_assert_eq!(found.len(), 2, "{:?}", found);
        prop_assert!(!matches!(found[0], Key::Char(_)), "{:?}", found);
        prop_assert_eq!(found[1], Key::Char('x'));
    }

    /// Nor does a string, up to its end or the end of the line.
    #[test]
    fn no_string_is_typed(
        opening in prop::sample::select(b"PX]^_".to_vec()),
        body in prop::collection::vec(
            any::<u8>().prop_filter("an end", |byte| !b"\x03\x07\x18\x1a\x1b\n\r".contains(byte)), 0..200),
        end in prop::sample::select(vec!["\x07", "\x1b\\", "\x18", "\x1a", "\n", "\r", "\r\0"]),
    ) {
        let typed = [&[0x1b, opening][..], &body, end.as_bytes(), b"x"].concat();
        let found = keys(&typed);
        prop_assert_eq!(found.len(), 2, "{:?}", found);
        prop_assert!(matches!(found[0], Key::Unused | Key::Enter), "{:?}", found);
        prop_assert_eq!(found[1], Key::Char('x'));
    }

    /// No byte becomes more than one key.
    #[test]
    fn keys_are_not_made_up(bytes: Vec<u8>) {
        prop_assert!(keys(&bytes).len() <= bytes.len());
    }
}
