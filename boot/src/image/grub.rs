//! ISO images with GRUB, for BIOS and UEFI machines.

use crate::failure::Failure;
use crate::system::System;
use std::path::{Path, PathBuf};

/// Names of the program that makes the images: GRUB's own, and that of Fedora.
const PROGRAMS: [&str; 2] = ["grub-mkrescue", "grub2-mkrescue"];

/// Folder with a folder of GRUB's modules for each platform.
const MODULES: &str = "/usr/lib/grub";

/// Platform of GRUB on BIOS machines.
pub const BIOS: &str = "i386-pc";

/// Platform of GRUB on UEFI machines.
pub const UEFI: &str = "x86_64-efi";

/// Modules in the image, apart from those on which they depend. The first line loads the kernel and shows a menu. The second one is
/// what the image's start looks for. The third one helps at GRUB's prompt.
const INSTALLED: &str = "multiboot2 normal test serial terminal all_video \
     part_acorn part_amiga part_apple part_bsd part_dfly part_dvh part_gpt part_msdos part_plan part_sun part_sunpc iso9660 fat \
     echo halt help ls lsacpi lsmmap lspci minicmd reboot videoinfo";

/// Characters before which GRUB puts a backslash when it passes them to a kernel.
const ESCAPED: [char; 3] = ['\'', '"', '\\'];

/// Returns the path of `grub-mkrescue`.
pub fn program(system: &impl System) -> Option<PathBuf> {
    PROGRAMS.iter().find_map(|name| system.find_in_path(name))
}

/// Returns GRUB's folder of modules for a platform. Without it, `grub-mkrescue` leaves the platform out and says nothing.
pub fn modules(system: &impl System, platform: &str) -> Option<PathBuf> {
    let folder = Path::new(MODULES).join(platform);
    system.is_file(&folder.join("multiboot2.mod")).then_some(folder)
}

/// Checks whether GRUB passes `command_line` on unchanged.
///
/// # Errors
///
/// When it does not.
pub(super) fn check(command_line: &str) -> Result<(), Failure> {
    match command_line.chars().find(|c| ESCAPED.contains(c)) {
        None => Ok(()),
        Some(bad) => Err(Failure::usage(format!(
            "{bad:?} cannot be part of a command line that GRUB passes: it would add a backslash"
        ))),
    }
}

/// Writes the image to `output`; `command_line` passed [`check`].
pub(super) fn write(
    system: &impl System,
    kernel: &Path,
    command_line: &str,
    output: &Path,
) -> Result<(), Failure> {
    let program = program(system).ok_or_else(|| Failure::usage("there is no grub-mkrescue in PATH"))?;
    let cannot = |error: std::io::Error| Failure::failed(format!("cannot prepare the image: {error}"));
    let root = tempfile::Builder::new().prefix("ktask-iso-").tempdir().map_err(cannot)?;
    let grub = root.path().join("boot/grub");
    std::fs::create_dir_all(&grub).map_err(cannot)?;
    std::fs::write(grub.join("grub.cfg"), configuration(command_line)).map_err(cannot)?;
    std::fs::copy(kernel, root.path().join("boot/ktask")).map_err(cannot)?;
    let modules = format!("--install-modules={INSTALLED}");
    let (output, root) = (output.to_string_lossy(), root.path().to_string_lossy());
    // Fonts, themes and translations serve a graphical menu. Without compression the firmware reads more, and unpacks nothing.
    let words = [&modules, "--fonts=", "--themes=", "--locales=", "-o", &*output, &*root];
    let result = system
        .capture(&program, &words)
        .map_err(|error| Failure::failed(format!("cannot start {}: {error}", program.display())))?;
    match result.success {
        true => Ok(()),
        false => Err(Failure::failed(format!("{} failed:\n{}", program.display(), result.stderr.trim()))),
    }
}

/// Returns GRUB's configuration: it starts the kernel at once, and shows a menu only after an error.
fn configuration(command_line: &str) -> String {
    let words: Vec<_> = command_line.split(' ').filter(|word| !word.is_empty()).map(quote).collect();
    format!(
        "\
set timeout=0
# On UEFI machines the firmware's console already covers the serial port.
if [ \"$grub_platform\" = pc ]; then
  if serial --unit=0 --speed=115200; then
    terminal_input --append serial
    terminal_output --append serial
  fi
fi
# A framebuffer, if the machine has a screen. GRUB's driver of 16 colours stays out: it finds a screen in every machine.
if [ \"$grub_platform\" = pc ]; then
  insmod vbe
else
  insmod efi_gop
  insmod efi_uga
fi
set gfxpayload=1024x768x32,auto
menuentry ktask {{
  multiboot2 {KERNEL}
}}
",
        KERNEL = [&["/boot/ktask".to_string()], &words[..]].concat().join(" ")
    )
}

/// Quotes a word for GRUB. Single quotes preserve every character but themselves, which [`check`] refuses.
fn quote(word: &str) -> String {
    format!("'{word}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_command_line_is_quoted() {
        let text = configuration(" run=test:mm:: a=$b  c={;} ");
        assert!(text.contains("\n  multiboot2 /boot/ktask 'run=test:mm::' 'a=$b' 'c={;}'\n"), "{text}");
        assert!(configuration("").contains("\n  multiboot2 /boot/ktask\n"));
    }

    #[test]
    fn braces_of_the_configuration_match() {
        let text = configuration("");
        assert_eq!(text.matches('{').count(), text.matches('}').count());
        assert!(text.contains("menuentry ktask {\n"), "{text}");
    }
}
