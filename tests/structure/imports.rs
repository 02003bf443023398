//! The import graph of a crate: which file uses what of which other file.
//!
//! The rules:
//!
//! * A file imports another one if its code names an item of it: in a `use`, by an inline path, in the arguments of a
//!   macro, or by calling a macro that the other file defines.
//! * A module is a namespace. `mod child;` is no import, and neither is a path that only passes through a module or
//!   ends at one: `use crate::sched::wait` imports nothing by itself, `wait::Queue::new()` then imports
//!   `sched/wait.rs`.
//! * A re-export of an item counts as an item of the file that re-exports it, and that file imports the item. Thus
//!   `use crate::sched::park` imports `sched/mod.rs`, if it says `pub use wait::park`, and `sched/wait.rs` as well.
//!   A re-export of a module is a passage, as the module is. The root of a crate is its public face: its re-exports are
//!   passages too.
//! * `use path::*` imports the file of the module or enum at `path`.
//! * A `use` of a name that is a module and an item imports the item only if the code uses the name without a path.
//! * A name that the parser cannot see, because a macro makes it, counts as an item of the module where the path ends.
//! * Code for tests alone does not count: `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, ...))]`.
//! * Methods need no import, and are not seen.
//! * A `mod.rs` that includes a file of the build's `OUT_DIR` has all files of its folder as children: the build script lists
//!   them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::sources::Sources;
use crate::tree::{Mention, MentionKind, ModuleId, ROOT, Tree};

/// Files of a crate, and imports between them.
pub struct Graph {
    pub files: BTreeSet<PathBuf>,
    /// In the order of the modules and of their lines.
    pub imports: Vec<Import>,
}

/// An import of a file by another file.
pub struct Import {
    pub from: PathBuf,
    pub to: PathBuf,
    pub line: usize,
    /// The path as written in the source.
    pub path: String,
}

/// Reads the crate with the root file `root` and returns its graph.
pub fn graph_of(sources: &dyn Sources, root: &Path) -> Result<Graph, String> {
    let tree = Tree::read(sources, root)?;
    let mut imports = Vec::new();
    for (id, module) in tree.modules.iter().enumerate() {
        for mention in &module.mentions {
            for to in files_of(&tree, id, mention) {
                let to = &tree.modules[to].file;
                if *to != module.file {
                    imports.push(Import {
                        from: module.file.clone(),
                        to: to.clone(),
                        line: mention.line,
                        path: mention.path.join("::"),
                    });
                }
            }
        }
    }
    imports.sort_by(|a, b| (&a.from, a.line, &a.path).cmp(&(&b.from, b.line, &b.path)));
    Ok(Graph { files: tree.modules.iter().map(|module| module.file.clone()).collect(), imports })
}

/// The target of a path.
enum Target {
    Module(ModuleId),
    /// An item, and the modules whose files have it: the one that declares it and those that re-export it.
    Item(Vec<ModuleId>),
}

