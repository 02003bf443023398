//! The host's half: from a line to a record.

use std::fmt;
use std::string::String;

use super::line::{TEXT_MAX_BYTES, clip};
use super::schema::Record;

/// Every kind of record that this version knows, by the name it has in JSON.
pub(super) const KINDS: [&str; 14] = [
    "boot",
    "phase",
    "job",
    "zero-method",
    "thread",
    "cpu",
    "command",
    "warning",
    "panic",
    "fault",
    "end",
    "trace-name",
    "trace",
    "bench",
];

/// A line that is not a record: cut off, mixed with another one, or with a field that has the wrong type.
#[derive(Debug)]
pub struct ParseError {
    line: String,
    cause: serde_json::Error,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a record: {:?}: {}", self.line, self.cause)
    }
}

impl std::error::Error for ParseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// Reads one line. `Ok(None)` is a kind of record that this version does not know, or a blank line.
///
/// # Errors
///
/// [`ParseError`] when the line is not JSON, has no `record`, or lacks a field of its kind.
pub fn parse_line(line: &str) -> Result<Option<Record<String>>, ParseError> {
    #[derive(serde::Deserialize)]
    struct Kind {
        record: String,
    }
    let line = line.trim();
    if line.is_empty() {
        return Ok(None);
    }
    let error = |cause| ParseError { line: String::from(clip(line, TEXT_MAX_BYTES)), cause };
    let kind: Kind = serde_json::from_str(line).map_err(error)?;
    if !KINDS.contains(&kind.record.as_str()) {
        return Ok(None);
    }
    serde_json::from_str(line).map(Some).map_err(error)
}
