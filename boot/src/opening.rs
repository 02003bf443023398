//! Opens a file with the program that the user's desktop has for it.

use crate::failure::Failure;
use crate::system::System;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// The program that knows the desktop's programs.
const OPENER: &str = "xdg-open";

/// A browser that still runs after this time has opened the file; the program may wait for its end.
const PATIENCE: Duration = Duration::from_secs(3);

/// Returns the program that opens files.
///
/// # Errors
///
/// When there is none.
pub fn find(system: &impl System) -> Result<PathBuf, Failure> {
    system.find_in_path(OPENER).ok_or_else(|| {
        Failure::usage(format!(
            "--open: there is no {OPENER} in PATH; install the package xdg-utils, or open ktask-out/report.html by hand"
        ))
    })
}

/// Opens `file`, and does not wait for the browser's end.
///
/// # Errors
///
/// When the program cannot be started, or says that it cannot open the file.
pub fn open(program: &Path, file: &Path) -> Result<(), Failure> {
    let failed =
        |why: String| Failure::usage(format!("--open: {} {}: {why}", program.display(), file.display()));
    let mut child = Command::new(program)
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let (sender, receiver) = channel();
    // The receiver may be gone when a browser ends at last.
    std::thread::spawn(move || sender.send(child.wait()).ok());
    match receiver.recv_timeout(PATIENCE) {
        Ok(Ok(status)) if !status.success() => {
            Err(failed(format!("no program could show it ({status}); is there a browser?")))
        }
        Ok(Err(error)) => Err(failed(error.to_string())),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::fake::Fake;
    use protocol::exit::HostStatus;

    #[test]
    fn missing_program_is_one_clear_line() {
        let failure = find(&Fake::with_path("/usr/bin")).unwrap_err();
        assert_eq!(failure.status, HostStatus::Usage);
        assert!(failure.message.starts_with("--open: there is no xdg-open in PATH"), "{failure}");
        let fake = Fake::with_path("/usr/bin");
        fake.file("/usr/bin/xdg-open");
        assert_eq!(find(&fake).unwrap(), Path::new("/usr/bin/xdg-open"));
    }

    #[test]
    fn program_gets_the_file_and_its_failure_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (file, copy) = (folder.path().join("report.html"), folder.path().join("copy"));
        std::fs::write(&file, "content").unwrap();
        assert_eq!(open(Path::new("/bin/true"), &file), Ok(()));
        let failure = open(Path::new("/bin/false"), &file).unwrap_err();
        assert!(failure.message.contains("no program could show it"), "{failure}");
        let failure = open(Path::new("/nowhere/xdg-open"), &file).unwrap_err();
        assert!(failure.message.starts_with("--open: /nowhere/xdg-open"), "{failure}");
        let script = folder.path().join("opener");
        std::fs::write(&script, format!("#!/bin/sh\nexec cp \"$1\" '{}'\n", copy.display())).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(open(&script, &file), Ok(()));
        assert_eq!(std::fs::read_to_string(copy).unwrap(), "content");
    }
}
