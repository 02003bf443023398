//! Debian's Linux: found in the system's packages, downloaded with the user's consent, unpacked. It is not installed: that
//! would change how the host boots.

use crate::doctor::{Consent, is_given};
use crate::failure::Failure;
use crate::kernel::workspace;
use crate::system::System;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The package that depends on the newest Linux for virtual machines.
const NEWEST: &str = "linux-image-cloud-amd64";

/// Name of the unpacked kernel.
pub(super) const KERNEL: &str = "vmlinuz";

/// Returns the folder with everything about Linux.
pub(super) fn folder() -> PathBuf {
    workspace().join("target/linux")
}

/// Returns Linux's kernel: the `named` file, else the one that was unpacked before, else a downloaded one.
///
/// # Errors
///
/// Usage errors: the named file is no kernel of Linux, the download is not consented to, or fails.
pub fn find(system: &impl System, named: Option<&Path>, consent: Consent) -> Result<PathBuf, Failure> {
    if let Some(kernel) = named {
        return check(kernel)
            .map(|()| kernel.to_path_buf())
            .map_err(|why| Failure::usage(format!("--linux {}: {why}", kernel.display())));
    }
    if let Some(kernel) = unpacked() {
        return Ok(kernel);
    }
    let kernel = folder().join(KERNEL);
    download(system, &kernel, consent)?;
    check(&kernel).map_err(|why| Failure::usage(format!("{}: {why}", kernel.display())))?;
    Ok(kernel)
}

/// Returns the kernel that was unpacked before.
pub fn unpacked() -> Option<PathBuf> {
    let kernel = folder().join(KERNEL);
    check(&kernel).is_ok().then_some(kernel)
}

/// Checks that a file is a kernel of Linux: its header has a signature.
fn check(kernel: &Path) -> Result<(), String> {
    const HEADER_BYTES: u64 = 0x210;
    let mut header = Vec::new();
    std::fs::File::open(kernel)
        .and_then(|file| file.take(HEADER_BYTES).read_to_end(&mut header))
        .map_err(|error| format!("cannot be read: {error}"))?;
    match header.get(0x202..0x206) {
        Some(b"HdrS") => Ok(()),
        _ => Err("is no kernel of Linux (bzImage)".into()),
    }
}

/// Downloads the package and unpacks its kernel to `kernel`.
fn download(system: &impl System, kernel: &Path, consent: Consent) -> Result<(), Failure> {
    let tools = ["apt-get", "apt-cache", "dpkg-deb", "tar"];
    if let Some(tool) = tools.iter().find(|tool| system.find_in_path(tool).is_none()) {
        return Err(Failure::usage(format!(
            "missing: Linux, to compare with; {tool} is not there to download Debian's: name a kernel with --linux FILE"
        )));
    }
    let listed = newest(system);
    let named = listed.as_deref().unwrap_or(NEWEST);
    let folder = folder();
    let question = format!("missing: Linux, to compare with; download the package {named} (27 MB)?");
    if !is_given(system, consent, &question) {
        let script = script(&folder, named, kernel);
        return Err(Failure::usage(format!(
            "missing: Linux, to compare with; to download it:\n    {script}"
        )));
    }
    let package = listed.or_else(|| refreshed(system)).ok_or_else(|| {
        Failure::usage(format!(
            "the system's package lists have no {NEWEST}: run `apt-get update` as root, or name a kernel with --linux FILE"
        ))
    })?;
    let script = script(&folder, &package, kernel);
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::failed(format!("cannot make {}: {error}", folder.display())))?;
    eprintln!("$ {script}");
    match system.perform(Path::new("sh"), &["-ec", &script]) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::usage(format!("{package} cannot be downloaded; the messages are above"))),
        Err(error) => Err(Failure::usage(format!("sh cannot be started: {error}"))),
    }
}

/// Returns the name of the newest package in the system's lists.
fn newest(system: &impl System) -> Option<String> {
    let answer = system.capture(Path::new("apt-cache"), &["depends", NEWEST]).ok()?;
    let name = |line: &str| line.trim().strip_prefix("Depends: ").map(str::to_string);
    answer.stdout.lines().filter_map(name).find(|name| is_name(name))
}

