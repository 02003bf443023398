//! In-kernel tests that judge by time say so: `needs(CountedTime)`. Elsewhere the host may stop a CPU at any moment, and a bound
//! on a time fails on a busy host. A lower bound, that something took at least so long, holds on every host.

use std::path::Path;

use crate::imports::Graph;
use crate::sources::Sources;

/// The folder of in-kernel tests.
const TESTS: &str = "tests/";
/// Endings of names that hold a time.
const TIMES: [&str; 4] = ["_ns", "_us", "_ms", "_ticks"];

/// Returns each upper bound on a time in a test that does not need counted time, as `path:line: text`, paths below `root`.
pub fn violations(graph: &Graph, sources: &dyn Sources, root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for file in &graph.files {
        let name = file.strip_prefix(root).unwrap_or(file).to_string_lossy();
        if name.starts_with(TESTS) {
            let text = sources.read(file).expect("a file of the graph is readable");
            found.extend(bounds_in(&text).map(|line| format!("{name}:{line}")));
        }
    }
    found
}

/// Returns the number and the text of each line with such a bound. Functions outside `kernel_tests!` count as tests: a test
/// that needs counted time returns what it judges.
fn bounds_in(text: &str) -> impl Iterator<Item = String> + '_ {
    let (mut is_counted, mut is_test) = (false, false);
    text.lines().enumerate().filter_map(move |(at, line)| {
        let line = line.trim();
        if line.starts_with("fn ") || line.starts_with("pub fn ") || line.starts_with("pub(super) fn ") {
            is_counted = line.contains("CountedTime");
        }
        is_test |= line.starts_with("kernel_tests!");
        (!is_counted && (bounds_a_time(line) || is_test && judges_shares(line)))
            .then(|| format!("{}: {line}", at + 1))
    })
}

/// Returns whether `line` compares times that threads ran beside each other with their weights.
fn judges_shares(line: &str) -> bool {
    ["worst_error_percent(", "check_shares("].iter().any(|call| line.contains(call))
}

/// Returns whether `line` checks that a time is less than something.
fn bounds_a_time(line: &str) -> bool {
    let Some((_, rest)) = line.split_once("check!(") else { return false };
    // The message may name times.
    let condition = rest.split(", \"").next().unwrap_or(rest);
    let is_time = |side: &str| {
        let mut words = side.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        words.any(|word| TIMES.iter().any(|ending| word.ends_with(ending)))
    };
    let sides = |operator: &str| condition.split_once(operator);
    let (less, more) = (sides(" <= ").or_else(|| sides(" < ")), sides(" >= ").or_else(|| sides(" > ")));
    less.is_some_and(|(small, _)| is_time(small))
        || more.is_some_and(|(_, small)| is_measured(small, is_time))
}

/// Returns whether the right side of `>=` is a time that was measured, not a constant in capitals or a sum of one.
fn is_measured(side: &str, is_time: impl Fn(&str) -> bool) -> bool {
    is_time(side) && side.contains("elapsed")
}

#[test]
fn an_upper_bound_on_a_time_is_found() {
    let text = "kernel_tests! { \"a\":\n    fn one() {\n        check!(ns < 5, \"{ns} ns\");\n        check!(took_ns <= 5);\n\
                \n        check!(took_ns >= 5, \"{took_ns} < 5\");\n        check!(whole >= elapsed_ns);\n    }\n\
                \n    fn two() needs(CountedTime) {\n        check!(took_ns <= 5);\n    }\n\
                \n    fn three() {\n        check!(sum_ms(&all) < 9, \"late\");\n        check!(count < 9, \"{late_ns}\");\
                \n        spinners.measure(9);\n        check_shares(&used, &weights, 5)?;\n    }\n}";
    let found: Vec<String> = bounds_in(text).collect();
    let lines: Vec<&str> =
        found.iter().filter_map(|line| line.split_once(": ")).map(|(_, line)| line).collect();
    assert_eq!(
        lines,
        [
            "check!(took_ns <= 5);",
            "check!(whole >= elapsed_ns);",
            "check!(sum_ms(&all) < 9, \"late\");",
            "check_shares(&used, &weights, 5)?;"
        ]
    );
}
