//! Writes a UEFI disk image: `uefi-image KERNEL COMMAND_LINE OUTPUT`.
//!
//! The image has a GPT with one FAT partition. In it are the loader of the `bootloader` crate, the kernel's ELF file, the loader's
//! settings, and the kernel's command line as a file that the loader calls a ramdisk. An empty command line makes no such file.
//!
//! The host command `image` builds and starts this program; it checks all arguments first.

use bootloader::DiskImageBuilder;
use bootloader_boot_config::{BootConfig, LevelFilter};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Name under which the loader looks for a ramdisk.
const COMMAND_LINE_FILE: &str = "ramdisk";

/// Exit status for wrong arguments.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [kernel, command_line, output] = arguments.as_slice() else {
        eprintln!("error: {} arguments; usage: uefi-image KERNEL COMMAND_LINE OUTPUT", arguments.len());
        return ExitCode::from(USAGE);
    };
    match write(kernel.into(), command_line, output.into()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(kernel: PathBuf, command_line: &OsString, output: PathBuf) -> Result<(), String> {
    let mut image = DiskImageBuilder::new(kernel);
    image.set_boot_config(&settings());
    if !command_line.is_empty() {
        let bytes = command_line.as_encoded_bytes().to_vec();
        image.set_file_contents(COMMAND_LINE_FILE.into(), bytes);
    }
    image.create_uefi_image(&output).map_err(|error| format!("{}: {error:#}", output.display()))
}

/// Returns settings with which the loader prints errors only: the serial port and the screen belong to the kernel.
fn settings() -> BootConfig {
    let mut settings = BootConfig::default();
    settings.log_level = LevelFilter::Error;
    settings
}
