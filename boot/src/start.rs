//! The ways from QEMU's start to the kernel: directly, or through firmware and an image.

use crate::cli::BootChoice;
use crate::doctor::What;
use crate::failure::Failure;
use crate::image::{self, Kind};
use crate::kernel::{Profile, workspace};
use crate::qemu::{Boot, firmware};
use crate::system::System;
use crate::toolchain::Toolchain;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Returns the kind of image that a way needs; `None` if it needs none.
pub const fn image_kind(choice: BootChoice) -> Option<Kind> {
    match choice {
        BootChoice::Pvh => None,
        BootChoice::Grub | BootChoice::GrubUefi => Some(Kind::Iso),
        BootChoice::Uefi => Some(Kind::Uefi),
    }
}

/// Returns the prerequisites of an image, apart from the kernel.
pub const fn tools(kind: Kind) -> &'static [What] {
    match kind {
        Kind::Uefi => &What::UEFI_IMAGE,
        Kind::Iso => &What::ISO,
    }
}

/// Returns the prerequisites of a way, apart from QEMU and the kernel.
pub fn wanted(choice: BootChoice) -> Vec<What> {
    let tools = image_kind(choice).map_or(&[][..], tools);
    let firmware = has_uefi(choice).then_some(What::Ovmf);
    tools.iter().copied().chain(firmware).collect()
}

const fn has_uefi(choice: BootChoice) -> bool {
    matches!(choice, BootChoice::Uefi | BootChoice::GrubUefi)
}

/// Returns the name of the image of a run of `purpose`. Runs with other kernels or command lines have other images, so that
/// they may go on at the same time.
pub fn image_name(purpose: &str, profile: Profile, command_line: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (command_line, profile.name()).hash(&mut hasher);
    format!("{purpose}-{:016x}", hasher.finish())
}

/// Returns the path of the image of a run called `name`, which later runs of that name replace.
pub fn image_path(kind: Kind, name: &str) -> PathBuf {
    let extension = Path::new(kind.default_name()).extension().unwrap_or_default();
    folder().join(name).with_extension(extension)
}

fn folder() -> PathBuf {
    workspace().join("target/image")
}

/// Returns the way to the kernel, with the image at [`image_path`] whether or not it exists.
pub fn way(system: &impl System, choice: BootChoice, name: &str) -> Boot {
    let Some(kind) = image_kind(choice) else {
        return Boot::Direct;
    };
    let uefi = || firmware::uefi(system).unwrap_or_else(firmware::uefi_of_debian);
    Boot::Image { image: image_path(kind, name), uefi: has_uefi(choice).then(uefi) }
}

/// Prepares the way to the kernel: writes the image of a run called `name`, if the way needs one.
///
/// The prerequisites of [`wanted`] must be present; `toolchain` is the kernel's.
///
/// # Errors
///
/// As [`image::write`].
pub fn prepare(
    system: &impl System,
    choice: BootChoice,
    toolchain: Option<&Toolchain>,
    kernel: &Path,
    command_line: &str,
    name: &str,
) -> Result<Boot, Failure> {
    let way = way(system, choice, name);
    if let (Some(kind), Boot::Image { image, .. }) = (image_kind(choice), &way) {
        std::fs::create_dir_all(folder())
            .map_err(|error| Failure::failed(format!("cannot make {}: {error}", folder().display())))?;
        image::write(system, kind, toolchain, kernel, command_line, image)?;
    }
    Ok(way)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::fake::Fake;

    #[test]
    fn direct_way_needs_nothing() {
        assert_eq!(wanted(BootChoice::Pvh), []);
        assert_eq!(way(&Fake::default(), BootChoice::Pvh, "run"), Boot::Direct);
    }

    #[test]
    fn firmware_is_wanted_for_uefi_alone() {
        assert_eq!(wanted(BootChoice::Grub), What::ISO);
        assert_eq!(wanted(BootChoice::Uefi), [What::Toolchain, What::UefiLinker, What::Ovmf]);
        assert_eq!(wanted(BootChoice::GrubUefi).last(), Some(&What::Ovmf));
        let way = |choice| match way(&Fake::default(), choice, "run") {
            Boot::Image { image, uefi } => {
                (image.file_name().unwrap().to_str().unwrap().to_string(), uefi.is_some())
            }
            Boot::Direct => panic!("{choice:?} needs an image"),
        };
        assert_eq!(way(BootChoice::Grub), ("run.iso".into(), false));
        assert_eq!(way(BootChoice::GrubUefi), ("run.iso".into(), true));
        assert_eq!(way(BootChoice::Uefi), ("run.img".into(), true));
    }
}
