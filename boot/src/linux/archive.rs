//! The archive that Linux unpacks as its first file system.
//!
//! Linux's own archive has the console's device and is unpacked before, so that a single program suffices.

use cpio::newc::{Builder, ModeFileType, trailer};
use std::io::{Error, ErrorKind, Write};

/// Returns an archive with an executable file.
///
/// # Errors
///
/// When the file is too large.
pub(super) fn of(name: &str, content: &[u8]) -> Result<Vec<u8>, Error> {
    let bytes = u32::try_from(content.len()).map_err(|_| Error::from(ErrorKind::FileTooLarge))?;
    let builder = Builder::new(name).mode(0o755).set_mode_file_type(ModeFileType::Regular);
    let mut writer = builder.write(Vec::new(), bytes);
    writer.write_all(content)?;
    trailer(writer.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpio::newc::Reader;

    #[test]
    fn archive_has_the_program_and_the_end() {
        let archive = of("init", b"abcde").unwrap();
        let reader = Reader::new(&archive[..]).unwrap();
        assert_eq!((reader.entry().name(), reader.entry().mode()), ("init", 0o100_755));
        let mut content = Vec::new();
        let rest = reader.to_writer(&mut content).unwrap();
        assert_eq!(content, b"abcde");
        assert!(Reader::new(rest).unwrap().entry().is_trailer());
    }
}
