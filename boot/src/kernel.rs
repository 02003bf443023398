//! Building the kernel.
//!
//! A nested cargo builds it: the kernel needs a separate target, profile and toolchain, while the rest of the
//! workspace is ordinary host code.

use crate::cargo;
use crate::failure::Failure;
use crate::toolchain::Toolchain;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate lies one level below the workspace root")
}

/// Cargo's profile for the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// Optimised, for normal use
    #[default]
    Kernel,
    /// Optimised, with all checks: asserts, lock order, freed memory
    KernelDebug,
}

impl Profile {
    /// Returns the profile's name, which is also the name of its folder in the target directory.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::KernelDebug => "kernel-debug",
        }
    }
}

/// The package of the kernel, and its program.
const PACKAGE: &str = "ktask-kernel";

/// The package of a Linux guest's first program, and the program.
const LINUX_INIT: &str = "linux-init";

/// Returns the path of the kernel's ELF file after a build.
pub fn elf_path(profile: Profile) -> PathBuf {
    program_path(PACKAGE, profile)
}

fn program_path(package: &str, profile: Profile) -> PathBuf {
    target_directory().join("x86_64-ktask").join(profile.name()).join(package)
}

fn target_directory() -> PathBuf {
    workspace().join("target/kernel")
}

/// Builds the kernel in `profile` with `toolchain`, and returns the path of its ELF file.
///
/// # Errors
///
/// When cargo cannot be started or the build fails.
pub fn build(toolchain: &Toolchain, profile: Profile) -> Result<PathBuf, Failure> {
    let mut command = command(toolchain, &toolchain.cargo, "build", &[PACKAGE], profile);
    match cargo::run(&mut command, "kernel")? {
        true => Ok(elf_path(profile)),
        false => Err(Failure::failed("the kernel does not build; the compiler's messages are above")),
    }
}

/// Builds the first program of a Linux guest for the kernel's target, and returns its path.
///
/// # Errors
///
/// When cargo cannot be started or the build fails.
pub(crate) fn build_linux_init(toolchain: &Toolchain) -> Result<PathBuf, Failure> {
    let profile = Profile::Kernel;
    let mut command = command(toolchain, &toolchain.cargo, "build", &[LINUX_INIT], profile);
    match cargo::run(&mut command, "first program of Linux")? {
        true => Ok(program_path(LINUX_INIT, profile)),
        false => Err(Failure::failed("linux-init does not build; the compiler's messages are above")),
    }
}

/// Lints the kernel and its crates in `profile` with the `clippy` of `toolchain`; warnings are errors.
///
/// # Errors
///
/// When clippy cannot be started or finds something.
pub fn lint(toolchain: &Toolchain, clippy: &Path, profile: Profile) -> Result<(), Failure> {
    // Started by its path: `cargo clippy` would find rustup's, which belongs to another version of Rust.
    let mut command = command(toolchain, clippy, "clippy", &[PACKAGE, LINUX_INIT], profile);
    command.env("CARGO", &toolchain.cargo).args(["--", "--deny", "warnings"]);
    match cargo::run(&mut command, "kernel")? {
        true => Ok(()),
        false => Err(Failure::failed("clippy reports errors in the kernel; its messages are above")),
    }
}

/// Returns the command of the nested cargo, or of a `program` with the same arguments.
fn command(
    toolchain: &Toolchain,
    program: &Path,
    subcommand: &str,
    packages: &[&str],
    profile: Profile,
) -> Command {
    let mut command = cargo::command(toolchain, program);
    command
        .current_dir(workspace())
        .arg(subcommand)
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .args(["--profile", profile.name()])
        .args(["--target", "x86_64-ktask.json"])
        .args(["-Zjson-target-spec", "-Zbuild-std=core,alloc,compiler_builtins"])
        .arg("-Zbuild-std-features=compiler-builtins-mem")
        .arg("--target-dir")
        .arg(target_directory());
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolchain::Version;

    #[test]
    fn nested_cargo_uses_its_own_compiler_and_directory() {
        let toolchain = Toolchain {
            cargo: "/opt/t/bin/cargo".into(),
            rustc: "/opt/t/bin/rustc".into(),
            version: Version { major: 1, minor: 96 },
            sysroot: "/opt/t".into(),
        };
        let command = command(&toolchain, &toolchain.cargo, "build", &[PACKAGE], Profile::Kernel);
        assert_eq!(command.get_program(), "/opt/t/bin/cargo");
        let env = |name: &str| {
            let (_, value) = command.get_envs().find(|(key, _)| *key == name).expect(name);
            value.map(|value| value.to_str().unwrap().to_string())
        };
        assert_eq!(env("RUSTC").as_deref(), Some("/opt/t/bin/rustc"));
        assert_eq!(env("RUSTC_BOOTSTRAP").as_deref(), Some("1"));
        // Cargo runs this test, so its variables are there to be removed.
        assert_eq!(env("CARGO_MANIFEST_DIR"), None);
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_str().unwrap()).collect();
        assert!(arguments.windows(2).any(|pair| pair == ["--package", "ktask-kernel"]), "{arguments:?}");
        assert!(arguments.last().unwrap().ends_with("target/kernel"), "{arguments:?}");
    }

    #[test]
    fn each_profile_has_a_separate_file() {
        assert!(elf_path(Profile::Kernel).ends_with("x86_64-ktask/kernel/ktask-kernel"));
        assert!(elf_path(Profile::KernelDebug).ends_with("x86_64-ktask/kernel-debug/ktask-kernel"));
    }

    #[test]
    fn workspace_has_the_kernel_target() {
        assert!(workspace().join("x86_64-ktask.json").is_file());
    }
}
