//! Links of documents, and the paths that they name.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::repository::{Document, Repository, spans};

/// Endings of files that documents name.
const ENDINGS: [&str; 9] = [".rs", ".md", ".s", ".toml", ".sh", ".ld", ".json", ".txt", ".yml"];

/// Returns the relative links that lead nowhere, and the paths in code spans that no file has.
pub fn check(document: &Document, repository: &Repository) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in document.lines() {
        for target in targets(line) {
            if let Some(why) = broken(document, repository, target) {
                found.push(format!("{}:{number}: link to {target}: {why}", document.path));
            }
        }
        // History names what was there.
        if document.is_history() {
            continue;
        }
        for (_, code) in spans(line).filter(|(is_code, _)| *is_code) {
            if is_path(code) && !exists(repository, code) {
                found.push(format!("{}:{number}: no such file: {code}", document.path));
            }
        }
    }
    found
}

/// Returns what the `[text](target)` links of a line lead to.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// Returns why the link leads nowhere. Links to other places are not followed.
fn broken(document: &Document, repository: &Repository, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, heading) =
        target.split_once('#').map_or((target, None), |(path, heading)| (path, Some(heading)));
    let path = match path {
        "" => document.path.clone(),
        path => normal(&Path::new(&document.path).parent().unwrap_or(Path::new("")).join(path))?,
    };
    let is_folder =
        repository.files.iter().any(|file| file.starts_with(&format!("{}/", path.trim_end_matches('/'))));
    if !is_folder && !repository.files.contains(&path) {
        return Some("no such file");
    }
    let heading = heading.filter(|_| path.ends_with(".md"))?;
    let target = repository.documents.iter().find(|other| other.path == path)?;
    (!headings(target).contains(heading)).then_some("no such heading")
}

/// Returns the path without `.` and `..`, or `None` if it leaves the repository.
fn normal(path: &Path) -> Option<String> {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                if !parts.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            part => parts.push(part),
        }
    }
    Some(parts.to_string_lossy().into_owned())
}

/// Returns the anchors of a document's headings, as GitHub makes them.
fn headings(document: &Document) -> BTreeSet<String> {
    let title = |line: &str| line.starts_with('#').then(|| line.trim_start_matches('#').trim().to_owned());
    let keep = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let anchor =
        |title: String| title.to_lowercase().chars().filter(keep).collect::<String>().replace(' ', "-");
    document.lines().filter_map(|(_, line)| title(line)).map(anchor).collect()
}

/// Returns whether a code span is the path of a file or folder of the repository.
fn is_path(code: &str) -> bool {
    let is_plain = code.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let ends = |ending: &str| code.ends_with(ending) && code.len() > ending.len();
    is_plain
        && code.contains('/')
        && !code.starts_with(['/', '.'])
        && (ENDINGS.iter().any(|ending| ends(ending)) || code.ends_with('/'))
}

/// Returns whether a file or folder has this path, or ends with it.
fn exists(repository: &Repository, path: &str) -> bool {
    // Made by a run or by the reader.
    if path.starts_with("ktask-out/") || path.starts_with("target/") || path.contains("/my_") {
        return true;
    }
    let inner = format!("/{path}");
    repository.files.iter().any(|file| match path.ends_with('/') {
        true => file.starts_with(path) || file.contains(&inner),
        false => file == path || file.ends_with(&inner),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is found in docs/a.md with this text, beside docs/b.md and src/c.rs.
    fn found_in(text: &str) -> Vec<String> {
        let document = |path: &str, text: &str| Document { path: path.into(), text: text.into() };
        let repository = Repository {
            files: ["docs/a.md", "docs/b.md", "src/x/c.rs"].map(String::from).into(),
            documents: vec![document("docs/a.md", text), document("docs/b.md", "# One, two: `x`\n")],
        };
        check(&repository.documents[0], &repository)
    }

    #[test]
    fn links_lead_to_files_folders_and_headings() {
        assert_eq!(found_in("[b](b.md), [c](../src/x/c.rs), [x](../src/x/), [w](https://x.y/z)"), [""; 0]);
        assert_eq!(found_in("[b](b.md#one-two-x) # A\n[own](#a)\n# A"), [""; 0]);
    }

    #[test]
    fn links_that_lead_nowhere_are_named() {
        assert_eq!(found_in("[b](none.md)"), ["docs/a.md:1: link to none.md: no such file"]);
        assert_eq!(found_in("[b](b.md#three)"), ["docs/a.md:1: link to b.md#three: no such heading"]);
        assert_eq!(found_in("[b](../src/c.rs)").len(), 1);
    }

    #[test]
    fn paths_in_code_exist() {
        assert_eq!(
            found_in("`src/x/c.rs`, `x/c.rs`, `x/`, `cargo test`, `a/b`, `ktask-out/report.json`"),
            [""; 0]
        );
        assert_eq!(found_in("`x/d.rs`"), ["docs/a.md:1: no such file: x/d.rs"]);
        assert_eq!(found_in("```\n`x/d.rs`\n```"), [""; 0]);
    }
}
