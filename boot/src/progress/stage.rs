//! The stage of a run, from its log and its records.

use protocol::record::{JobRun, Record};

/// What a run is at.
#[derive(Debug)]
pub(super) struct Stage {
    text: String,
    done: u64,
    of: u64,
}

impl Default for Stage {
    fn default() -> Self {
        Self { text: "loading the kernel".into(), done: 0, of: 0 }
    }
}

impl Stage {
    /// Returns what the run is at.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns how many parts are done, and how many there are; 0 if that is unknown.
    pub(super) fn parts(&self) -> (u64, u64) {
        (self.done, self.of)
    }

    /// Notes a line of the log: a test run has its plan and its results there.
    pub(super) fn line(&mut self, line: &str) {
        if let Some(count) = line.strip_prefix("1..").and_then(|count| count.parse().ok()) {
            (self.done, self.of) = (0, count);
        } else if let Some(name) = line.strip_prefix("# start: ") {
            self.text = name.into();
        } else if line.starts_with("ok ") || line.starts_with("not ok ") {
            self.done = (self.done + 1).min(self.of);
        }
    }

    /// Notes a record.
    pub(super) fn record(&mut self, record: &Record<String>) {
        match record {
            Record::Phase { name, .. } if name == "boot" => self.text = "booted".into(),
            Record::Phase { name, .. } => self.text = format!("booting, after {name}"),
            Record::Progress { what, done, of, .. } => {
                (self.done, self.of) = ((*done).min(*of).into(), (*of).into());
                self.text.clone_from(what);
            }
            Record::Job(JobRun { job, threads, .. }) => {
                self.text = format!("{job}, timed on {threads} threads")
            }
            Record::JobAuto(JobRun { job, .. }) => {
                self.text = format!("{job}, timed on as many threads as help")
            }
            Record::Trace { cpu, .. } => self.text = format!("reading the trace of cpu {cpu}"),
            Record::End { .. } => (self.text, self.done) = ("ending".into(), self.of),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::record::Status;

    fn at(stage: &Stage) -> (&str, u64, u64) {
        let (done, of) = stage.parts();
        (stage.text(), done, of)
    }

    #[test]
    fn timing_run_goes_from_job_to_job() {
        let mut stage = Stage::default();
        assert_eq!(at(&stage), ("loading the kernel", 0, 0));
        stage.record(&Record::Phase { t_ns: 1, name: "ap-start".into(), ns: 1 });
        assert_eq!(at(&stage), ("booting, after ap-start", 0, 0));
        stage.record(&Record::Progress { t_ns: 1, what: "zero-pages".into(), done: 1, of: 5 });
        assert_eq!(at(&stage), ("zero-pages", 1, 5));
        stage.record(&Record::End { t_ns: 1, status: Status::Pass, reason: String::new() });
        assert_eq!(at(&stage), ("ending", 5, 5));
    }

    #[test]
    fn test_run_counts_its_results() {
        let mut stage = Stage::default();
        // Not counted: no plan came before.
        stage.line("ok 1 early");
        for line in ["KTAP version 1", "1..2", "# start: a::one", "ok 1 a::one", "# start: b::two"] {
            stage.line(line);
        }
        assert_eq!(at(&stage), ("b::two", 1, 2));
        // More results than planned.
        ["not ok 2 b::two", "ok 3", "ok 4"].into_iter().for_each(|line| stage.line(line));
        assert_eq!(at(&stage), ("b::two", 2, 2));
    }

    #[test]
    fn more_parts_than_there_are_is_survived() {
        let mut stage = Stage::default();
        stage.record(&Record::Progress { t_ns: 1, what: "x".into(), done: 9, of: 0 });
        assert_eq!(at(&stage), ("x", 0, 0));
    }
}
