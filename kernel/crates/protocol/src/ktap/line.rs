//! One line of KTAP: printed by the kernel and parsed by the host, without allocation.

use core::fmt::{self, Write};

/// A line of KTAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// `KTAP version 1`: results follow.
    Version,
    /// `1..N`: the number of results that follow.
    Plan(u32),
    /// `# start: NAME`: the test that runs next. Other parsers read a diagnostic; ours blames the test if no result follows.
    Start(&'a str),
    /// `# TEXT`: about the test whose result comes next; one for each line of text.
    Diagnostic(&'a str),
    /// `ok ...` or `not ok ...`.
    Result {
        /// Number of the result, from 1.
        number: u32,
        /// Full name of the test, `suite::test`.
        name: &'a str,
        /// Outcome of the test.
        outcome: Outcome<'a>,
        /// Duration, if measured.
        time_ns: Option<u64>,
    },
}

/// Outcome of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The test passed.
    Passed,
    /// The test failed.
    Failed,
    /// The test cannot run on this machine, for this reason.
    Skipped(&'a str),
}

const VERSION: &str = "KTAP version 1";
const START: &str = "start: ";

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Line::Version => f.write_str(VERSION),
            Line::Plan(count) => write!(f, "1..{count}"),
            Line::Start(name) => write!(f, "# {START}{}", Name(name)),
            Line::Diagnostic(text) => write!(f, "# {}", OneLine(text)),
            Line::Result { number, name, outcome, time_ns } => {
                let verdict = if outcome == Outcome::Failed { "not ok" } else { "ok" };
                write!(f, "{verdict} {number} {}", Name(name))?;
                match (outcome, time_ns) {
                    (Outcome::Skipped(reason), _) => write!(f, " # SKIP {}", OneLine(reason)),
                    (_, Some(ns)) => write!(f, " # time={}.{:06}ms", ns / 1_000_000, ns % 1_000_000),
                    (_, None) => Ok(()),
                }
            }
        }
    }
}

/// A name that prints without white space and without `#`, which starts a directive.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replace = |c: char| c.is_whitespace() || c.is_control() || c == '#';
        self.0.chars().try_for_each(|c| f.write_char(if replace(c) { '_' } else { c }))
    }
}

/// Text that prints without line breaks.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(if c.is_control() { ' ' } else { c }))
    }
}

impl<'a> Line<'a> {
    /// Parses a line; `None` if it is not KTAP, such as a line of the kernel's log.
    ///
    /// Accepts, as the format demands, any indent, any version, an optional `-` before the name, and directives in any case.
    /// Ignores unknown directives.
    pub fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        if line.starts_with("KTAP version ") || line.starts_with("TAP version ") {
            return Some(Line::Version);
        }
        if let Some(count) = line.strip_prefix("1..") {
            return count.trim().parse().ok().map(Line::Plan);
        }
        if let Some(text) = line.strip_prefix('#') {
            let text = text.trim_start();
            return Some(match text.strip_prefix(START) {
                Some(name) => Line::Start(name.trim()),
                None => Line::Diagnostic(text),
            });
        }
        let (passed, rest) = match line.strip_prefix("not ok ") {
            Some(rest) => (false, rest),
            None => (true, line.strip_prefix("ok ")?),
        };
        Self::parse_result(passed, rest)
    }

    fn parse_result(passed: bool, rest: &'a str) -> Option<Self> {
        let (number, rest) = rest.trim_start().split_once(char::is_whitespace)?;
        let number = number.parse().ok()?;
        let rest = rest.trim_start();
        let rest = rest.strip_prefix("- ").unwrap_or(rest);
        let (name, directive) = match rest.split_once('#') {
            Some((name, directive)) => (name.trim(), directive.trim()),
            None => (rest, ""),
        };
        if name.is_empty() {
            return None;
        }
        let outcome = match (passed, skip_reason(directive)) {
            (_, Some(reason)) => Outcome::Skipped(reason),
            (true, None) => Outcome::Passed,
            (false, None) => Outcome::Failed,
        };
        Some(Line::Result { number, name, outcome, time_ns: time_ns(directive) })
    }
}

