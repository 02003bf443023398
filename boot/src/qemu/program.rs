//! QEMU's program: its path, its version and its firmware images.

use crate::failure::Failure;
use crate::system::System;
use std::path::{Path, PathBuf};

/// Name of QEMU's program in `PATH`.
pub const NAME: &str = "qemu-system-x86_64";

/// The option that names a program.
const OPTION: &str = "--qemu";

/// The variable that names a program if the option does not.
pub const VARIABLE: &str = "KTASK_QEMU";

/// Folders with firmware images in an unpacked package.
const DATA: [&str; 2] = ["usr/share/qemu", "usr/share/seabios"];

/// A QEMU program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Path of the program.
    pub path: PathBuf,
    /// Folders with firmware images that the program would not find.
    pub data: Vec<PathBuf>,
    /// The program's version, such as `10.0.2 (Debian ...)`; empty if it is unknown.
    pub version: String,
}

impl Program {
    /// Returns a program of unknown version.
    pub fn unchecked(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), data: Vec::new(), version: String::new() }
    }

    /// Returns the arguments that come before all others.
    pub fn arguments(&self) -> impl Iterator<Item = String> {
        self.data.iter().flat_map(|folder| ["-L".to_string(), folder.to_string_lossy().into_owned()])
    }

    /// Returns the first number of the version.
    pub fn major(&self) -> Option<u32> {
        self.version.split('.').next()?.parse().ok()
    }
}

/// Finds the program that `option` names, else the variable's, else the first in `PATH`. Returns `Ok(Err(reasons))` if none is
/// named and `PATH` has no working one.
///
/// # Errors
///
/// When the named program is not usable: the message has the option or variable, and the reason.
pub fn find(system: &impl System, option: Option<&Path>) -> Result<Result<Program, Vec<String>>, Failure> {
    let variable = || system.var(VARIABLE).map(|path| (format!("{VARIABLE}={path}"), PathBuf::from(path)));
    let named = option.map(|path| (format!("{OPTION} {}", path.display()), path.to_path_buf()));
    if let Some((name, path)) = named.or_else(variable) {
        let program = inspect(system, &path)
            .map_err(|reason| Failure::usage(format!("{name} is not usable: {reason}")))?;
        return Ok(Ok(program));
    }
    let Some(path) = system.find_in_path(NAME) else {
        return Ok(Err(Vec::new()));
    };
    Ok(inspect(system, &path).map_err(|reason| vec![format!("{}: {reason}", path.display())]))
}

/// Inspects one program; the error says why it is not usable.
///
/// # Errors
///
/// One line: the file does not exist, cannot be started, or is no QEMU.
pub fn inspect(system: &impl System, path: &Path) -> Result<Program, String> {
    if !system.is_file(path) {
        return Err(format!("no such file; name the program {NAME} itself"));
    }
    // Starting a name without a slash would search `PATH`.
    let path = &std::path::absolute(path).map_err(|error| format!("has no absolute path: {error}"))?;
    let answer =
        system.capture(path, &["--version"]).map_err(|error| format!("cannot be started: {error}"))?;
    if !answer.success {
        let line = answer.stderr.lines().next().unwrap_or("it prints no message");
        return Err(format!("does not work: {line}"));
    }
    let line = answer.stdout.lines().next().unwrap_or_default();
    let version = line
        .strip_prefix("QEMU emulator version ")
        .ok_or_else(|| format!("is no QEMU: with --version it prints {line:?}"))?;
    Ok(Program { path: path.into(), data: data_folders(system, path), version: version.to_string() })
}

