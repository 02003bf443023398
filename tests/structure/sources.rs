//! Access to source files: on disk, or in a made-up tree of a test.

use std::path::{Path, PathBuf};

/// A tree of source files.
pub trait Sources {
    /// Returns the text of the file, or `None` if there is no such file.
    fn read(&self, path: &Path) -> Option<String>;

    /// Returns the names of the files in the folder, sorted.
    fn list(&self, folder: &Path) -> Vec<String>;
}

/// Files below a directory.
pub struct Disk(pub PathBuf);

impl Sources for Disk {
    fn read(&self, path: &Path) -> Option<String> {
        std::fs::read_to_string(self.0.join(path)).ok()
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.join(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}

/// Files of a test: path and text.
#[cfg(test)]
impl Sources for &[(&str, &str)] {
    fn read(&self, path: &Path) -> Option<String> {
        let (_, text) = self.iter().find(|(name, _)| Path::new(name) == path)?;
        Some((*text).to_owned())
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let in_folder = |(name, _): &&(&str, &str)| Path::new(name).parent() == Some(folder);
        let name = |(name, _): &(&str, &str)| Some(Path::new(name).file_name()?.to_str()?.to_owned());
        self.iter().filter(in_folder).filter_map(name).collect()
    }
}
