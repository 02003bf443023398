//! What set-up asks of the machine, as a trait.

use std::io;
use std::path::{Path, PathBuf};

/// What set-up needs to know about, and do to, the machine.
pub trait System {
    /// An environment variable; `None` also when it is empty.
    fn var(&self, name: &str) -> Option<String>;
    /// Whether there is a file at `path`.
    fn is_file(&self, path: &Path) -> bool;
    /// What a directory holds, sorted; nothing when it cannot be read.
    fn entries(&self, directory: &Path) -> Vec<PathBuf>;
    /// Runs a program without input and returns what it printed.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    fn capture(&self, program: &Path, arguments: &[&str]) -> io::Result<Captured>;
    /// Runs a program whose output the user should see; returns whether it succeeded.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    fn perform(&self, program: &Path, arguments: &[&str]) -> io::Result<bool>;
    /// Whether someone sits at a terminal and can answer.
    fn is_interactive(&self) -> bool;
    /// Asks a question that yes is the default answer to.
    fn ask(&self, question: &str) -> bool;
    /// Whether we may change the system.
    fn is_root(&self) -> bool;

    /// The first file called `program` in the directories of `PATH`.
    fn find_in_path(&self, program: &str) -> Option<PathBuf> {
        self.all_in_path(program).into_iter().next()
    }

    /// Every file called `program` in the directories of `PATH`, in their order.
    fn all_in_path(&self, program: &str) -> Vec<PathBuf> {
        let path = self.var("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .map(|directory| directory.join(program))
            .filter(|file| self.is_file(file))
            .collect()
    }
}

/// What a program printed, and whether it succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Whether the exit status was 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}
