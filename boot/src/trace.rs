//! Export of traces: from records to a file for trace viewers.
//!
//! [`collect`] assembles the records of a run; [`timeline`] turns them into the [`mark`]s of each CPU over time;
//! [`chrome`] writes that as Chrome's trace event format, which Perfetto reads too.

pub mod chrome;
pub mod collect;
pub mod mark;
pub mod timeline;

use crate::failure::Failure;
use collect::Trace;
use protocol::record::{Record, parse_line};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Reads records from a file.
///
/// # Errors
///
/// When the file cannot be read, or a line is no record.
pub fn read_records(path: &Path) -> Result<Vec<Record<String>>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    let mut records = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let record = parse_line(line)
            .map_err(|error| Failure::usage(format!("{}, line {}: {error}", path.display(), number + 1)))?;
        records.extend(record);
    }
    Ok(records)
}

/// Writes the trace in `records` to `path`; returns a summary for the user.
///
/// # Errors
///
/// When there is no trace, it is damaged, or the file cannot be written.
pub fn export(records: &[Record<String>], path: &Path) -> Result<String, Failure> {
    let trace = Trace::from_records(records).map_err(|why| Failure::failed(format!("trace: {why}")))?;
    if trace.cpus.is_empty() {
        return Err(Failure::failed(
            "there is no trace in the records; the kernel writes one at the end of a run with trace.enabled=on",
        ));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let written = parent.map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
        let mut file = BufWriter::new(File::create(path)?);
        chrome::write(&trace, &mut file)?;
        file.flush()
    });
    written.map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
    Ok(summary(&trace, path))
}

fn summary(trace: &Trace, path: &Path) -> String {
    let events: usize = trace.cpus.values().map(|cpu| cpu.events.len()).sum();
    let span_ns = trace.until_ns.saturating_sub(trace.since_ns);
    let mut text = format!(
        "trace: {}: {events} events of {} CPUs over {:.3} ms; open it in Perfetto or chrome://tracing",
        path.display(),
        trace.cpus.len(),
        span_ns as f64 / 1e6,
    );
    for (number, cpu) in trace.cpus.iter().filter(|(_, cpu)| cpu.lost > 0) {
        text +=
            &format!("\ntrace: cpu {number} lost {} events: give it a larger trace.buffer_events", cpu.lost);
    }
    text
}

#[cfg(test)]
mod tests;
