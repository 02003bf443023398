//! Files that are replaced whole or not at all.

use crate::failure::Failure;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Checks that a file can be at `output`: renaming would replace the node of a device.
///
/// # Errors
///
/// When it is a folder, a device or another special file, or its folder does not exist.
pub(super) fn check(output: &Path) -> Result<(), Failure> {
    let shown = output.display();
    if output.is_symlink() && !output.exists() {
        return Err(Failure::usage(format!("{shown} is a link to no file; name the file itself")));
    }
    if output.exists() && !output.is_file() {
        return Err(Failure::usage(format!(
            "{shown} is no regular file; name a file, then copy it to the device as docs/boot.md shows"
        )));
    }
    match folder_of(output).is_dir() {
        true => Ok(()),
        false => Err(Failure::usage(format!("{shown}: its folder does not exist"))),
    }
}

fn folder_of(output: &Path) -> &Path {
    output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Replaces `output` with the file that `make` writes at the path it is given, or leaves it as it is if `make` fails.
///
/// The file is made in the same folder and then renamed.
///
/// # Errors
///
/// When `output` cannot be replaced, or the error of `make`.
pub(super) fn replace(output: &Path, make: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    check(output)?;
    // A link stays: the file that it names is replaced.
    let output = &output.canonicalize().unwrap_or_else(|_| output.to_path_buf());
    let cannot =
        |error: std::io::Error| Failure::failed(format!("cannot write {}: {error}", output.display()));
    let temporary = tempfile::Builder::new()
        .prefix(".ktask-image-")
        // As any other program makes files: the user's mask applies.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder_of(output))
        .map_err(cannot)?;
    make(temporary.path())?;
    temporary.persist(output).map(drop).map_err(|error| cannot(error.error))
}