fn skip_reason(directive: &str) -> Option<&str> {
    let (word, reason) = directive.split_at_checked("SKIP".len())?;
    word.eq_ignore_ascii_case("SKIP").then(|| reason.trim())
}

/// Parses `time=12.5ms` as nanoseconds, without floating point: the kernel's target is soft-float.
fn time_ns(directive: &str) -> Option<u64> {
    let text = directive.split_whitespace().find_map(|word| word.strip_prefix("time="))?;
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (amount, unit) = text.split_at(digits_end);
    let unit_ns: u64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let whole_ns = whole.parse::<u64>().ok()?.checked_mul(unit_ns)?;
    let fraction_ns = fraction
        .bytes()
        .scan(unit_ns, |place_ns, digit| {
            *place_ns /= 10;
            Some(u64::from(digit.wrapping_sub(b'0')).min(9) * *place_ns)
        })
        .sum();
    whole_ns.checked_add(fraction_ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn result<'a>(number: u32, name: &'a str, outcome: Outcome<'a>, time_ns: Option<u64>) -> Line<'a> {
        Line::Result { number, name, outcome, time_ns }
    }

    #[test]
    fn lines_print_as_ktap_and_parse_back() {
        for (line, text) in [
            (Line::Version, "KTAP version 1"),
            (Line::Plan(12), "1..12"),
            (Line::Start("sched::joins"), "# start: sched::joins"),
            (Line::Diagnostic("left: 3"), "# left: 3"),
            (result(1, "a::b", Outcome::Passed, None), "ok 1 a::b"),
            (result(2, "a::c", Outcome::Failed, Some(12_345_678)), "not ok 2 a::c # time=12.345678ms"),
            (result(3, "a::d", Outcome::Skipped("no second node"), None), "ok 3 a::d # SKIP no second node"),
        ] {
            assert_eq!(line.to_string(), text);
            assert_eq!(Line::parse(text), Some(line));
            assert_eq!(Line::parse(&format!("  {text}\r\n")), Some(line));
        }
    }

    #[test]
    fn other_writers_are_understood() {
        assert_eq!(
            Line::parse("ok 4 - a::b # time=2.5s"),
            Some(result(4, "a::b", Outcome::Passed, Some(2_500_000_000)))
        );
        assert_eq!(
            Line::parse("not ok 5 a::b # skip: later"),
            Some(result(5, "a::b", Outcome::Skipped(": later"), None))
        );
        assert_eq!(
            Line::parse("ok 6 a::b # time=7us"),
            Some(result(6, "a::b", Outcome::Passed, Some(7_000)))
        );
        assert_eq!(Line::parse("ok 6 a::b # time=sometime"), Some(result(6, "a::b", Outcome::Passed, None)));
    }

    #[test]
    fn log_lines_are_not_ktap() {
        for line in [
            "",
            "[    0.004213][0][INFO  smp] 4/4 cpus online",
            "ok",
            "ok then",
            "ok 1",
            "ok one a::b",
            "not okay 1 a::b",
            "1..many",
            "2..3",
        ] {
            assert_eq!(Line::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn text_cannot_break_out_of_its_line() {
        let forged = "x\nok 9 forged::test";
        assert_eq!(Line::Diagnostic(forged).to_string(), "# x ok 9 forged::test");
        assert_eq!(
            result(1, "a b#c\n", Outcome::Skipped("why\r\nnot"), None).to_string(),
            "ok 1 a_b_c_ # SKIP why  not"
        );
    }

    proptest! {
        #[test]
        fn results_parse_back(number in 1_u32.., name in "[a-z_0-9]+(::[a-z_0-9]+){0,3}", time_ns in 0..u64::MAX, failed: bool) {
            let outcome = if failed { Outcome::Failed } else { Outcome::Passed };
            let line = result(number, &name, outcome, Some(time_ns));
            let text = line.to_string();
            prop_assert_eq!(Line::parse(&text), Some(line));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let _ = Line::parse(&text);
            let _ = Line::parse(&format!("ok 1 x # time={text}"));
        }
    }
}
