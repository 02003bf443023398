//! Access to source files: on disk, or in a made-up tree of a test.

use std::path::{Path, PathBuf};

/// A tree of source files.
pub trait Sources {
    /// Returns the text of the file, or `None` if there is no such file.
    fn read(&self, path: &Path) -> Option<String>;
}

/// Files below a directory.
pub struct Disk(pub PathBuf);

impl Sources for Disk {
    fn read(&self, path: &Path) -> Option<String> {
        std::fs::read_to_string(self.0.join(path)).ok()
    }
}

/// Files of a test: path and text.
#[cfg(test)]
impl Sources for &[(&str, &str)] {
    fn read(&self, path: &Path) -> Option<String> {
        let (_, text) = self.iter().find(|(name, _)| Path::new(name) == path)?;
        Some((*text).to_owned())
    }
}
