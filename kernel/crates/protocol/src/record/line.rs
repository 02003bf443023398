//! Lines of records, and limits of their length.

use core::fmt;

use serde::Serialize;

use super::schema::Record;

/// Size of a buffer for any record whose strings were [`clip`]ped to [`MESSAGE_MAX_BYTES`] or [`TEXT_MAX_BYTES`] and need
/// no escapes. The longest record is a `panic` with a full backtrace.
pub const LINE_MAX_BYTES: usize = 2304;

/// Longest message of a panic: two lock orders, with names and places, fit.
pub const MESSAGE_MAX_BYTES: usize = 512;

/// Longest other string in a record.
pub const TEXT_MAX_BYTES: usize = 256;

/// Error: a record does not fit into its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Size of the buffer.
    pub buffer_bytes: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record does not fit in a buffer of {} bytes", self.buffer_bytes)
    }
}

impl core::error::Error for TooLong {}

impl<S: Serialize> Record<S> {
    /// Writes the record into `buf` as one line of JSON. Returns the line with its newline.
    ///
    /// Strings are escaped, so the line's only newline is its last byte. The caller sends the line in one piece: lines of
    /// two CPUs must not mix.
    ///
    /// # Errors
    ///
    /// [`TooLong`] when `buf` is too small. The content of `buf` is then unspecified.
    pub fn to_line<'b>(&self, buf: &'b mut [u8]) -> Result<&'b [u8], TooLong> {
        let buffer_bytes = buf.len();
        let too_long = TooLong { buffer_bytes };
        let body_bytes = serde_json_core::to_slice(self, buf).map_err(|_| too_long)?;
        *buf.get_mut(body_bytes).ok_or(too_long)? = b'\n';
        Ok(&buf[..=body_bytes])
    }
}

/// Returns the longest prefix of `text` with at most `max_bytes` bytes that ends between two characters.
///
/// Text of unknown length, such as a panic message, is clipped before it goes into a record.
pub fn clip(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}
