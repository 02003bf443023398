//! Building the kernel.
//!
//! A nested cargo does it: the kernel wants a target, a profile and a toolchain of its own, while everything
//! else in the workspace is ordinary host code. It has its own target directory, since the outer cargo holds the
//! lock of the usual one, and an environment without what the outer cargo put there.

mod progress;

use crate::failure::Failure;
use crate::system::remove_build_environment;
use crate::toolchain::Toolchain;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate lies one level below the workspace root")
}

/// How the kernel is built: cargo's profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// As it is meant to run
    #[default]
    Kernel,
    /// With everything checked that can be: asserts, lock order, freed memory
    KernelDebug,
}

impl Profile {
    /// The profile's name, as cargo and its target directory know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::KernelDebug => "kernel-debug",
        }
    }
}

/// Where the kernel's ELF file is after a build.
pub fn elf_path(profile: Profile) -> PathBuf {
    target_directory().join("x86_64-ktask").join(profile.name()).join("ktask-kernel")
}

fn target_directory() -> PathBuf {
    workspace().join("target/kernel")
}

/// Builds the kernel in `profile` with `toolchain`, and returns where its ELF file is.
///
/// At a terminal one line shows the progress; the compiler's messages appear when there is something to read.
/// Elsewhere cargo's own lines pass through, on standard error.
///
/// # Errors
///
/// When cargo cannot be started or the build fails.
pub fn build(toolchain: &Toolchain, profile: Profile) -> Result<PathBuf, Failure> {
    let mut command = command(toolchain, &toolchain.cargo, "build", profile);
    match run(&mut command)? {
        true => Ok(elf_path(profile)),
        false => Err(Failure::failed("the kernel does not build; the compiler's messages are above")),
    }
}

/// Lints the kernel in `profile`, and what it is made of, with the `clippy` of `toolchain`; warnings are errors.
///
/// # Errors
///
/// When clippy cannot be started or finds something.
pub fn lint(toolchain: &Toolchain, clippy: &Path, profile: Profile) -> Result<(), Failure> {
    // Started by its own path: `cargo clippy` would look for it beside rustup's programs, and find that of another Rust.
    let mut command = command(toolchain, clippy, "clippy", profile);
    command.env("CARGO", &toolchain.cargo).args(["--", "--deny", "warnings"]);
    match run(&mut command)? {
        true => Ok(()),
        false => Err(Failure::failed("clippy finds fault with the kernel; its messages are above")),
    }
}

fn run(command: &mut Command) -> Result<bool, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    progress::run(command).map_err(|error| Failure::failed(format!("cannot start {program}: {error}")))
}

/// The nested cargo, or a program that takes its arguments.
fn command(toolchain: &Toolchain, program: &Path, subcommand: &str, profile: Profile) -> Command {
    let mut command = Command::new(program);
    remove_build_environment(&mut command);
    command
        .current_dir(workspace())
        .env("RUSTC", &toolchain.rustc)
        // Unstable flags on a released compiler, as the Linux kernel does: a fixed compiler means fixed behaviour.
        .env("RUSTC_BOOTSTRAP", "1")
        .args([subcommand, "--package", "ktask-kernel", "--profile", profile.name()])
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
    fn the_nested_cargo_is_the_found_one_with_its_own_compiler_and_directory() {
        let toolchain = Toolchain {
            cargo: "/opt/t/bin/cargo".into(),
            rustc: "/opt/t/bin/rustc".into(),
            version: Version { major: 1, minor: 96 },
            sysroot: "/opt/t".into(),
        };
        let command = command(&toolchain, &toolchain.cargo, "build", Profile::Kernel);
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
    fn a_profile_has_a_file_of_its_own() {
        assert!(elf_path(Profile::Kernel).ends_with("x86_64-ktask/kernel/ktask-kernel"));
        assert!(elf_path(Profile::KernelDebug).ends_with("x86_64-ktask/kernel-debug/ktask-kernel"));
    }

    #[test]
    fn the_workspace_holds_the_kernels_target() {
        assert!(workspace().join("x86_64-ktask.json").is_file());
    }
}