/// Returns that name after an update of the lists, which only root may do.
fn refreshed(system: &impl System) -> Option<String> {
    if !system.is_root() {
        return None;
    }
    eprintln!("$ apt-get update");
    // If it fails, the lists have no such package as before.
    let _ = system.perform(Path::new("apt-get"), &["update", "-qq"]);
    newest(system)
}

/// Returns whether a word is a package of Linux, and nothing that a shell would take for more.
fn is_name(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    word.starts_with("linux-image-") && word.chars().all(is_plain)
}

/// Returns the commands that download the package and unpack its kernel.
fn script(folder: &Path, package: &str, kernel: &Path) -> String {
    let (folder, kernel) = (quoted(folder), quoted(kernel));
    format!(
        "mkdir -p {folder} && cd {folder} && apt-get download {package} && \
         dpkg-deb --fsys-tarfile {package}_*.deb | tar -xO --wildcards './boot/vmlinuz-*' > {kernel} && rm {package}_*.deb"
    )
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::fake::{Effect, Fake};
    use protocol::exit::HostStatus;

    const DEPENDS: &str = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
    const NAME: &str = "linux-image-6.1.0-56-cloud-amd64";

    /// Returns a system with the package manager; its lists have the package if `listed`.
    fn debian(listed: bool) -> Fake {
        let fake = Fake::with_path("/bin");
        for tool in ["apt-get", "apt-cache", "dpkg-deb", "tar"] {
            fake.file(format!("/bin/{tool}"));
        }
        if listed {
            fake.says(&format!("apt-cache depends {NEWEST}"), DEPENDS);
        }
        fake
    }

    fn refused(system: &Fake, consent: Consent) -> String {
        let failure = download(system, Path::new("/nowhere/vmlinuz"), consent).unwrap_err();
        assert_eq!(failure.status, HostStatus::Usage);
        failure.message
    }

    #[test]
    fn without_consent_the_command_is_named_and_nothing_is_done() {
        let system = debian(true);
        let message = refused(&system, Consent::ByRule);
        assert!(message.contains(&format!("apt-get download {NAME} &&")), "{message}");
        // At a terminal the user is asked, root or not.
        let system = Fake { interactive: true, ..debian(true) };
        refused(&system, Consent::ByRule);
        assert_eq!((system.questions.get(), system.performed.borrow().len()), (1, 0));
    }

    #[test]
    fn consent_is_given_by_option_variable_answer_or_root_without_a_terminal() {
        let mut in_ci = debian(true);
        in_ci.vars.insert("CI".into(), "1".into());
        let answered = Fake { interactive: true, answer: true, ..debian(true) };
        let root = Fake { root: true, ..debian(true) };
        for (system, consent) in [
            (debian(true), Consent::Given),
            (in_ci, Consent::ByRule),
            (answered, Consent::ByRule),
            (root, Consent::ByRule),
        ] {
            // The download of this system fails.
            let message = refused(&system, consent);
            assert!(message.starts_with(&format!("{NAME} cannot be downloaded")), "{message}");
            let performed = system.performed.borrow();
            assert!(performed.len() == 1 && performed[0].contains(NAME), "{performed:?}");
        }
    }

    #[test]
    fn empty_lists_are_refreshed_by_root_alone() {
        let message = refused(&debian(false), Consent::Given);
        assert!(message.contains("run `apt-get update` as root"), "{message}");
        let mut system = Fake { root: true, ..debian(false) };
        let answers = vec![(format!("apt-cache depends {NEWEST}"), DEPENDS.to_string())];
        system
            .effects
            .insert("apt-get update -qq".into(), Effect { success: true, answers, ..Effect::default() });
        assert!(refused(&system, Consent::Given).starts_with(NAME));
        assert_eq!(system.performed.borrow()[0], "apt-get update -qq");
    }

    #[test]
    fn systems_without_the_package_manager_are_told_what_to_do() {
        let message = refused(&Fake::with_path("/bin"), Consent::Given);
        assert!(message.contains("apt-get is not there") && message.contains("--linux FILE"), "{message}");
    }

    #[test]
    fn names_are_no_commands() {
        assert!(is_name(NAME));
        for name in ["linux-image-$(reboot)", "linux-image-;", "bash", "linux-image-A b"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