/// Returns the modules whose files the mention imports.
fn files_of(tree: &Tree, at: ModuleId, mention: &Mention) -> Vec<ModuleId> {
    let mut resolver = Resolver { tree, open: Vec::new() };
    let is_bare = mention.path.last().is_some_and(|name| tree.modules[at].bare_names.contains(name));
    let wants_item = mention.kind != MentionKind::Use || is_bare;
    match (mention.kind, resolver.path(at, &mention.path, wants_item)) {
        (MentionKind::Glob, Some(Target::Module(module))) => vec![module],
        (_, Some(Target::Item(modules))) => modules,
        // A macro of an outer scope, which needs no import.
        (MentionKind::Macro, None) if mention.path.len() == 1 => {
            let name = &mention.path[0];
            match tree.macros.get(name) {
                Some(modules) if !modules.contains(&at) => modules.clone(),
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

struct Resolver<'a> {
    tree: &'a Tree,
    /// Lookups in progress: globs may lead back to one of them.
    open: Vec<(ModuleId, String, bool)>,
}

impl Resolver<'_> {
    /// Returns what `path` leads to, seen from module `at`; `None` for what other crates have.
    /// `wants_item` prefers an item to a module at the end of the path.
    fn path(&mut self, at: ModuleId, path: &[String], wants_item: bool) -> Option<Target> {
        let (first, mut rest) = path.split_first()?;
        let mut module = match first.as_str() {
            "crate" => ROOT,
            "self" => at,
            "super" => self.tree.modules[at].parent?,
            name => match self.name(at, name, rest.is_empty() && wants_item, true)? {
                Target::Module(module) => module,
                item => return Some(item),
            },
        };
        while let Some((name, after)) = rest.split_first() {
            rest = after;
            if name == "super" {
                module = self.tree.modules[module].parent?;
                continue;
            }
            if module == ROOT
                && let Some(defining) = self.tree.exported_macros.get(name)
            {
                return Some(Target::Item(vec![*defining]));
            }
            match self.name(module, name, rest.is_empty() && wants_item, false) {
                Some(Target::Module(child)) => module = child,
                Some(item) => return Some(item),
                // Made by a macro.
                None => return Some(Target::Item(vec![module])),
            }
        }
        Some(Target::Module(module))
    }

    /// Returns what `name` is in module `at`. A module and an item may have the same name: the end of a path is then
    /// the item, the middle is the module. `from_within` makes imports of function bodies visible.
    fn name(&mut self, at: ModuleId, name: &str, is_end: bool, from_within: bool) -> Option<Target> {
        let key = (at, name.to_owned(), is_end);
        if self.open.contains(&key) {
            return None;
        }
        self.open.push(key);
        let found = self.candidates(at, name, is_end, from_within);
        self.open.pop();
        let (mut modules, mut items): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|target| matches!(target, Target::Module(_)));
        if is_end { items.pop().or(modules.pop()) } else { modules.pop().or(items.pop()) }
    }

    fn candidates(&mut self, at: ModuleId, name: &str, is_end: bool, from_within: bool) -> Vec<Target> {
        let tree = self.tree;
        let module = &tree.modules[at];
        let mut found = Vec::new();
        for glob in &module.globs {
            if let Some(Target::Module(source)) = self.path(at, glob, false) {
                found.extend(self.name(source, name, true, false).map(|target| through(target, at)));
                found.extend(self.name(source, name, false, false).map(|target| through(target, at)));
            }
        }
        let local: &[_] = if from_within { &module.local_uses } else { &[] };
        for (_, path) in local.iter().chain(&module.uses).filter(|(used, _)| used == name) {
            // A path that starts with its own name, `use uart::uart`, means the other crate or a child.
            if path.len() == 1 && path[0] == name {
                continue;
            }
            match self.path(at, path, is_end) {
                Some(target) => found.push(through(target, at)),
                None => found.push(Target::Item(vec![at])),
            }
        }
        found.extend(module.items.contains(name).then(|| Target::Item(vec![at])));
        found.extend(module.children.get(name).map(|child| Target::Module(*child)));
        found
    }
}

/// Returns `target` as re-exported by module `by`; the root adds nothing.
fn through(target: Target, by: ModuleId) -> Target {
    match target {
        Target::Module(module) => Target::Module(module),
        Target::Item(modules) if by == ROOT => Target::Item(modules),
        Target::Item(mut modules) => {
            modules.push(by);
            Target::Item(modules)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the imports of a made-up crate as "from:line -> to", each once.
    fn imports_of(files: &[(&str, &str)]) -> Vec<String> {
        let graph = graph_of(&files, Path::new("lib.rs")).unwrap();
        let mut lines: Vec<String> = graph
            .imports
            .iter()
            .map(|import| format!("{}:{} -> {}", import.from.display(), import.line, import.to.display()))
            .collect();
        lines.dedup();
        lines
    }

    /// Returns the imports of `text` as the file a.rs, beside b/mod.rs and b/c.rs.
    fn imports_of_a(text: &str) -> Vec<String> {
        imports_of(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", text),
            ("b/mod.rs", "pub mod c; pub use c::Shown; pub fn f() {}"),
            ("b/c.rs", "pub struct Shown; pub struct Own; pub mod inner { pub fn g() {} }"),
        ])
        .into_iter()
        .filter(|line| line.starts_with("a.rs"))
        .collect()
    }

    #[test]
    fn use_of_an_item() {
        assert_eq!(imports_of_a("use crate::b::c::Own;"), ["a.rs:1 -> b/c.rs"]);
        assert_eq!(imports_of_a("use super::b::c::Own;"), ["a.rs:1 -> b/c.rs"]);
        assert_eq!(imports_of_a("use crate::b::c::Own as Other;"), ["a.rs:1 -> b/c.rs"]);
        assert_eq!(imports_of_a("use crate::b::c::inner::g;"), ["a.rs:1 -> b/c.rs"]);
    }

    #[test]
    fn use_of_groups_has_the_line_of_each_name() {
        assert_eq!(
            imports_of_a("use crate::b::{\n  c::Own,\n  f,\n};"),
            ["a.rs:2 -> b/c.rs", "a.rs:3 -> b/mod.rs"]
        );
        assert_eq!(imports_of_a("use crate::b::c::{self, Own};"), ["a.rs:1 -> b/c.rs"]);
    }

    #[test]
    fn re_export_is_an_item_of_both_files() {
        assert_eq!(imports_of_a("use crate::b::Shown;"), ["a.rs:1 -> b/c.rs", "a.rs:1 -> b/mod.rs"]);
    }

    #[test]
    fn module_is_a_namespace() {
        assert_eq!(imports_of_a("use crate::b;"), [""; 0]);
        assert_eq!(imports_of_a("use crate::b::c;"), [""; 0]);
        assert_eq!(imports_of_a("use crate::b::c;\nfn g() { c::Own }"), ["a.rs:2 -> b/c.rs"]);
        assert_eq!(imports_of_a("use crate::b::{self};\nfn g() -> b::c::Own {}"), ["a.rs:2 -> b/c.rs"]);
        assert_eq!(imports_of_a("use crate::b::c as d;\nfn g(x: &d::Own) {}"), ["a.rs:2 -> b/c.rs"]);
    }

    #[test]
    fn inline_paths() {
        assert_eq!(imports_of_a("fn g() { crate::b::f() }"), ["a.rs:1 -> b/mod.rs"]);
        assert_eq!(imports_of_a("fn g(x: Option<super::b::c::Own>) {}"), ["a.rs:1 -> b/c.rs"]);
        assert_eq!(imports_of_a("impl X for crate::b::c::Own {}"), ["a.rs:1 -> b/c.rs"]);
        assert_eq!(imports_of_a("fn g() { match x { crate::b::c::Own => {} } }"), ["a.rs:1 -> b/c.rs"]);
        assert_eq!(imports_of_a("fn g() { <crate::b::c::Own as X>::h() }"), ["a.rs:1 -> b/c.rs"]);
    }

    #[test]
    fn arguments_of_macros() {
        assert_eq!(imports_of_a("fn g() { check!(1 == crate::b::f(), \"x\") }"), ["a.rs:1 -> b/mod.rs"]);
        assert_eq!(imports_of_a("use crate::b;\nfn g() { check!({ b::c::Own }) }"), ["a.rs:2 -> b/c.rs"]);
        assert_eq!(imports_of_a("macro_rules! m { () => { $crate::b::f() } }"), ["a.rs:1 -> b/mod.rs"]);
    }

    #[test]
    fn globs() {
        assert_eq!(imports_of_a("use crate::b::*;"), ["a.rs:1 -> b/mod.rs"]);
        assert_eq!(
            imports_of_a("use crate::b::*;\nfn g() { c::Own }"),
            ["a.rs:1 -> b/mod.rs", "a.rs:2 -> b/c.rs"]
        );
    }

    #[test]
    fn re_export_by_the_root_is_a_passage() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use b::f; pub fn g() {}"),
            ("a.rs", "use crate::f;\nuse crate::g;"),
            ("b.rs", "pub fn f() {}"),
        ];
        assert_eq!(imports_of(&files), ["a.rs:1 -> b.rs", "a.rs:2 -> lib.rs", "lib.rs:1 -> b.rs"]);
    }

    #[test]
    fn re_export_of_modules_is_a_passage() {
        let files = [
            ("lib.rs", "mod arch; mod a;"),
            ("arch/mod.rs", "mod x86; pub use self::x86::*;"),
            ("arch/x86/mod.rs", "pub mod irq;"),
            ("arch/x86/irq.rs", "pub fn off() {}"),
            ("a.rs", "use crate::arch::irq;\nfn f() { irq::off() }"),
        ];
        assert_eq!(imports_of(&files), ["a.rs:2 -> arch/x86/irq.rs", "arch/mod.rs:1 -> arch/x86/mod.rs"]);
    }

    #[test]
    fn module_and_item_of_one_name() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("b/mod.rs", "pub mod look; pub use look::look;"),
            ("b/look.rs", "pub fn look() {} pub fn other() {}"),
            ("a.rs", "fn f() { crate::b::look();\n crate::b::look::other() }"),
        ];
        assert_eq!(
            imports_of(&files),
            ["a.rs:1 -> b/look.rs", "a.rs:1 -> b/mod.rs", "a.rs:2 -> b/look.rs", "b/mod.rs:1 -> b/look.rs"]
        );
    }

    #[test]
    fn use_of_a_module_and_item_of_one_name_follows_its_use() {
        let imports_of_a = |text| {
            let files = [
                ("lib.rs", "mod a; mod b;"),
                ("b/mod.rs", "pub mod look; pub use look::look;"),
                ("b/look.rs", "pub fn look() {} pub fn other() {}"),
                ("a.rs", text),
            ];
            imports_of(&files).into_iter().filter(|line| line.starts_with("a.rs")).collect::<Vec<_>>()
        };
        assert_eq!(imports_of_a("use crate::b::look;\nfn f() { look::other() }"), ["a.rs:2 -> b/look.rs"]);
        assert_eq!(
            imports_of_a("use crate::b::look;\nfn f() { look() }"),
            ["a.rs:1 -> b/look.rs", "a.rs:1 -> b/mod.rs"]
        );
    }

    #[test]
    fn parent_that_calls_its_child_imports_it() {
        let files = [("lib.rs", "mod a; fn f() { a::g() }"), ("a.rs", "pub fn g() {}")];
        assert_eq!(imports_of(&files), ["lib.rs:1 -> a.rs"]);
        let files = [("lib.rs", "mod a;"), ("a.rs", "pub fn g() {}")];
        assert_eq!(imports_of(&files), [""; 0]);
    }

    #[test]
    fn exported_and_scoped_macros() {
        let files = [
            ("lib.rs", "#[macro_use] mod m; mod a;"),
            ("m.rs", "#[macro_export] macro_rules! shown { () => {} } macro_rules! scoped { () => {} }"),
            ("a.rs", "fn f() { crate::shown!();\n scoped!();\n println!() }"),
        ];
        assert_eq!(imports_of(&files), ["a.rs:1 -> m.rs", "a.rs:2 -> m.rs"]);
    }

    #[test]
    fn code_for_tests_does_not_count() {
        assert_eq!(imports_of_a("#[cfg(test)] mod tests { use crate::b::f; }"), [""; 0]);
        assert_eq!(imports_of_a("#[cfg(all(test, not(loom)))] use crate::b::f;"), [""; 0]);
        assert_eq!(imports_of_a("#[test] fn t() { crate::b::f() }"), [""; 0]);
        assert_eq!(imports_of_a("#[cfg(not(test))] use crate::b::f;"), ["a.rs:1 -> b/mod.rs"]);
        assert_eq!(imports_of(&[("lib.rs", "#[cfg(test)] mod missing;")]), [""; 0]);
    }

    #[test]
    fn files_that_the_build_script_lists_are_modules() {
        let files = [
            ("lib.rs", "mod jobs; mod b;"),
            ("jobs/mod.rs", "include!(concat!(env!(\"OUT_DIR\"), \"/jobs.rs\"));"),
            ("jobs/one.rs", "use crate::b::f;"),
            ("jobs/two.rs", "\nuse crate::b::f;"),
            ("jobs/notes.md", "no module"),
            ("b.rs", "pub fn f() {}"),
        ];
        assert_eq!(imports_of(&files), ["jobs/one.rs:1 -> b.rs", "jobs/two.rs:2 -> b.rs"]);
    }

    #[test]
    fn imports_of_blocks() {
        assert_eq!(imports_of_a("mod inner { use super::super::b::f; }"), ["a.rs:1 -> b/mod.rs"]);
        assert_eq!(imports_of_a("fn g() { use crate::b;\n b::f() }"), ["a.rs:2 -> b/mod.rs"]);
    }

    #[test]
    fn other_crates_and_visibilities_are_no_imports() {
        assert_eq!(imports_of_a("use std::fmt; use ::b::c::Own; fn g(x: fmt::Result) {}"), [""; 0]);
        assert_eq!(imports_of_a("pub(in crate::b) fn g() {} pub(super) fn h() {}"), [""; 0]);
    }

    #[test]
    fn missing_and_broken_files_are_errors() {
        let error = |files: &[(&str, &str)]| graph_of(&files, Path::new("lib.rs")).err().unwrap();
        assert_eq!(error(&[("lib.rs", "mod a;")]), "a/mod.rs: no such file");
        assert!(error(&[("lib.rs", "fn {")]).starts_with("lib.rs: "));
    }
}
