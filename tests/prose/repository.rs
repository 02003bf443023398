//! The files of the repository.

use std::path::Path;

/// Folders without text of ours.
const SKIPPED: [&str; 3] = [".git", "target", "ktask-out"];

/// All files, and the text of those that are read.
pub struct Repository {
    /// Paths of all files, relative to the root.
    pub files: Vec<String>,
    /// Rust sources and Markdown documents.
    pub documents: Vec<Document>,
}

/// A file with words.
pub struct Document {
    /// Relative to the root.
    pub path: String,
    pub text: String,
}

impl Repository {
    /// Reads the repository that this crate lies in.
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository");
        let mut files = Vec::new();
        list(root, "", &mut files);
        files.sort();
        let is_read = |path: &&String| path.ends_with(".rs") || path.ends_with(".md");
        let document = |path: &String| Document {
            path: path.clone(),
            text: std::fs::read_to_string(root.join(path)).expect("sources and documents are UTF-8"),
        };
        let documents: Vec<_> = files.iter().filter(is_read).map(document).collect();
        assert!(documents.len() > 300, "only {} documents", documents.len());
        Self { files, documents }
    }
}

fn list(folder: &Path, prefix: &str, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("folders can be listed").flatten() {
        let name = entry.file_name().into_string().expect("names are UTF-8");
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(&entry.path(), &format!("{path}/"), files);
        } else {
            files.push(path);
        }
    }
}

impl Document {
    pub fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }

    /// Returns whether the text tells what was, in the words of its time.
    pub fn is_history(&self) -> bool {
        self.path.ends_with("CHANGELOG.md") || self.path.starts_with("docs/decisions/")
    }

    /// Returns the lines with their numbers, without the fenced blocks of Markdown.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut is_fenced = false;
        self.text.lines().enumerate().filter_map(move |(index, line)| {
            let is_fence = self.is_markdown() && line.trim_start().starts_with("```");
            is_fenced ^= is_fence;
            (!is_fence && !is_fenced).then_some((index + 1, line))
        })
    }
}

/// Returns the parts of a Markdown line outside and inside of code spans: `true` is inside.
pub fn spans(line: &str) -> impl Iterator<Item = (bool, &str)> {
    line.split('`').enumerate().map(|(index, part)| (index % 2 == 1, part))
}
