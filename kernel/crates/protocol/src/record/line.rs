//! From a record to a line, and the longest that a line and its strings may be.

use core::fmt;

use serde::Serialize;

use super::schema::Record;

/// A buffer of this many bytes holds every record whose strings have been [`clip`]ped to [`MESSAGE_MAX_BYTES`] or
/// [`TEXT_MAX_BYTES`] and need no escapes; the longest is a `panic` with a full backtrace.
pub const LINE_MAX_BYTES: usize = 2304;

/// The longest message of a panic: two orders of locks, with their names and places, fit.
pub const MESSAGE_MAX_BYTES: usize = 512;

/// The longest string worth putting into a record, a panic's message apart.
pub const TEXT_MAX_BYTES: usize = 256;

/// A record did not fit in the buffer it was to be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The size of that buffer.
    pub buffer_bytes: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record does not fit in a buffer of {} bytes", self.buffer_bytes)
    }
}

impl core::error::Error for TooLong {}

impl<S: Serialize> Record<S> {
    /// Writes the record into `buf` as one line of JSON and returns that line, its newline included.
    ///
    /// Strings are escaped, so the line holds exactly one newline, its last byte. The caller sends
    /// it in one go: lines of two CPUs must not mix.
    ///
    /// # Errors
    ///
    /// [`TooLong`] when `buf` is too small. What `buf` then holds means nothing.
    pub fn to_line<'b>(&self, buf: &'b mut [u8]) -> Result<&'b [u8], TooLong> {
        let buffer_bytes = buf.len();
        let too_long = TooLong { buffer_bytes };
        let body_bytes = serde_json_core::to_slice(self, buf).map_err(|_| too_long)?;
        *buf.get_mut(body_bytes).ok_or(too_long)? = b'\n';
        Ok(&buf[..=body_bytes])
    }
}

/// The longest part of `text`, from its start, that is at most `max_bytes` long and ends between two characters.
///
/// For text of unknown length, such as a panic message, before it goes into a record.
pub fn clip(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}
