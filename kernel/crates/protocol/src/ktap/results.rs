//! Test results, collected from a console that also carries the kernel's log.

use super::line::{Line, Outcome};

/// Result of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// Full name, `suite::test`.
    pub name: String,
    /// Whether it passed; a skipped test counts as passed.
    pub passed: bool,
    /// Reason of a skipped test.
    pub skip_reason: Option<String>,
    /// Duration, if the kernel printed it.
    pub time_ns: Option<u64>,
    /// Diagnostic lines before the result.
    pub diagnostics: Vec<String>,
}

/// Collects results line by line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// Announced number of results; `None` before the plan line.
    pub planned: Option<u32>,
    /// Results so far, in order of arrival.
    pub tests: Vec<TestResult>,
    /// Test that has started and has no result yet: the cause if the kernel stops here.
    pub running: Option<String>,
    begun: bool,
    diagnostics: Vec<String>,
}

impl Results {
    /// Takes the next line of the console. Returns whether it is KTAP.
    ///
    /// Before the version line no line counts as KTAP: a log line may start with `#`.
    pub fn line(&mut self, text: &str) -> bool {
        let line = match Line::parse(text) {
            Some(line) if self.begun || line == Line::Version => line,
            _ => return false,
        };
        match line {
            Line::Version => self.begun = true,
            Line::Plan(count) => self.planned = Some(count),
            Line::Start(name) => {
                self.running = Some(name.to_string());
                self.diagnostics.clear();
            }
            Line::Diagnostic(text) => self.diagnostics.push(text.to_string()),
            Line::Result { name, outcome, time_ns, .. } => {
                self.running = None;
                self.tests.push(TestResult {
                    name: name.to_string(),
                    passed: outcome != Outcome::Failed,
                    skip_reason: match outcome {
                        Outcome::Skipped(reason) => Some(reason.to_string()),
                        Outcome::Passed | Outcome::Failed => None,
                    },
                    time_ns,
                    diagnostics: std::mem::take(&mut self.diagnostics),
                });
            }
        }
        true
    }

    /// Returns the result of the test `name`, if it has one.
    pub fn find(&self, name: &str) -> Option<&TestResult> {
        self.tests.iter().find(|test| test.name == name)
    }

    /// Returns whether all announced results have arrived.
    pub fn is_complete(&self) -> bool {
        self.planned.is_some_and(|planned| self.tests.len() >= planned as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "\
# not ours: before the version line
ok 1 not::ours
[    0.101][0][INFO ktest] running 3 tests
KTAP version 1
1..3
# start: sched::joins
[    0.102][1][INFO sched] a line of the log
ok 1 sched::joins # time=0.5ms
# start: mm::splits
# left: 3
# right: 4
not ok 2 mm::splits
# start: numa::local
ok 3 numa::local # SKIP needs two nodes
";

    fn collect(console: &str) -> Results {
        let mut results = Results::default();
        for line in console.lines() {
            results.line(line);
        }
        results
    }

    #[test]
    fn results_are_found_among_log_lines() {
        let results = collect(CONSOLE);
        assert_eq!(results.planned, Some(3));
        assert!(results.is_complete());
        assert_eq!(results.running, None);
        let joins = results.find("sched::joins").unwrap();
        assert!(joins.passed && joins.time_ns == Some(500_000) && joins.diagnostics.is_empty());
        let splits = results.find("mm::splits").unwrap();
        assert!(!splits.passed);
        assert_eq!(splits.diagnostics, ["left: 3", "right: 4"]);
        let local = results.find("numa::local").unwrap();
        assert!(local.passed);
        assert_eq!(local.skip_reason.as_deref(), Some("needs two nodes"));
        assert_eq!(results.find("not::ours"), None);
    }

    #[test]
    fn a_kernel_that_stops_leaves_the_running_test() {
        let cut = CONSOLE.find("not ok 2").unwrap();
        let results = collect(&CONSOLE[..cut]);
        assert!(!results.is_complete());
        assert_eq!(results.running.as_deref(), Some("mm::splits"));
    }

    #[test]
    fn a_plan_of_none_is_complete() {
        assert!(collect("KTAP version 1\n1..0\n").is_complete());
        assert!(!collect("KTAP version 1\n").is_complete());
    }
}
