//! Images that start the kernel on real machines, from a USB stick or a disc.
//!
//! Each image carries the kernel's ELF file, without symbols, and its command line. A [`Kind::Uefi`] image starts on UEFI machines
//! through the `bootloader` crate, a [`Kind::Iso`] image on BIOS and UEFI machines through GRUB.

mod file;
pub mod grub;
pub mod uefi;

use crate::failure::Failure;
use crate::system::System;
use crate::toolchain::Toolchain;
use std::path::Path;
use tempfile::TempDir;

/// Kind of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A disk image for UEFI machines
    #[default]
    Uefi,
    /// A hybrid ISO image with GRUB, for BIOS and UEFI machines, stick or disc
    Iso,
}

impl Kind {
    /// Returns the name of the image's file where the user names none.
    pub fn default_name(self) -> &'static str {
        match self {
            Self::Uefi => "ktask-uefi.img",
            Self::Iso => "ktask.iso",
        }
    }
}

/// Checks whether an image of this `kind` can carry `command_line` to the kernel.
///
/// # Errors
///
/// When the kernel would receive another text: the message has the character, or the length.
pub fn check(kind: Kind, command_line: &str) -> Result<(), Failure> {
    let is_carried = |c: char| c == ' ' || c.is_ascii_graphic();
    if let Some(bad) = command_line.chars().find(|&c| !is_carried(c)) {
        return Err(Failure::usage(format!(
            "{bad:?} cannot be part of a kernel command line; only printable ASCII can"
        )));
    }
    let len = command_line.len();
    if len > protocol::MAX_COMMAND_LINE_BYTES {
        let most = protocol::MAX_COMMAND_LINE_BYTES;
        return Err(Failure::usage(format!("a kernel command line of {len} bytes: must be at most {most}")));
    }
    match kind {
        Kind::Uefi => Ok(()),
        Kind::Iso => grub::check(command_line),
    }
}

/// Checks that an image can be written to `output`.
///
/// # Errors
///
/// When `output` is no regular file, or its folder does not exist.
pub fn check_output(output: &Path) -> Result<(), Failure> {
    file::check(output)
}

/// Writes an image with the ELF file `kernel` and `command_line` to `output`, whole or not at all.
///
/// The tools of the kind must be present: [`What::UEFI_IMAGE`](crate::doctor::What::UEFI_IMAGE) or
/// [`What::ISO`](crate::doctor::What::ISO). Only [`Kind::Uefi`] needs `toolchain`.
///
/// # Errors
///
/// When the command line cannot be carried, a file cannot be read or written, or a tool fails.
pub fn write(
    system: &impl System,
    kind: Kind,
    toolchain: Option<&Toolchain>,
    kernel: &Path,
    command_line: &str,
    output: &Path,
) -> Result<(), Failure> {
    check(kind, command_line)?;
    file::replace(output, |temporary| {
        let folder = tempfile::Builder::new()
            .prefix("ktask-image-")
            .tempdir()
            .map_err(|error| Failure::failed(format!("cannot make a temporary directory: {error}")))?;
        let kernel = without_symbols(system, kernel, &folder)?;
        match kind {
            Kind::Uefi => {
                let toolchain =
                    toolchain.ok_or_else(|| Failure::usage("a UEFI image needs the kernel's toolchain"))?;
                uefi::write(system, toolchain, &kernel, command_line, temporary)
            }
            Kind::Iso => grub::write(system, &kernel, command_line, temporary),
        }
    })
}

/// Returns the path of a copy of `kernel` in `folder` without symbols, a fifth of its size: loaders read it through slow firmware.
fn without_symbols(
    system: &impl System,
    kernel: &Path,
    folder: &TempDir,
) -> Result<std::path::PathBuf, Failure> {
    let copy = folder.path().join("ktask");
    let words = ["--strip-all", "-o", &copy.to_string_lossy(), &kernel.to_string_lossy()];
    if let Some(strip) = system.find_in_path("strip")
        && system.capture(&strip, &words).is_ok_and(|output| output.success)
    {
        return Ok(copy);
    }
    // Only slower.
    match std::fs::copy(kernel, &copy) {
        Ok(_) => Ok(copy),
        Err(error) => Err(Failure::failed(format!("cannot read {}: {error}", kernel.display()))),
    }
}

#[cfg(test)]
mod tests;
