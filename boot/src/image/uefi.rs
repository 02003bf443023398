//! Disk images for UEFI machines, with the loader of the `bootloader` crate.
//!
//! The package in `boot/uefi-image` writes them. A plain build of the workspace does not include it: it builds the loader for a
//! target without an operating system, by a nested cargo, in a minute. The first image builds it; later ones take no time.

use crate::cargo;
use crate::failure::Failure;
use crate::kernel::workspace;
use crate::system::System;
use crate::toolchain::Toolchain;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Name of the linker for UEFI programs.
const LINKER: &str = "rust-lld";

/// Returns the path of the linker: in `PATH`, or the toolchain's own.
pub fn linker(system: &impl System, toolchain: Option<&Toolchain>) -> Option<PathBuf> {
    let own = || {
        let targets = toolchain?.sysroot.join("lib/rustlib");
        let programs = system.entries(&targets).into_iter().map(|target| target.join("bin").join(LINKER));
        programs.into_iter().find(|program| system.is_file(program))
    };
    system.find_in_path(LINKER).or_else(own)
}

/// Writes the image to `output`; builds the loader first if necessary.
pub(super) fn write(
    system: &impl System,
    toolchain: &Toolchain,
    kernel: &Path,
    command_line: &str,
    output: &Path,
) -> Result<(), Failure> {
    let program = build(toolchain)?;
    let words = [&*kernel.to_string_lossy(), command_line, &*output.to_string_lossy()];
    let result = system
        .capture(&program, &words)
        .map_err(|error| Failure::failed(format!("cannot start {}: {error}", program.display())))?;
    match result.success {
        true => Ok(()),
        false => Err(Failure::failed(format!("the image cannot be written: {}", result.stderr.trim()))),
    }
}

/// Builds the package that writes images, and returns the path of its program.
fn build(toolchain: &Toolchain) -> Result<PathBuf, Failure> {
    let program = target_directory().join("debug/uefi-image");
    if !program.is_file() {
        eprintln!("building the UEFI loader, which takes a minute or two the first time");
    }
    match cargo::run(&mut command(toolchain), "UEFI loader")? {
        true => Ok(program),
        false => Err(Failure::failed("the UEFI loader does not build; the compiler's messages are above")),
    }
}

fn command(toolchain: &Toolchain) -> Command {
    let mut command = cargo::command(toolchain, &toolchain.cargo);
    command
        .current_dir(workspace().join("boot/uefi-image"))
        .args(["build", "--locked", "--target-dir"])
        .arg(target_directory());
    command
}

fn target_directory() -> PathBuf {
    workspace().join("target/uefi-image")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the version that a manifest pins for a dependency.
    fn pinned(manifest: &str, dependency: &str) -> String {
        let text = std::fs::read_to_string(workspace().join(manifest)).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{dependency} = "))).expect(manifest);
        let (_, version) = line.split_once("\"=").expect("the version is exact");
        version.split('"').next().unwrap().to_string()
    }

    #[test]
    fn loader_and_kernel_agree_on_the_handover() {
        let loader = pinned("boot/uefi-image/Cargo.toml", "bootloader");
        assert_eq!(loader, pinned("Cargo.toml", "bootloader_api"));
    }
}
