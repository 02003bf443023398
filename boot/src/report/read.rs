//! Reading a report file of an earlier run.

use super::summary::{FORMAT, Report};
use crate::failure::Failure;
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Size above which a file is no report: thousands of rows take a megabyte.
const BYTES_MAX: u64 = 64 << 20;

/// Reads the report file at `path`.
///
/// # Errors
///
/// When the file cannot be read, is no report, or has another format: a usage error of one line with the file's name.
pub fn read(path: &Path) -> Result<Report, Failure> {
    bytes(path)
        .and_then(|bytes| parse(&bytes))
        .map_err(|why| Failure::usage(format!("{}: {why}", path.display())))
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    match bytes.len() as u64 > BYTES_MAX {
        true => Err(format!("is no report: it has more than {} MiB", BYTES_MAX >> 20)),
        false => Ok(bytes),
    }
}

fn parse(bytes: &[u8]) -> Result<Report, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("is no report: {error}"))?;
    match value.get("format").map(Value::as_u64) {
        Some(Some(format)) if format == u64::from(FORMAT) => {}
        Some(Some(format)) => return Err(format!("has format {format}; this program reads format {FORMAT}")),
        Some(None) => return Err("is no report: \"format\" is not a number".into()),
        None => return Err("is no report: it has no \"format\"".into()),
    }
    serde_json::from_value(value).map_err(|error| format!("is no whole report: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{good_records, report};
    use crate::run::Ending;
    use proptest::prelude::*;
    use protocol::exit::{HostStatus, Verdict};

    fn written() -> String {
        let report = report(good_records(), Ending::Verdict(Verdict::Pass), 4);
        serde_json::to_string_pretty(&report).unwrap()
    }

    #[test]
    fn report_is_read_as_it_was_written() {
        let read = parse(written().as_bytes()).unwrap();
        assert_eq!(serde_json::to_string_pretty(&read).unwrap(), written());
        assert_eq!((read.jobs.len(), read.jobs_auto.len()), (3, 1));
    }

    #[test]
    fn fields_that_were_added_may_be_absent_or_unknown() {
        let mut value: Value = serde_json::from_str(&written()).unwrap();
        value["machine"].as_object_mut().unwrap().remove("qemu");
        value.as_object_mut().unwrap().remove("jobs_auto");
        let by_node = value["jobs"][0].as_object_mut().unwrap().remove("by_node");
        assert_eq!(by_node, Some(Value::Array(Vec::new())));
        value["jobs"][0]["later"] = 1.into();
        let read = parse(value.to_string().as_bytes()).unwrap();
        assert_eq!(
            (read.machine.qemu.as_str(), read.jobs_auto.len(), read.jobs[0].by_node.len()),
            ("", 0, 0)
        );
    }

    #[test]
    fn other_files_are_refused_in_one_line() {
        for (text, part) in [
            ("", "is no report: EOF"),
            ("\u{1f980}", "is no report: expected value"),
            ("[]", "no \"format\""),
            ("{\"format\":\"1\"}", "\"format\" is not a number"),
            ("{\"format\":-1}", "\"format\" is not a number"),
            ("{\"format\":2}", "has format 2; this program reads format 1"),
            ("{\"format\":1}", "is no whole report: missing field `status`"),
            (&written().replacen("\"cpus\": 4", "\"cpus\": -4", 1), "invalid value: integer `-4`"),
        ] {
            let why = parse(text.as_bytes()).unwrap_err();
            assert!(why.contains(part) && why.lines().count() == 1, "{text}: {why}");
        }
        for (path, part) in
            [("/nowhere/report.json", "No such file"), ("/", "directory"), ("/dev/zero", "64 MiB")]
        {
            let failure = read(Path::new(path)).unwrap_err();
            assert_eq!(failure.status, HostStatus::Usage);
            assert!(failure.message.starts_with(path) && failure.message.contains(part), "{failure}");
        }
    }

    proptest! {
        #[test]
        fn damaged_reports_are_read_or_refused_in_one_line(text in ".{0,40}", at in 0..2000_usize, cut in 0..40_usize) {
            let whole = written();
            let spliced = format!("{}{text}{}", &whole[..at], &whole[at + cut..]);
            if let Err(why) = parse(spliced.as_bytes()) {
                prop_assert_eq!(why.lines().count(), 1, "{}", why);
            }
        }
    }
}
