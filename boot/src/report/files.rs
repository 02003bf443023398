//! The report as files.

use super::plots::{Plot, plots};
use super::summary::Report;
use crate::failure::Failure;
use crate::run::Run;
use std::path::{Path, PathBuf};

/// Where the files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The report.
    pub json: PathBuf,
    /// The records as they came.
    pub records: PathBuf,
    /// The kernel's log.
    pub serial: PathBuf,
}

impl Paths {
    /// What was asked for; the rest goes to `directory`, the records always beside the report.
    pub fn new(directory: &Path, json: Option<&Path>, serial: Option<&Path>) -> Self {
        let json = json.map_or_else(|| directory.join("report.json"), Path::to_path_buf);
        let records = json.with_file_name("records.jsonl");
        let serial = serial.map_or_else(|| directory.join("serial.log"), Path::to_path_buf);
        Self { json, records, serial }
    }
}

/// Writes all three files, pictures of benchmarks beside the report where there is something to draw, and the
/// directories they lie in. Returns where the pictures are.
///
/// # Errors
///
/// When one cannot be written.
pub fn write(paths: &Paths, report: &Report, run: &Run) -> Result<Vec<PathBuf>, Failure> {
    let json = serde_json::to_string_pretty(report)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", paths.json.display())))?;
    put(&paths.json, &(json + "\n"))?;
    put(&paths.records, &lines(&run.record_lines))?;
    put(&paths.serial, &lines(&run.log))?;
    let plots = plots(&run.records)
        .map_err(|error| Failure::failed(format!("cannot draw what the benchmarks found: {error}")))?;
    let put_beside = |plot: Plot| {
        let path = paths.json.with_file_name(plot.file_name);
        put(&path, &plot.svg).map(|()| path)
    };
    plots.into_iter().map(put_beside).collect()
}

fn lines(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

fn put(path: &Path, text: &str) -> Result<(), Failure> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}
