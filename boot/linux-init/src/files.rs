//! Files, folders, and mapped memory.

use crate::system::{Error, call, write};

/// Bytes of the longest path that this program uses, with the final zero.
const PATH_MAX: usize = 80;

/// Opens for reading and writing, and makes the file if it is missing (`O_RDWR | O_CREAT | O_NOCTTY`).
const READ_AND_WRITE: usize = 0o2 | 0o100 | 0o400;
/// Opens for reading (`O_RDONLY`).
const READ: usize = 0;
/// Only the owner reads and writes.
const MODE: usize = 0o600;
/// Keeps the size, and removes the content (`FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE`).
const PUNCH_HOLE: usize = 1 | 2;

/// Text with a final zero, as system calls take it.
pub struct Path {
    bytes: [u8; PATH_MAX],
}

impl Path {
    /// Returns a text with a final zero.
    ///
    /// # Panics
    ///
    /// When the text is too long.
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; PATH_MAX];
        bytes[..PATH_MAX - 1][..text.len()].copy_from_slice(text.as_bytes());
        Self { bytes }
    }

    fn address(&self) -> usize {
        self.bytes.as_ptr().addr()
    }
}

/// An open file. Dropping it closes it.
pub struct File {
    number: usize,
}

impl File {
    /// Opens a file, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// When Linux refuses it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_for(READ_AND_WRITE, path)
    }

    fn open_for(flags: usize, path: &Path) -> Result<Self, Error> {
        // SAFETY: the call reads the path, which has a final zero.
        let number = unsafe { call("open", call::OPEN, [path.address(), flags, MODE, 0, 0, 0]) }?;
        Ok(Self { number })
    }

    /// Returns Linux's number of the file.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Gives the file memory for its first `bytes`.
    ///
    /// # Errors
    ///
    /// When Linux has not so much.
    pub fn allocate(&self, bytes: usize) -> Result<(), Error> {
        // SAFETY: the call uses no memory of this program; no memory is mapped from the file.
        unsafe { call("fallocate", call::FALLOCATE, [self.number, 0, 0, bytes, 0, 0]) }.map(drop)
    }

    /// Takes the memory of the first `bytes` from the file.
    ///
    /// # Errors
    ///
    /// When Linux refuses it.
    ///
    /// # Safety
    ///
    /// No memory that is mapped from the file is used from now on.
    pub unsafe fn punch_hole(&self, bytes: usize) -> Result<(), Error> {
        // SAFETY: the caller vouches that the memory is not in use.
        unsafe { call("punch hole", call::FALLOCATE, [self.number, PUNCH_HOLE, 0, bytes, 0, 0]) }.map(drop)
    }

    /// Sets the size.
    ///
    /// # Errors
    ///
    /// When Linux refuses it.
    pub fn set_size(&self, bytes: usize) -> Result<(), Error> {
        // SAFETY: the call uses no memory of this program; no memory is mapped from the file.
        unsafe { call("ftruncate", call::FTRUNCATE, [self.number, bytes, 0, 0, 0, 0]) }.map(drop)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the number is that of a file that this value opened, and is not used again.
        let _ = unsafe { call("close", call::CLOSE, [self.number, 0, 0, 0, 0, 0]) };
    }
}

/// Makes a folder, if it is missing.
///
/// # Errors
///
/// When Linux refuses it.
pub fn make_folder(path: &Path) -> Result<(), Error> {
    const EXISTS: isize = -17;
    // SAFETY: the call reads the path, which has a final zero.
    match unsafe { call("mkdir", call::MKDIR, [path.address(), 0o755, 0, 0, 0, 0]) } {
        Err(Error { number: EXISTS, .. }) => Ok(()),
        result => result.map(drop),
    }
}

/// Mounts a file system of a kind.
///
/// # Errors
///
/// When Linux refuses it.
pub fn mount(kind: &Path, place: &Path, options: &Path) -> Result<(), Error> {
    let arguments = [kind.address(), place.address(), kind.address(), 0, options.address(), 0];
    // SAFETY: the call reads the texts, which have a final zero.
    unsafe { call("mount", call::MOUNT, arguments) }.map(drop)
}

/// Removes a file.
///
/// # Errors
///
/// When Linux refuses it.
pub fn remove(path: &Path) -> Result<(), Error> {
    // SAFETY: the call reads the path, which has a final zero.
    unsafe { call("unlink", call::UNLINK, [path.address(), 0, 0, 0, 0, 0]) }.map(drop)
}

/// Writes a number to one of Linux's parameters.
///
/// # Errors
///
/// When Linux refuses it.
pub fn set_parameter(path: &Path, value: usize) -> Result<(), Error> {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = value;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    write(File::open(path)?.number(), &digits[start..])
}

/// Reads a number from one of Linux's parameters.
///
/// # Errors
///
/// When Linux refuses it, or the text is no number.
pub fn parameter(path: &Path) -> Result<usize, Error> {
    let file = File::open_for(READ, path)?;
    let mut text = [0; 24];
    let arguments = [file.number(), text.as_mut_ptr().addr(), text.len(), 0, 0, 0];
    // SAFETY: the call writes at most as many bytes as `text` has.
    let count = unsafe { call("read", call::READ, arguments) }?;
    let text = core::str::from_utf8(&text[..count]).unwrap_or_default();
    text.trim().parse().map_err(|_| Error { what: "reading a number", number: -22 })
}

/// Memory that is mapped from a file. Dropping it unmaps it.
pub struct Mapping {
    words: *mut u64,
    bytes: usize,
}

impl Mapping {
    /// Maps the first `bytes` of a file.
    ///
    /// # Errors
    ///
    /// When Linux refuses it.
    pub fn of(file: &File, bytes: usize) -> Result<Self, Error> {
        /// `PROT_READ | PROT_WRITE`.
        const READ_WRITE: usize = 1 | 2;
        const SHARED: usize = 1;
        let arguments = [0, bytes, READ_WRITE, SHARED, file.number(), 0];
        // SAFETY: Linux chooses the address, so no memory in use is replaced.
        let address = unsafe { call("mmap", call::MMAP, arguments) }?;
        Ok(Self { words: core::ptr::with_exposed_provenance_mut(address), bytes })
    }

    /// Reads the first word.
    pub fn first(&self) -> u64 {
        // SAFETY: the mapping is valid and aligned to a page. Volatile: Linux, too, writes this memory.
        unsafe { self.words.read_volatile() }
    }

    /// Returns whether all bytes are zero.
    pub fn is_zero(&self) -> bool {
        (0..self.len()).fold(0, |all, index| {
            // SAFETY: the index is below the number of words in the mapping, which is valid and aligned. Volatile: Linux, too,
            // writes this memory.
            all | unsafe { self.words.add(index).read_volatile() }
        }) == 0
    }

    /// Writes a pattern to all bytes.
    pub fn make_dirty(&mut self) {
        for index in 0..self.len() {
            // SAFETY: as in `is_zero`, and `&mut self` is the only access by this program.
            unsafe { self.words.add(index).write_volatile(0xa5a5_a5a5_a5a5_a5a5) };
        }
    }

    fn len(&self) -> usize {
        self.bytes / size_of::<u64>()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the memory is this value's mapping, and is not used again.
        let _ = unsafe { call("munmap", call::MUNMAP, [self.words.addr(), self.bytes, 0, 0, 0, 0]) };
    }
}
