//! Where the kernel makes its jobs: one file gives all of them their profile, tuning and name.

use std::path::Path;

use crate::imports::Graph;
use crate::sources::Sources;

/// The file that makes jobs.
const MAKER: &str = "jobs/manners.rs";
/// The folders whose jobs are made by hand: tests and benchmarks of jobs.
const FREE: [&str; 2] = ["tests/", "bench/"];
/// What makes a job, or chooses how much of the machine it may use.
const MAKING: [&str; 8] = [
    "Job::new",
    "Job::over_nodes",
    "Job::<",
    "Profile",
    ".profile(",
    ".threads_exact(",
    ".tuning(",
    "Tuning",
];

/// Returns each line that makes a job elsewhere, as `path:line: text`, paths below `root`.
pub fn violations(graph: &Graph, sources: &dyn Sources, root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_maker_seen = false;
    for file in &graph.files {
        let name = file.strip_prefix(root).unwrap_or(file).to_string_lossy();
        if name == MAKER {
            is_maker_seen = true;
        } else if !FREE.iter().any(|folder| name.starts_with(folder)) {
            let text = sources.read(file).expect("a file of the graph is readable");
            found.extend(lines_that_make_jobs(&text).map(|line| format!("{name}:{line}")));
        }
    }
    if !is_maker_seen {
        found.push(format!("{MAKER} is missing"));
    }
    found
}

/// Returns the number and the text of each line outside comments that makes a job.
fn lines_that_make_jobs(text: &str) -> impl Iterator<Item = String> + '_ {
    let makes = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        MAKING.iter().any(|word| code.contains(word))
    };
    text.lines()
        .enumerate()
        .filter(move |(_, line)| makes(line))
        .map(|(at, line)| format!("{}: {}", at + 1, line.trim()))
}

#[test]
fn a_job_made_by_hand_is_found() {
    let text = "use ktask::Job;\n// Job::new in a comment\nlet job = Job::new(range)\n    .profile(Profile::Boot);\n";
    let found: Vec<String> = lines_that_make_jobs(text).collect();
    assert_eq!(found, ["3: let job = Job::new(range)", "4: .profile(Profile::Boot);"]);
}
