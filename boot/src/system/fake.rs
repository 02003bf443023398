//! A fake system for tests: files, variables, and the output of each program.

use super::{Captured, System};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// A system with the files, variables and programs that a test adds.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) vars: BTreeMap<String, String>,
    pub(crate) files: RefCell<BTreeSet<PathBuf>>,
    /// Results by `program argument...`; other programs cannot be started.
    pub(crate) answers: RefCell<BTreeMap<String, Captured>>,
    /// Effects of command lines that `perform` runs.
    pub(crate) effects: BTreeMap<String, Effect>,
    /// Command lines that `perform` ran, in order.
    pub(crate) performed: RefCell<Vec<String>>,
    pub(crate) interactive: bool,
    pub(crate) root: bool,
    /// The user's answer, and the number of questions.
    pub(crate) answer: bool,
    pub(crate) questions: Cell<u32>,
}

/// Effect of a command on the fake system.
#[derive(Clone, Default)]
pub(crate) struct Effect {
    pub(crate) success: bool,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) answers: Vec<(String, String)>,
}

impl Fake {
    pub(crate) fn with_path(directories: &str) -> Self {
        let mut fake = Self::default();
        fake.vars.insert("PATH".into(), directories.into());
        fake
    }

    pub(crate) fn file(&self, path: impl Into<PathBuf>) {
        self.files.borrow_mut().insert(path.into());
    }

    /// Makes `command_line` print `stdout` and succeed.
    pub(crate) fn says(&self, command_line: &str, stdout: &str) {
        let captured = Captured { success: true, stdout: stdout.into(), stderr: String::new() };
        self.answers.borrow_mut().insert(command_line.into(), captured);
    }
}

fn command_line(program: &Path, arguments: &[&str]) -> String {
    let mut words = vec![program.to_str().expect("test paths are UTF-8")];
    words.extend(arguments);
    words.join(" ")
}

impl System for Fake {
    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).cloned()
    }

    fn is_file(&self, path: &Path) -> bool {
        self.files.borrow().contains(path)
    }

    fn entries(&self, directory: &Path) -> Vec<PathBuf> {
        let files = self.files.borrow();
        let children: BTreeSet<_> = files
            .iter()
            .filter_map(|file| file.strip_prefix(directory).ok()?.iter().next())
            .map(|name| directory.join(name))
            .collect();
        children.into_iter().collect()
    }

    fn capture(&self, program: &Path, arguments: &[&str]) -> io::Result<Captured> {
        let answers = self.answers.borrow();
        answers.get(&command_line(program, arguments)).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn perform(&self, program: &Path, arguments: &[&str]) -> io::Result<bool> {
        let command_line = command_line(program, arguments);
        let effect = self.effects.get(&command_line).cloned().unwrap_or_default();
        self.performed.borrow_mut().push(command_line);
        for file in effect.files {
            self.file(file);
        }
        for (command_line, stdout) in effect.answers {
            self.says(&command_line, &stdout);
        }
        Ok(effect.success)
    }

    fn is_interactive(&self) -> bool {
        self.interactive
    }

    fn ask(&self, _question: &str) -> bool {
        self.questions.set(self.questions.get() + 1);
        self.answer
    }

    fn is_root(&self) -> bool {
        self.root
    }
}
