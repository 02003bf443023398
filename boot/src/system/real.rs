//! The real host.

use super::environment::remove_build_environment;
use super::interface::{Captured, System};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The real host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Real;

impl System for Real {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn entries(&self, directory: &Path) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(directory) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths
    }

    fn capture(&self, program: &Path, arguments: &[&str]) -> io::Result<Captured> {
        let mut command = Command::new(program);
        remove_build_environment(&mut command);
        let output = command
            .args(arguments)
            // Messages are parsed, so they must not be translated. Inspecting a toolchain must not start a download.
            .env("LC_ALL", "C")
            .env("RUSTUP_AUTO_INSTALL", "0")
            .stdin(Stdio::null())
            .output()?;
        Ok(Captured {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    fn perform(&self, program: &Path, arguments: &[&str]) -> io::Result<bool> {
        let status = Command::new(program)
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            // Standard output is for the command's results.
            .stdout(io::stderr())
            .status()?;
        Ok(status.success())
    }

    fn is_interactive(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    fn ask(&self, question: &str) -> bool {
        eprint!("{question} [Y/n] ");
        let mut answer = String::new();
        if io::stderr().flush().is_err() || io::stdin().read_line(&mut answer).is_err() {
            return false;
        }
        // An empty line means yes; the end of the input is no answer.
        answer.ends_with('\n') && matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes")
    }

    fn is_root(&self) -> bool {
        nix::unistd::geteuid().is_root()
    }
}
