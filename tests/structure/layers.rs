//! The layers of the kernel: which folder of `kernel/src` may import which.

use std::path::Path;

use crate::imports::Graph;

/// Folders and files of `kernel/src`, lowest first. Entries of one layer may import each other, as far as the
/// files form no circle.
const LAYERS: [&[&str]; 11] = [
    &["arch"],
    &["platform"],
    &["mm"],
    &["sched"],
    &["debug", "jobs"],
    &["power"],
    &["bench"],
    &["shell"],
    &["tests"],
    &["boot"],
    &["main"],
];

/// Usable by every layer; uses `arch` itself.
const CONSOLE: &str = "console";

/// Returns the imports that lead upwards, and what is in no layer, one text each. `root` is the folder of the layers.
pub fn violations(graph: &Graph, root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for file in &graph.files {
        let name = top_of(file, root);
        if name != CONSOLE && rank(&name).is_none() {
            found.push(format!("{}: in no layer; add it to `LAYERS`", file.display()));
        }
    }
    for import in &graph.imports {
        let (from, to) = (top_of(&import.from, root), top_of(&import.to, root));
        if !is_allowed(&from, &to) {
            found.push(format!(
                "{}:{}: {from} imports {to} by `{}`",
                import.from.display(),
                import.line,
                import.path
            ));
        }
    }
    found
}

fn is_allowed(from: &str, to: &str) -> bool {
    match (rank(from), rank(to)) {
        _ if from == to || to == CONSOLE => true,
        (_, Some(to)) if from == CONSOLE => to == 0,
        (Some(from), Some(to)) => to <= from,
        // Reported by itself.
        _ => true,
    }
}

fn rank(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

/// Returns the first part of the path below `root`, without an extension.
fn top_of(file: &Path, root: &Path) -> String {
    let below = file.strip_prefix(root).unwrap_or(file);
    let first = below.iter().next().unwrap_or_default();
    Path::new(first).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::graph_of;

    /// Returns the violations of a made-up kernel.
    fn violations_of(files: &[(&str, &str)]) -> Vec<String> {
        violations(&graph_of(&files, Path::new("src/main.rs")).unwrap(), Path::new("src"))
    }

    #[test]
    fn downwards_is_allowed() {
        let files = [
            ("src/main.rs", "mod arch; mod mm; fn main() { mm::f() }"),
            ("src/arch/mod.rs", "pub fn f() {}"),
            ("src/mm/mod.rs", "pub fn f() { crate::arch::f() }"),
        ];
        assert_eq!(violations_of(&files), [""; 0]);
    }

    #[test]
    fn upwards_is_named() {
        let files = [
            ("src/main.rs", "mod arch; mod mm;"),
            ("src/arch/mod.rs", "pub mod irq;"),
            ("src/arch/irq.rs", "\nuse crate::mm::zero::f;"),
            ("src/mm/mod.rs", "pub mod zero;"),
            ("src/mm/zero.rs", "pub fn f() {}"),
        ];
        assert_eq!(violations_of(&files), ["src/arch/irq.rs:2: arch imports mm by `crate::mm::zero::f`"]);
    }

    #[test]
    fn debug_is_above_the_scheduler() {
        let files = [
            ("src/main.rs", "mod debug; mod sched;"),
            ("src/sched/mod.rs", "use crate::debug; fn f() { debug::trace() }"),
            ("src/debug/mod.rs", "pub fn trace() {}"),
        ];
        assert_eq!(violations_of(&files), ["src/sched/mod.rs:1: sched imports debug by `debug::trace`"]);
    }

    #[test]
    fn console_is_usable_by_all_and_uses_arch_alone() {
        let files = [
            ("src/main.rs", "mod arch; mod console; mod mm;"),
            ("src/arch/mod.rs", "pub fn f() { crate::console::g() }"),
            ("src/console/mod.rs", "pub fn g() { crate::arch::f(); crate::mm::f() }"),
            ("src/mm/mod.rs", "pub fn f() {}"),
        ];
        assert_eq!(violations_of(&files), ["src/console/mod.rs:1: console imports mm by `crate::mm::f`"]);
    }

    #[test]
    fn folder_in_no_layer_is_named() {
        let files = [("src/main.rs", "mod newcomer;"), ("src/newcomer.rs", "")];
        assert_eq!(violations_of(&files), ["src/newcomer.rs: in no layer; add it to `LAYERS`"]);
    }
}
