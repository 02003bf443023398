//! The line editor, with input from people and with arbitrary bytes.

use proptest::prelude::*;
use shell::editor::{Event, HISTORY_LINES, LINE_MAX_BYTES, LineEditor, Refusal};

fn type_in(editor: &mut LineEditor, bytes: &[u8]) -> Vec<Event> {
    bytes.iter().filter_map(|byte| editor.feed(*byte)).collect()
}

/// Returns the line after `bytes`, with a bar for the cursor.
fn edited(bytes: &[u8]) -> String {
    let mut editor = LineEditor::new();
    type_in(&mut editor, bytes);
    let (before, after) = editor.line().split_at(editor.cursor());
    format!("{before}|{after}")
}

fn run(editor: &mut LineEditor, line: &str) {
    assert_eq!(type_in(editor, line.as_bytes()), []);
    assert_eq!(editor.feed(b'\r'), Some(Event::Enter));
    assert_eq!(editor.take_line().as_deref(), Ok(line));
}

#[test]
fn editing() {
    for (bytes, line) in [
        (&b"ps"[..], "ps|"),
        (b"psx\x7f", "ps|"),
        (b"\x7f\x7fps", "ps|"),
        (b"ac\x1b[Db", "ab|c"),
        (b"ac\x1b[D\x1b[D\x1b[D\x1b[C\x04", "a|"),
        (b"abc\x01\x1b[3~", "|bc"),
        (b"abc\x01x\x05y", "xabcy|"),
        (b"abc def\x1b[D\x15", "|f"),
        (b"abc def\x01\x06\x0b", "a|"),
        (b"abc def  \x17", "abc |"),
        (b"abc def\x17\x17\x17", "|"),
        (b"abc\x03", "|"),
        (b"\xc3\xa4abc", "abc|"),
    ] {
        assert_eq!(edited(bytes), line, "{}", bytes.escape_ascii());
    }
}

#[test]
fn input_ends_only_on_an_empty_line() {
    let mut editor = LineEditor::new();
    assert_eq!(type_in(&mut editor, b"a\x04"), []);
    assert_eq!(type_in(&mut editor, b"\x7f\x04"), [Event::EndOfInput]);
    // A byte that is no text makes the line non-empty, so ^D does not end the input.
    let mut editor = LineEditor::new();
    assert_eq!(type_in(&mut editor, b"\xff\x04"), []);
}

#[test]
fn arrow_keys_browse_the_history() {
    let mut editor = LineEditor::new();
    for line in ["one", "two", "two", "  ", "three"] {
        run(&mut editor, line);
    }
    type_in(&mut editor, b"new");
    let mut seen = Vec::new();
    for key in [&b"\x1b[A"[..], b"\x1b[A", b"\x1b[A", b"\x1b[A", b"\x1b[B", b"\x1b[B", b"\x1b[B", b"\x1b[B"] {
        type_in(&mut editor, key);
        seen.push(editor.line().to_string());
    }
    assert_eq!(seen, ["three", "two", "one", "one", "two", "three", "new", "new"]);
    type_in(&mut editor, b"\x1b[A!");
    assert_eq!(editor.feed(b'\n'), Some(Event::Enter));
    assert_eq!(editor.take_line().as_deref(), Ok("three!"));
    type_in(&mut editor, b"\x1b[A\x1b[A");
    assert_eq!(
        editor.line(),
        "three",
        "a line that was brought back and changed does not change the history"
    );
}

#[test]
fn the_history_is_bounded() {
    let mut editor = LineEditor::new();
    for number in 0..HISTORY_LINES + 5 {
        run(&mut editor, &format!("line {number}"));
    }
    for _ in 0..HISTORY_LINES + 5 {
        type_in(&mut editor, b"\x1b[A");
    }
    assert_eq!(editor.line(), "line 5");
}

