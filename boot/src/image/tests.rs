//! Images: refusals before any tool runs, and files that are whole or absent.

use super::*;
use crate::system::fake::Fake;
use protocol::exit::HostStatus;

#[test]
fn text_that_would_arrive_changed_is_refused() {
    for kind in [Kind::Uefi, Kind::Iso] {
        assert_eq!(check(kind, "run=test:mm::,=x log.level=debug $a {b};|&<>#*"), Ok(()));
        for text in ["a=1\nb=2", "a=\t", "a=\u{7}", "a=\u{e9}"] {
            let failure = check(kind, text).unwrap_err();
            assert_eq!(failure.status, HostStatus::Usage);
            assert!(failure.message.contains("printable ASCII"), "{failure}");
        }
        assert_eq!(check(kind, &"a".repeat(4096)), Ok(()));
        let failure = check(kind, &"a".repeat(4097)).unwrap_err();
        assert_eq!(failure.status, HostStatus::Usage);
        assert!(failure.message.contains("4097 bytes: must be at most 4096"), "{failure}");
    }
    for text in ["a='", "a=\"", "a=\\"] {
        assert_eq!(check(Kind::Uefi, text), Ok(()));
        assert!(check(Kind::Iso, text).unwrap_err().message.contains("GRUB"));
    }
}

/// Returns the names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn nothing_is_left_of_an_image_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("x.iso");
    let kernel = folder.path().join("kernel");
    std::fs::write(&kernel, b"ELF").unwrap();
    // The program exists and cannot be started.
    let fake = Fake::with_path("/usr/bin");
    fake.file("/usr/bin/grub-mkrescue");
    std::fs::write(&output, b"the old one").unwrap();
    let failure = write(&fake, Kind::Iso, None, &kernel, "run=none", &output).unwrap_err();
    assert!(failure.message.contains("cannot start /usr/bin/grub-mkrescue"), "{failure}");
    assert_eq!(std::fs::read(&output).unwrap(), b"the old one");
    let mut left = names(folder.path());
    left.sort();
    assert_eq!(left, ["kernel", "x.iso"]);
}

#[test]
fn devices_and_folders_are_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    for output in [folder.path(), Path::new("/dev/null")] {
        let failure = write(&Fake::default(), Kind::Iso, None, Path::new("k"), "", output).unwrap_err();
        assert_eq!(failure.status, HostStatus::Usage);
        assert!(failure.message.contains("is no regular file"), "{failure}");
    }
}
