//! Parser of records, for the host.

use std::fmt;
use std::string::String;

use super::line::{TEXT_MAX_BYTES, clip};
use super::schema::Record;

/// Kinds of records that this version knows, by their names in JSON.
pub(super) const KINDS: [&str; 17] = [
    "boot",
    "phase",
    "job",
    "job-auto",
    "job-node",
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
    "progress",
];

/// Error: a line is not a record. It is cut off, mixed with another line, or has a field of the wrong type.
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

/// Parses one line. Returns `Ok(None)` for an unknown kind of record and for a blank line.
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
