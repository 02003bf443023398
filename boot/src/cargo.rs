//! A separate cargo, for what the outer one does not build: the kernel and the loader of UEFI images.
//!
//! It uses the kernel's toolchain and a separate target directory, because the outer cargo holds the lock of the default one. Its
//! environment lacks the variables that the outer cargo sets.

mod progress;

use crate::failure::Failure;
use crate::system::remove_build_environment;
use crate::toolchain::Toolchain;
use std::path::Path;
use std::process::Command;

/// Returns the command of a nested cargo, or of a `program` of the same toolchain with the same arguments.
pub(crate) fn command(toolchain: &Toolchain, program: &Path) -> Command {
    let mut command = Command::new(program);
    remove_build_environment(&mut command);
    command
        .env("RUSTC", &toolchain.rustc)
        // Permits unstable flags on a released compiler, as the Linux kernel does. Such flags behave the same in every build.
        .env("RUSTC_BOOTSTRAP", "1");
    command
}

/// Runs a command of [`command`] that builds `what`, and returns whether it succeeded.
///
/// At a terminal, one line shows the progress, and the compiler's messages follow. Elsewhere cargo's output passes through to
/// standard error.
///
/// # Errors
///
/// When the program cannot be started.
pub(crate) fn run(command: &mut Command, what: &str) -> Result<bool, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    progress::run(command, what).map_err(|error| Failure::failed(format!("cannot start {program}: {error}")))
}
