//! The kinds of prerequisites.

/// A prerequisite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The emulator.
    Qemu,
    /// The kernel's compiler.
    Toolchain,
    /// The kernel's linker.
    Linker,
    /// The linter of the kernel's compiler.
    Clippy,
    /// The linker of the loader in UEFI images.
    UefiLinker,
    /// UEFI firmware for virtual machines.
    Ovmf,
    /// The program that makes ISO images.
    Grub,
    /// GRUB for BIOS machines.
    GrubBios,
    /// GRUB for UEFI machines.
    GrubUefi,
    /// The writer of ISO images.
    Xorriso,
    /// The writer of the FAT file system in an ISO image.
    Mtools,
    /// The second emulator.
    Bochs,
    /// Its firmware.
    BochsBios,
    /// The firmware of its graphics card.
    VgaBios,
    /// The browser that looks at the report.
    Browser,
}

impl What {
    /// Every prerequisite.
    pub const ALL: [Self; 15] = [
        Self::Qemu,
        Self::Toolchain,
        Self::Linker,
        Self::Clippy,
        Self::UefiLinker,
        Self::Ovmf,
        Self::Grub,
        Self::GrubBios,
        Self::GrubUefi,
        Self::Xorriso,
        Self::Mtools,
        Self::Bochs,
        Self::BochsBios,
        Self::VgaBios,
        Self::Browser,
    ];

    /// Everything that the main job needs; the others are optional.
    pub const REQUIRED: [Self; 3] = [Self::Qemu, Self::Toolchain, Self::Linker];

    /// What building the kernel needs.
    pub const BUILD: [Self; 2] = [Self::Toolchain, Self::Linker];

    /// What a UEFI image needs, apart from the kernel.
    pub const UEFI_IMAGE: [Self; 2] = [Self::Toolchain, Self::UefiLinker];

    /// What an ISO image needs, apart from the kernel.
    pub const ISO: [Self; 5] = [Self::Grub, Self::GrubBios, Self::GrubUefi, Self::Xorriso, Self::Mtools];

    /// What a machine of Bochs needs, apart from an image.
    pub const BOCHS: [Self; 3] = [Self::Bochs, Self::BochsBios, Self::VgaBios];

    /// Returns its name and purpose.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU for x86_64, to boot the kernel",
            Self::Toolchain => "Rust 1.96 or later with rust-src, to build the kernel",
            Self::Linker => "GNU ld, to link the kernel",
            Self::Clippy => "clippy of that Rust, for `cargo run -- clippy` alone",
            Self::UefiLinker => "rust-lld of that Rust, for UEFI images",
            Self::Ovmf => "OVMF, for `--boot uefi` and tests",
            Self::Grub => "grub-mkrescue, for ISO images and `--boot grub`",
            Self::GrubBios => "GRUB's modules for BIOS, for ISO images",
            Self::GrubUefi => "GRUB's modules for UEFI, for ISO images",
            Self::Xorriso => "xorriso, for ISO images",
            Self::Mtools => "mtools, for ISO images",
            Self::Bochs => "Bochs, for tests on a second emulator",
            Self::BochsBios => "a BIOS for Bochs",
            Self::VgaBios => "a VGA BIOS for Bochs",
            Self::Browser => "Chromium, for the test that looks at the report",
        }
    }
}
