//! Decoding of bytes into keys.

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

/// Sequences of keys that the editor does not use, and replies of terminals.
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
fn no_byte_of_a_sequence_is_text() {
    for sequence in UNUSED {
        let typed = [b"a", sequence, b"b"].concat();
        let expected = [Key::Char('a'), Key::Unused, Key::Char('b')];
        assert_eq!(keys(&typed), expected, "{}", sequence.escape_ascii());
    }
    // Parameters do not change the key.
    assert_eq!(keys(b"\x1bO1;5A"), [Key::Up]);
    assert_eq!(keys(b"\x1b[000000000000000000003~"), [Key::Delete]);
    assert_eq!(keys(b"\x1b]0;\x03x"), [Key::Interrupt, Key::Char('x')]);
    assert_eq!(keys(b"\x1b[[\nx"), [Key::Enter, Key::Char('x')]);
}

#[test]
fn a_nul_is_ignored_only_after_a_carriage_return() {
    assert_eq!(keys(b"\r\0x\r\0\r\n"), [Key::Enter, Key::Char('x'), Key::Enter, Key::Enter]);
    assert_eq!(keys(b"\0"), [Key::NoText(0)]);
    assert_eq!(keys(b"\r\0\0"), [Key::Enter, Key::NoText(0)]);
    assert_eq!(keys(b"\n\0"), [Key::Enter, Key::NoText(0)]);
}

#[test]
fn each_kind_of_line_end_ends_one_line() {
    let line_ends = |bytes| keys(bytes).into_iter().filter(|key| *key == Key::Enter).count();
    assert_eq!(line_ends(b"a\rb\r"), 2);
    assert_eq!(line_ends(b"a\nb\n\n"), 3);
    assert_eq!(line_ends(b"a\r\nb\r\n"), 2);
    assert_eq!(line_ends(b"\n\r"), 2);
}

#[test]
fn a_truncated_sequence_swallows_no_line() {
    for cut in
        [&b"\x1b"[..], b"\x1b[", b"\x1b[1", b"\x1b[1;", b"\x1bO", b"\x1b\x1b[", b"\x1b]0;title", b"\x1bP"]
    {
        let bytes = [cut, b"\nps\n"].concat();
        let found = keys(&bytes);
        assert!(found.ends_with(&[Key::Enter, Key::Char('p'), Key::Char('s'), Key::Enter]), "{found:?}");
    }
}

proptest! {
    /// After any bytes, a line feed that follows no carriage return ends the line, and the next bytes are text.
    #[test]
    fn every_line_is_seen(mut bytes: Vec<u8>) {
        bytes.extend(b"x\nok");
        let found = keys(&bytes);
        prop_assert!(found.ends_with(&[Key::Enter, Key::Char('o'), Key::Char('k')]), "{:?}", found);
    }

    /// No control sequence yields text.
    #[test]
    fn no_control_sequence_is_text(
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

    /// No string yields text, up to its end or the end of the line.
    #[test]
    fn no_string_is_text(
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

    /// There are at most as many keys as bytes.
    #[test]
    fn a_byte_yields_at_most_one_key(bytes: Vec<u8>) {
        prop_assert!(keys(&bytes).len() <= bytes.len());
    }
}
