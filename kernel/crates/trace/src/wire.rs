//! The encoding of events for the host: batches that fit into a record.
//!
//! An event is a tuple in postcard's encoding: nanoseconds since the previous event of the batch (for the first: since
//! kernel entry), the thread that ran, the [`Event`]. A batch is a sequence of events as base64 without padding. An
//! event takes some ten characters.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::Event;

/// Size of a batch in bytes.
pub const BATCH_MAX_BYTES: usize = 1350;
/// Length of a full batch as text.
pub const TEXT_MAX_BYTES: usize = BATCH_MAX_BYTES.div_ceil(3) * 4;

/// An event with its time and the running thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    /// Nanoseconds since kernel entry; in a batch, since the previous event.
    pub ns: u64,
    /// The thread that ran.
    pub thread: u32,
    /// The event.
    pub event: Event,
}

/// Encoded events of one CPU, in order.
#[derive(Debug)]
pub struct Batch {
    bytes: [u8; BATCH_MAX_BYTES],
    len_bytes: usize,
    last_ns: u64,
}

impl Batch {
    /// Returns an empty batch.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; BATCH_MAX_BYTES], len_bytes: 0, last_ns: 0 }
    }

    /// Returns whether the batch is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len_bytes == 0
    }

    /// Adds an event, not earlier than the last; returns false if it does not fit.
    #[must_use]
    pub fn push(&mut self, stamped: &Stamped) -> bool {
        let relative = Stamped { ns: stamped.ns.saturating_sub(self.last_ns), ..*stamped };
        match postcard::to_slice(&relative, &mut self.bytes[self.len_bytes..]) {
            Ok(used) => {
                self.len_bytes += used.len();
                self.last_ns = self.last_ns.max(stamped.ns);
                true
            }
            Err(_) => false,
        }
    }

    /// Writes the batch as text into `buffer`.
    #[must_use]
    pub fn to_text<'b>(&self, buffer: &'b mut [u8; TEXT_MAX_BYTES]) -> &'b str {
        let len = STANDARD_NO_PAD.encode_slice(&self.bytes[..self.len_bytes], buffer);
        let len = len.expect("the buffer holds a full batch");
        core::str::from_utf8(&buffer[..len]).expect("base64 is ASCII")
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a text is not a batch.
#[cfg(feature = "std")]
#[derive(Debug)]
pub enum DecodeError {
    /// It is not base64.
    Text(base64::DecodeError),
    /// After some whole events, the bytes are not an event.
    Event {
        /// Number of whole events.
        after: usize,
        /// The error.
        cause: postcard::Error,
    },
}

#[cfg(feature = "std")]
impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(cause) => write!(f, "not base64: {cause}"),
            Self::Event { after, cause } => write!(f, "no event after {after} whole ones: {cause}"),
        }
    }
}

#[cfg(feature = "std")]
impl std::error::Error for DecodeError {}

/// Decodes a batch.
///
/// # Errors
///
/// `text` is not a result of [`Batch::to_text`].
#[cfg(feature = "std")]
pub fn decode(text: &str) -> Result<std::vec::Vec<Stamped>, DecodeError> {
    let bytes = STANDARD_NO_PAD.decode(text).map_err(DecodeError::Text)?;
    let mut rest = &bytes[..];
    let mut events: std::vec::Vec<Stamped> = std::vec::Vec::new();
    let mut last_ns: u64 = 0;
    while !rest.is_empty() {
        let (mut stamped, after) = postcard::take_from_bytes::<Stamped>(rest)
            .map_err(|cause| DecodeError::Event { after: events.len(), cause })?;
        last_ns = last_ns.saturating_add(stamped.ns);
        stamped.ns = last_ns;
        events.push(stamped);
        rest = after;
    }
    Ok(events)
}
