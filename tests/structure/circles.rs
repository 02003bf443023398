//! Import circles: sets of files of which each reaches each other one by imports.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use crate::imports::Graph;

/// Returns the circles of `graph`, each as the sorted set of its files.
pub fn circles(graph: &Graph) -> Vec<BTreeSet<PathBuf>> {
    let reached: Vec<(&PathBuf, BTreeSet<PathBuf>)> =
        graph.files.iter().map(|file| (file, reachable(graph, file))).collect();
    let mut found: Vec<BTreeSet<PathBuf>> = Vec::new();
    for (file, targets) in &reached {
        if !targets.contains(*file) || found.iter().any(|circle| circle.contains(*file)) {
            continue;
        }
        let leads_back =
            |other: &&(&PathBuf, BTreeSet<PathBuf>)| targets.contains(other.0) && other.1.contains(*file);
        found.push(reached.iter().filter(leads_back).map(|(other, _)| (*other).clone()).collect());
    }
    found
}

/// Returns every file that `from` imports, directly or through others.
fn reachable(graph: &Graph, from: &PathBuf) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for import in graph.imports.iter().filter(|import| import.from == *file) {
            if reached.insert(import.to.clone()) {
                open.push(&import.to);
            }
        }
    }
    reached
}

/// Returns the shortest way from the first file of `circle` back to it.
fn way_round(graph: &Graph, circle: &BTreeSet<PathBuf>) -> String {
    let first = circle.first().expect("a circle has files");
    let mut reached: BTreeMap<&PathBuf, Vec<&PathBuf>> = BTreeMap::new();
    let mut open = VecDeque::from([vec![first]]);
    while let Some(way) = open.pop_front() {
        let last = *way.last().expect("a way has a start");
        for import in graph.imports.iter().filter(|import| import.from == *last) {
            if circle.contains(&import.to) && !reached.contains_key(&import.to) {
                let longer: Vec<_> = way.iter().copied().chain([&import.to]).collect();
                reached.insert(&import.to, longer.clone());
                open.push_back(longer);
            }
        }
    }
    reached[first].iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" -> ")
}

/// Returns one text for each circle: its files, and the imports that tie them.
pub fn describe(graph: &Graph) -> Vec<String> {
    let text = |circle: &BTreeSet<PathBuf>| {
        let mut text =
            format!("circle of {} files, one way round: {}", circle.len(), way_round(graph, circle));
        let mut seen = BTreeSet::new();
        for import in &graph.imports {
            let ties = circle.contains(&import.from) && circle.contains(&import.to);
            if ties && seen.insert((&import.from, &import.to)) {
                text += &format!(
                    "\n  {}:{} imports {} by `{}`",
                    import.from.display(),
                    import.line,
                    import.to.display(),
                    import.path
                );
            }
        }
        text
    };
    circles(graph).iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::imports::graph_of;

    /// Returns what is said of the circles of a made-up crate.
    fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
        describe(&graph_of(&files, Path::new("lib.rs")).unwrap())
    }

    #[test]
    fn one_direction_is_no_circle() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::f; fn g() { f() }"),
            ("b.rs", "pub fn f() {}"),
        ];
        assert_eq!(circles_of(&files), [""; 0]);
    }

    #[test]
    fn two_files_that_import_each_other_are_named_with_their_lines() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "\nuse crate::b::f;\npub fn g() { f() }"),
            ("b.rs", "pub fn f() { crate::a::g() }"),
        ];
        assert_eq!(
            circles_of(&files),
            [
                "circle of 2 files, one way round: a.rs -> b.rs -> a.rs\n  a.rs:2 imports b.rs by `crate::b::f`\n  b.rs:1 imports a.rs by `crate::a::g`"
            ]
        );
    }

    #[test]
    fn long_circle_is_one() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use super::b::g; pub fn f() {}"),
            ("b.rs", "use super::c::h; pub fn g() {}"),
            ("c.rs", "use super::a::f; use super::d::i; pub fn h() {}"),
            ("d.rs", "pub fn i() {}"),
        ];
        let found = circles_of(&files);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("circle of 3 files, one way round: a.rs -> b.rs -> c.rs -> a.rs"),
            "{}",
            found[0]
        );
        assert!(!found[0].contains("d.rs"), "{}", found[0]);
    }

    #[test]
    fn separate_circles_are_separate() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use super::b::g; pub fn f() {}"),
            ("b.rs", "use super::a::f; use super::c::h; pub fn g() {}"),
            ("c.rs", "use super::d::i; pub fn h() {}"),
            ("d.rs", "use super::c::h; pub fn i() {}"),
        ];
        assert_eq!(circles_of(&files).len(), 2);
    }

    #[test]
    fn child_that_imports_from_a_parent_that_re_exports_it_is_a_circle() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod child; pub use child::f; pub fn g() {}"),
            ("a/child.rs", "use super::g; pub fn f() {}"),
        ];
        assert_eq!(circles_of(&files).len(), 1);
    }

    #[test]
    fn child_that_imports_from_a_parent_that_only_declares_it_is_none() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod child; pub fn g() {}"),
            ("a/child.rs", "use super::g; pub fn f() {}"),
        ];
        assert_eq!(circles_of(&files), [""; 0]);
    }
}
