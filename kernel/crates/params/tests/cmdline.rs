//! Command lines as loaders pass them: too long, not text, all wrong.
//! Tests of one process share the parameters, so each test uses different ones.

use params::cmdline::{self, CommandLine, MAX_REPORTED, MAX_WORD_BYTES, Outcome};
use params::registry::{
    FAULT_AP_SILENT, KTASK_MAX_THREADS, SMP_AP_TIMEOUT_MS, SMP_MAX_CPUS, WATCHDOG_TIMEOUT_MS,
};

fn apply(bytes: &[u8], is_cut: bool) -> (Outcome, Vec<String>) {
    let mut said = Vec::new();
    let outcome = cmdline::apply(CommandLine { bytes, is_cut }, |problem| said.push(problem.to_string()));
    (outcome, said)
}

#[test]
fn a_byte_that_is_not_ascii_refuses_its_word_alone() {
    let line =
        b"a\xc3\xa4=1 ktask.max_threads=3 run=\x01\x7f smp.ap_timeout_ms=\xff\xfe watchdog.timeout_ms=60000";
    let (outcome, said) = apply(line, false);
    assert_eq!((outcome.set, outcome.refused), (2, 3));
    assert_eq!((KTASK_MAX_THREADS.get(), WATCHDOG_TIMEOUT_MS.get()), (3, 60_000));
    assert_eq!(
        said,
        [
            "command line: words with bytes that are not printable ascii are not applied: 3, the first is `a\\xc3\\xa4=1`"
        ]
    );
}

#[test]
fn a_cut_line_is_reported_once_and_its_half_word_is_not_applied() {
    let default = SMP_MAX_CPUS.get();
    let (outcome, said) = apply(b"smp.ap_timeout_ms=777 smp.max_cpus=1", true);
    assert_eq!((outcome.set, outcome.refused), (1, 0));
    assert_eq!((SMP_AP_TIMEOUT_MS.get(), SMP_MAX_CPUS.get()), (777, default));
    assert_eq!(
        said,
        [
            "the command line is longer than 36 bytes; what lies behind, and a word that was cut in two, is not applied"
        ]
    );
    let (outcome, _) = apply(b"smp.ap_timeout_ms=778 ", true);
    assert_eq!((outcome.set, SMP_AP_TIMEOUT_MS.get()), (1, 778), "a whole word before the cut counts");
    assert_eq!(apply(b"half", true).0, Outcome::default());
}

#[test]
fn thousands_of_bad_words_are_a_bounded_number_of_warnings() {
    let mut line = Vec::new();
    for number in 0..3000 {
        line.extend_from_slice(format!("nonsense{number}=1 \x02 ").as_bytes());
    }
    line.extend_from_slice(&[b'x'; MAX_WORD_BYTES + 1]);
    line.extend_from_slice(b" fault.ap_silent=1");
    let (outcome, said) = apply(&line, true);
    assert_eq!((outcome.set, outcome.refused), (0, 6001));
    assert_eq!(FAULT_AP_SILENT.get(), None, "half a word, as far as one knows");
    assert_eq!(said.len(), MAX_REPORTED + 4);
    assert_eq!(
        said[MAX_REPORTED],
        "command line: 2992 more parameters are unknown or have a value that is not allowed"
    );
    assert!(said[MAX_REPORTED + 1].contains("not printable ascii are not applied: 3000,"), "{said:?}");
    assert!(said[MAX_REPORTED + 2].contains("of more than 512 bytes are not applied: 1,"), "{said:?}");
    assert!(said[MAX_REPORTED + 3].starts_with("the command line is longer than"), "{said:?}");
    let (outcome, said) = apply(&line, false);
    assert_eq!((outcome.set, said.len()), (1, MAX_REPORTED + 3));
}

#[test]
fn a_line_is_shown_as_printable_text() {
    let line = CommandLine { bytes: b"run=none\t\x1b[2J \"q\\\xff", is_cut: false };
    assert_eq!(line.to_string(), "run=none\\x09\\x1b[2J \"q\\\\xff");
}

#[test]
fn a_file_is_a_command_line_only_if_it_is_text() {
    use cmdline::{TextError, text};
    assert_eq!(text(b"run=none\n"), Ok(&b"run=none\n"[..]));
    assert_eq!(text(b"a=1\tb=2\r\n\0\0\0"), Ok(&b"a=1\tb=2\r\n"[..]), "zeros at the end are padding");
    assert_eq!(text("a=ä".as_bytes()), Ok("a=ä".as_bytes()), "words that are not ascii are refused later");
    assert_eq!(text(b"\0\0"), Ok(&b""[..]));
    let not_text = |byte, offset| Err(TextError::NotText { byte, offset });
    assert_eq!(text(b"run=none\0x"), not_text(0, 8));
    assert_eq!(text(b"\x7fELF\x02\xff"), not_text(0x7f, 0));
    assert_eq!(text(b"run=\xff\x01"), not_text(0xff, 4));
    assert_eq!(text(b"run=\x01\xff"), not_text(1, 4), "the first of two");
    assert_eq!(text(b"\x1f\x8b\x08"), not_text(0x1f, 0));
}

#[test]
fn a_file_that_is_not_a_command_line_says_why() {
    use cmdline::TextError;
    let said = |error: TextError| error.to_string();
    assert_eq!(
        said(TextError::TooLong { len_bytes: 4097, most_bytes: 4096 }),
        "4097 bytes; should be at most 4096"
    );
    assert_eq!(said(TextError::Unreadable { address: 0xf000 }), "address 0xf000 is not mapped");
    assert_eq!(
        said(TextError::NotText { byte: 3, offset: 17 }),
        "byte 0x03 at offset 17; should be printable text"
    );
}

#[test]
fn a_refused_word_is_shown_up_to_a_bound() {
    let shown = |len: usize| apply("\u{e4}".repeat(len / 2).as_bytes(), false).1.remove(0);
    assert!(shown(40).ends_with(&format!("`{}`", "\\xc3\\xa4".repeat(20))), "whole: {}", shown(40));
    assert!(shown(42).ends_with(&format!("`{}...`", "\\xc3\\xa4".repeat(20))), "cut: {}", shown(42));
    assert!(shown(38).ends_with(&format!("`{}`", "\\xc3\\xa4".repeat(19))), "short: {}", shown(38));
}

#[test]
fn the_longest_word_is_applied_and_a_longer_one_is_not() {
    let word = |len: usize| format!("no.such={}", "x".repeat(len - "no.such=".len()));
    let said = |len| apply(word(len).as_bytes(), false).1.remove(0);
    assert!(said(MAX_WORD_BYTES).starts_with("unknown parameter `no.such`"), "{}", said(MAX_WORD_BYTES));
    assert!(
        said(MAX_WORD_BYTES + 1).contains("words of more than 512 bytes"),
        "{}",
        said(MAX_WORD_BYTES + 1)
    );
}

#[test]
fn a_pattern_of_names_is_not_empty() {
    for mode in ["test:", "bench:"] {
        let said = cmdline::set("run", mode).unwrap_err().to_string();
        assert!(said.starts_with(&format!("parameter run: `{mode}` is not allowed")), "{said}");
    }
    for mode in ["test:a", "bench:a,b"] {
        cmdline::set("run", mode).unwrap();
        assert_eq!(params::registry::RUN.get(&mut [0; params::TEXT_CAPACITY]), mode);
    }
}
