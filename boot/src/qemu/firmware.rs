//! The machine's firmware: QEMU's own BIOS, or UEFI from a package.

use crate::system::System;
use std::path::{Path, PathBuf};

/// Files of UEFI firmware (OVMF).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uefi {
    /// The code, in a flash chip that is never written.
    pub code: PathBuf,
    /// The variables of a new machine; each machine gets a copy.
    pub variables: PathBuf,
}

/// Places of the code and the variables, best first: the larger chips, without enforced Secure Boot.
const PLACES: [(&str, &str); 8] = [
    // Debian, Ubuntu.
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    // Arch.
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.4m.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.4m.fd"),
    // openSUSE.
    ("/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin"),
    // Fedora.
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    // Older releases.
    ("/usr/share/edk2/x64/OVMF_CODE.fd", "/usr/share/edk2/x64/OVMF_VARS.fd"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
];

/// Returns the first UEFI firmware whose two files exist.
pub fn uefi(system: &impl System) -> Option<Uefi> {
    let places = PLACES.iter().map(|(code, variables)| (Path::new(code), Path::new(variables)));
    let mut present = places.filter(|(code, variables)| system.is_file(code) && system.is_file(variables));
    present.next().map(|(code, variables)| Uefi { code: code.into(), variables: variables.into() })
}

/// Returns the files where Debian has them, for a command line that is only printed.
pub fn uefi_of_debian() -> Uefi {
    let (code, variables) = PLACES[0];
    Uefi { code: code.into(), variables: variables.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::fake::Fake;

    #[test]
    fn firmware_has_both_of_its_files() {
        let fake = Fake::default();
        assert_eq!(uefi(&fake), None);
        fake.file("/usr/share/OVMF/OVMF_CODE_4M.fd");
        assert_eq!(uefi(&fake), None);
        for name in ["OVMF_CODE.fd", "OVMF_VARS.fd"] {
            fake.file(format!("/usr/share/OVMF/{name}"));
        }
        assert_eq!(uefi(&fake).unwrap().code, Path::new("/usr/share/OVMF/OVMF_CODE.fd"));
        fake.file("/usr/share/OVMF/OVMF_VARS_4M.fd");
        assert_eq!(uefi(&fake), Some(uefi_of_debian()));
    }
}
