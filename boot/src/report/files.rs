//! The report as files.

use super::plots::{Plot, plots};
use super::summary::Report;
use crate::failure::Failure;
use crate::run::Run;
use std::path::{Path, PathBuf};

/// Paths of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The report.
    pub json: PathBuf,
    /// The records, unparsed.
    pub records: PathBuf,
    /// The kernel's log.
    pub serial: PathBuf,
}

impl Paths {
    /// Returns the requested paths. Other files go to `directory`; the records go beside the report.
    pub fn new(directory: &Path, json: Option<&Path>, serial: Option<&Path>) -> Self {
        let json = json.map_or_else(|| directory.join("report.json"), Path::to_path_buf);
        let records = json.with_file_name("records.jsonl");
        let serial = serial.map_or_else(|| directory.join("serial.log"), Path::to_path_buf);
        Self { json, records, serial }
    }
}

/// Writes the three files, and plots of benchmarks beside the report. Creates their directories. Returns the paths of the
/// plots.
///
/// # Errors
///
/// When a file cannot be written.
pub fn write(paths: &Paths, report: &Report, run: &Run) -> Result<Vec<PathBuf>, Failure> {
    let json = serde_json::to_string_pretty(report)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", paths.json.display())))?;
    put(&paths.json, &(json + "\n"))?;
    put(&paths.records, &lines(&run.record_lines))?;
    put(&paths.serial, &lines(&run.log))?;
    let plots = plots(&run.records)
        .map_err(|error| Failure::failed(format!("cannot plot the benchmarks: {error}")))?;
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
