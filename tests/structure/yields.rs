//! Where threads yield: in tests and benchmarks only. A thread of the kernel that yields in a loop starves a lighter thread that
//! it waits for; it blocks until it is woken.

use std::path::Path;

use crate::imports::Graph;
use crate::sources::Sources;

/// The folders whose threads may yield: tests and benchmarks of it.
const FREE: [&str; 2] = ["tests/", "bench/"];
/// What yields.
const CALL: &str = "yield_now()";

/// Returns each line that yields elsewhere, as `path:line: text`, paths below `root`.
pub fn violations(graph: &Graph, sources: &dyn Sources, root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for file in &graph.files {
        let name = file.strip_prefix(root).unwrap_or(file).to_string_lossy();
        if !FREE.iter().any(|folder| name.starts_with(folder)) {
            let text = sources.read(file).expect("a file of the graph is readable");
            found.extend(calls(&text).map(|line| format!("{name}:{line}")));
        }
    }
    found
}

/// Returns the number and the text of each line outside comments that yields.
fn calls(text: &str) -> impl Iterator<Item = String> + '_ {
    let yields = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        code.contains(CALL) && !code.contains("fn yield_now()")
    };
    text.lines()
        .enumerate()
        .filter(move |(_, line)| yields(line))
        .map(|(at, line)| format!("{}: {}", at + 1, line.trim()))
}

#[test]
fn a_yield_is_found() {
    let text = "// yield_now() in a comment\npub fn yield_now() {\n    sched::yield_now();\n}\n";
    assert_eq!(calls(text).collect::<Vec<_>>(), ["3: sched::yield_now();"]);
}