/// Returns the folders with firmware images of an unpacked program: `usr/share` beside `usr/bin`.
fn data_folders(system: &impl System, path: &Path) -> Vec<PathBuf> {
    let Some(root) =
        path.parent().filter(|bin| bin.ends_with("usr/bin")).and_then(|bin| bin.ancestors().nth(2))
    else {
        return Vec::new();
    };
    // An installed program finds its folders.
    if root == Path::new("/") {
        return Vec::new();
    }
    let folders = DATA.iter().map(|folder| root.join(folder));
    folders.filter(|folder| !system.entries(folder).is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::fake::Fake;
    use protocol::exit::HostStatus;

    const UNPACKED: &str = "/opt/q/usr/bin/qemu-system-x86_64";

    /// Returns a system with QEMU 7.2 in `PATH` and an unpacked QEMU 10.
    fn system() -> Fake {
        let fake = Fake::with_path("/usr/bin");
        for (path, version) in [("/usr/bin/qemu-system-x86_64", "7.2.22 (Debian)"), (UNPACKED, "10.0.2 (x)")]
        {
            fake.file(path);
            fake.says(&format!("{path} --version"), &format!("QEMU emulator version {version}\nCopyright\n"));
        }
        for image in ["/usr/share/qemu/pvh.bin", "/usr/share/seabios/bios-256k.bin"] {
            fake.file(image);
            fake.file(format!("/opt/q{image}"));
        }
        fake
    }

    fn refusal(fake: &Fake, option: Option<&str>) -> String {
        let failure = find(fake, option.map(Path::new)).unwrap_err();
        assert_eq!(failure.status, HostStatus::Usage);
        assert_eq!(failure.message.lines().count(), 1, "{failure}");
        failure.message
    }

    #[test]
    fn option_wins_over_variable_and_variable_over_path() {
        let mut fake = system();
        let found = |fake: &Fake, option: Option<&str>| find(fake, option.map(Path::new)).unwrap().unwrap();
        assert_eq!(found(&fake, None).path, Path::new("/usr/bin/qemu-system-x86_64"));
        fake.vars.insert(VARIABLE.into(), UNPACKED.into());
        assert_eq!(found(&fake, None).path, Path::new(UNPACKED));
        let program = found(&fake, Some("/usr/bin/qemu-system-x86_64"));
        assert_eq!((program.version.as_str(), program.major()), ("7.2.22 (Debian)", Some(7)));
    }

    #[test]
    fn unpacked_program_gets_the_folders_beside_it_and_an_installed_one_none() {
        let fake = system();
        let program = inspect(&fake, Path::new(UNPACKED)).unwrap();
        assert_eq!(
            program.arguments().collect::<Vec<_>>(),
            ["-L", "/opt/q/usr/share/qemu", "-L", "/opt/q/usr/share/seabios"]
        );
        let installed = inspect(&fake, Path::new("/usr/bin/qemu-system-x86_64")).unwrap();
        assert_eq!(installed.arguments().count(), 0);
        // No folders beside it, or another location: no arguments.
        for path in ["/x/usr/bin/qemu-system-x86_64", "/opt/q/qemu-system-x86_64"] {
            fake.file(path);
            fake.says(&format!("{path} --version"), "QEMU emulator version 9.1.0\n");
            assert_eq!(inspect(&fake, Path::new(path)).unwrap().arguments().count(), 0);
        }
    }

    #[test]
    fn unusable_named_program_is_refused_with_its_name_and_the_reason() {
        let mut fake = system();
        let message = refusal(&fake, Some("/nowhere/qemu"));
        assert!(message.starts_with("--qemu /nowhere/qemu is not usable: no such file"), "{message}");
        fake.file("/etc/passwd");
        let message = refusal(&fake, Some("/etc/passwd"));
        assert!(message.contains("/etc/passwd is not usable: cannot be started: "), "{message}");
        fake.file("/bin/echo");
        fake.says("/bin/echo --version", "echo (GNU coreutils) 9.1\n");
        let message = refusal(&fake, Some("/bin/echo"));
        assert!(message.contains("is no QEMU") && message.contains("coreutils"), "{message}");
        // The variable is the user's choice too: the program in PATH does not replace it.
        fake.vars.insert(VARIABLE.into(), "/nowhere".into());
        let message = refusal(&fake, None);
        assert!(message.starts_with("KTASK_QEMU=/nowhere is not usable: no such file"), "{message}");
    }

    #[test]
    fn broken_program_in_the_path_is_a_reason_and_no_failure() {
        let fake = Fake::with_path("/usr/bin");
        assert_eq!(find(&fake, None).unwrap(), Err(Vec::new()));
        fake.file("/usr/bin/qemu-system-x86_64");
        let reasons = find(&fake, None).unwrap().unwrap_err();
        assert!(reasons[0].starts_with("/usr/bin/qemu-system-x86_64: cannot be started"), "{reasons:?}");
    }
}