#[test]
fn a_line_that_is_too_long_is_refused_whole_and_the_next_one_is_not() {
    let mut editor = LineEditor::new();
    type_in(&mut editor, &[b'x'; 10_000]);
    assert!(editor.line().len() == LINE_MAX_BYTES);
    assert_eq!(editor.feed(b'\n'), Some(Event::Enter));
    let refusal = editor.take_line().unwrap_err();
    assert_eq!(refusal, Refusal::TooLong { len_bytes: 10_000 });
    assert_eq!(refusal.to_string(), "line of 10000 bytes is not run; up to 240 are taken");
    run(&mut editor, "ps");
    type_in(&mut editor, b"\x1b[A\x1b[A");
    assert_eq!(editor.line(), "ps", "a refused line is not history");
}

#[test]
fn a_line_with_a_byte_that_is_no_text_is_refused() {
    let mut editor = LineEditor::new();
    type_in(&mut editor, "pöweroff\n".as_bytes());
    let refusal = editor.take_line().unwrap_err();
    assert_eq!(refusal, Refusal::NoText { byte: 0xc3 });
    assert_eq!(refusal.to_string(), "line with byte 0xc3 is not run; only printable ascii is taken");
    // Deleting or abandoning the whole line repairs it.
    type_in(&mut editor, b"\xc3\x15");
    run(&mut editor, "ps");
    type_in(&mut editor, b"\xc3\x03");
    run(&mut editor, "ps");
}

#[test]
fn words_are_completed_to_the_common_prefix() {
    let names = ["huge.2m", "huge.1g", "huge.policy", "log.level"];
    let complete = |typed: &str, word_len| {
        let mut editor = LineEditor::new();
        type_in(&mut editor, typed.as_bytes());
        let count = editor.complete(word_len, names.into_iter(), " ");
        (editor.line().to_string(), count)
    };
    assert_eq!(complete("h", 1), ("huge.".into(), 3));
    assert_eq!(complete("x huge.", 5), ("x huge.".into(), 3));
    assert_eq!(complete("x l", 1), ("x log.level ".into(), 1));
    assert_eq!(complete("z", 1), ("z".into(), 0));
    assert_eq!(complete("", 0), (String::new(), 4));
    assert_eq!(complete("z", 99), ("z".into(), 0));
}

proptest! {
    /// No received bytes make the editor panic or grow, and a line holds only printable ASCII.
    #[test]
    fn arbitrary_bytes_are_harmless(bytes in prop::collection::vec(
        prop_oneof![
            4 => any::<u8>(),
            4 => 0x20_u8..0x7f,
            2 => prop::sample::select(&b"\x1b[OABCD~3\r\n\x03\x04\x15\x17\x0b\x01\x05\t\x7f"[..]),
        ],
        0..2000,
    )) {
        let mut editor = LineEditor::new();
        for byte in bytes {
            let event = editor.feed(byte);
            prop_assert!(editor.line().len() <= LINE_MAX_BYTES);
            prop_assert!(editor.cursor() <= editor.line().len());
            prop_assert!(editor.line().bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            match event {
                Some(Event::Enter) => { let _ = editor.take_line(); prop_assert_eq!(editor.line(), ""); }
                Some(Event::Tab) => { editor.complete(1, ["aa", "ab", "b~", "C"].into_iter(), "="); }
                Some(Event::Interrupt) => prop_assert_eq!(editor.line(), ""),
                Some(Event::EndOfInput) | None => {}
            }
        }
    }

    /// A line is accepted exactly as it was typed, or refused.
    #[test]
    fn no_line_is_altered(line in prop::collection::vec(prop_oneof![9 => 0x20_u8..0x7f, 1 => 0x80_u8..], 0..300)) {
        let mut editor = LineEditor::new();
        type_in(&mut editor, &line);
        match editor.take_line() {
            Ok(taken) => prop_assert_eq!(taken.as_bytes(), &line[..]),
            Err(_) => prop_assert!(line.len() > LINE_MAX_BYTES || !line.is_ascii()),
        }
    }
}
