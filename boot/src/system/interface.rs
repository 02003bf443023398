//! The trait through which set-up reads and changes the host.

use std::io;
use std::path::{Path, PathBuf};

/// The host, as set-up sees it.
pub trait System {
    /// Returns an environment variable; `None` also if it is empty.
    fn var(&self, name: &str) -> Option<String>;
    /// Returns whether `path` is a file.
    fn is_file(&self, path: &Path) -> bool;
    /// Returns the sorted entries of a directory; none if it cannot be read.
    fn entries(&self, directory: &Path) -> Vec<PathBuf>;
    /// Runs a program without input and returns its output.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    fn capture(&self, program: &Path, arguments: &[&str]) -> io::Result<Captured>;
    /// Runs a program with its output visible to the user; returns whether it succeeded.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    fn perform(&self, program: &Path, arguments: &[&str]) -> io::Result<bool>;
    /// Returns whether a user at a terminal can answer.
    fn is_interactive(&self) -> bool;
    /// Asks a question whose default answer is yes.
    fn ask(&self, question: &str) -> bool;
    /// Returns whether this process may change the system.
    fn is_root(&self) -> bool;

    /// Returns the first file called `program` in the directories of `PATH`.
    fn find_in_path(&self, program: &str) -> Option<PathBuf> {
        self.all_in_path(program).into_iter().next()
    }

    /// Returns every file called `program` in the directories of `PATH`, in their order.
    fn all_in_path(&self, program: &str) -> Vec<PathBuf> {
        let path = self.var("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .map(|directory| directory.join(program))
            .filter(|file| self.is_file(file))
            .collect()
    }
}

/// Output and success of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Whether the exit status was 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}
