//! Arbitrary bytes as the kernel's command line.

use std::fmt::Write as _;

use params::cmdline::{self, CommandLine, MAX_REPORTED};
use params::registry::ALL;

use crate::input::Rng;

const VALUES: [&[u8]; 9] =
    [b"1", b"2M", b"on", b"none", b"1,2,4", b"18446744073709551616", b"-1", b"", b"test:a"];

/// Parses any line. Words are applied or refused, warnings are few and printable, and each parameter has an allowed
/// value.
pub fn run(rng: &mut Rng) -> bool {
    let mut line = Vec::new();
    for _ in 0..rng.below(6) {
        let param = ALL[rng.below(ALL.len())];
        line.extend_from_slice(param.name().as_bytes());
        line.push(b'=');
        if rng.one_in(2) {
            param.write_default(&mut Bytes(&mut line)).expect("a default can be written");
        } else {
            line.extend_from_slice(rng.pick(&VALUES));
        }
        line.push(rng.pick(b"    \t\n\r\x0b\0"));
    }
    if !rng.one_in(4) {
        rng.break_bytes(&mut line);
    }
    let is_cut = rng.one_in(4);
    let mut told = 0;
    let outcome = cmdline::apply(CommandLine { bytes: &line, is_cut }, |problem| {
        told += 1;
        let mut text = Printed::default();
        write!(text, "{problem}").expect("a problem can be shown");
        assert!(!text.is_odd && text.bytes > 0);
    });
    assert!(told <= MAX_REPORTED + 4);
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
    let is_half = is_cut && line.last().is_some_and(|last| !last.is_ascii_whitespace());
    assert_eq!(outcome.set + outcome.refused + usize::from(is_half), words);
    outcome.set > 0
}

/// Checks written text without storing it.
#[derive(Default)]
struct Printed {
    bytes: usize,
    is_odd: bool,
}

impl std::fmt::Write for Printed {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.bytes += text.len();
        self.is_odd |= !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        Ok(())
    }
}

/// A command line under construction.
struct Bytes<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Bytes<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
