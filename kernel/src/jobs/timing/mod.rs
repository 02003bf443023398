//! The timing run: each job on 1, 2, ... threads and on as many as help, over warm memory. Every result is verified outside the
//! timed section.
//!
//! The jobs are the files of `jobs/timed/`. They register in a section of the image; nothing here knows one by name.

use alloc::vec::Vec;

mod check;
mod closed_files;
mod filled_file;
mod job;
mod registry;
mod report;
mod runner;
mod store_loop;

pub use check::check;
pub use closed_files::ClosedFiles;
pub use filled_file::{FilledFile, whole_pool};
pub use job::{Budget, Failure, Reference, TimedJob};
pub use registry::{LAST, Registered};
pub use runner::time;

use crate::console::records;
pub use crate::jobs::node_stats::JobStats;

/// Returns the names of all jobs, in the order of the table.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for job in registry::all() {
        if !names.contains(&job.name) {
            names.push(job.name);
        }
    }
    names
}

/// Times all jobs, or those with one of [`names`], and prints the table. Returns false if a result was wrong.
pub fn run(only: Option<&str>) -> bool {
    let mut rows = Vec::new();
    let mut chosen = names();
    chosen.retain(|name| only.is_none_or(|only| only == *name));
    for (done, name) in chosen.iter().enumerate() {
        records::progress(name, done, chosen.len());
        for job in registry::all().into_iter().filter(|job| job.name == *name) {
            (job.time)(job, &mut rows);
        }
    }
    report::print_table(&rows);
    rows.iter().all(|row| row.ok)
}
