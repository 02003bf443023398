//! The report as files.

use super::page::{Content, page};
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
    /// The report as a page.
    pub page: PathBuf,
    /// The records, unparsed.
    pub records: PathBuf,
    /// The kernel's log.
    pub serial: PathBuf,
}

impl Paths {
    /// Returns the requested paths. Other files go to `directory`; the page and the records go beside the report.
    pub fn new(directory: &Path, json: Option<&Path>, serial: Option<&Path>) -> Self {
        let json = json.map_or_else(|| directory.join("report.json"), Path::to_path_buf);
        let page = json.with_file_name("report.html");
        let records = json.with_file_name("records.jsonl");
        let serial = serial.map_or_else(|| directory.join("serial.log"), Path::to_path_buf);
        Self { json, page, records, serial }
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

/// Writes the page, with links to the other files of [`write()`], to `plots` and to the `trace` file.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_page(
    paths: &Paths,
    report: &Report,
    run: &Run,
    plots: &[PathBuf],
    trace: Option<&Path>,
) -> Result<(), Failure> {
    let fixed = [
        ("report as JSON", Some(&*paths.json)),
        ("records", Some(&*paths.records)),
        ("log of the kernel", Some(&*paths.serial)),
        ("trace for Perfetto", trace),
    ];
    let named = fixed.into_iter().filter_map(|(what, path)| Some((what, path?)));
    let plots = plots.iter().map(|path| ("plot of a benchmark", &**path));
    let files = named.chain(plots).map(|(what, path)| (what, link(path, &paths.page))).collect();
    put(&paths.page, &page(&Content { report, records: &run.records, files }))
}

/// Returns a link to `path` for a page at `page`: relative if both are in one folder.
fn link(path: &Path, page: &Path) -> String {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let (path, page) = (absolute(path), absolute(page));
    match (path.file_name(), path.parent() == page.parent()) {
        (Some(name), true) => format!("./{}", encoded(name.as_encoded_bytes())),
        _ => format!("file://{}", encoded(path.as_os_str().as_encoded_bytes())),
    }
}

/// Replaces the bytes that have a meaning in a link.
fn encoded(bytes: &[u8]) -> String {
    let encode = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(*byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    bytes.iter().map(encode).collect()
}

fn lines(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// Writes a file and makes its folder.
///
/// # Errors
///
/// When the file cannot be written.
pub(crate) fn put(path: &Path, text: &str) -> Result<(), Failure> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_in_one_folder_and_encoded() {
        let link = |path: &str| link(Path::new(path), Path::new("/out/report.html"));
        assert_eq!(link("/out/report.json"), "./report.json");
        assert_eq!(link("/out/a b#c?d%e:f.json"), "./a%20b%23c%3Fd%25e%3Af.json");
        assert_eq!(link("/else where/report.json"), "file:///else%20where/report.json");
    }
}
