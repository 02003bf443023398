//! The timing run: each job on 1, 2, ... threads and on as many as help, over warm memory. Every result is verified outside the
//! timed section.

use alloc::vec::Vec;

mod evict_cache;
mod fallocate;
mod gigantic;
mod huge_pool;
mod huge_reserve;
mod memory_map_init;
mod punch_hole;
mod report;
mod runner;
mod zero_pages;

use report::print_table;

use crate::console::records;
use crate::mm::huge::HugeSize;

/// The names of the jobs, as [`run`] accepts them.
pub const JOBS: &[&str] = &[
    "memory-map-init",
    "zero-pages",
    "huge-reserve",
    "huge-pool",
    "fallocate",
    "punch-hole",
    "gigantic-page",
    "gigantic-fault",
    "evict-cache",
];

/// Times all jobs, or one of [`JOBS`], and prints the table. Returns false if a result was wrong.
pub fn run(only: Option<&str>) -> bool {
    let mut rows = Vec::new();
    let chosen: Vec<_> = JOBS.iter().filter(|job| only.is_none_or(|only| only == **job)).collect();
    for (done, job) in chosen.iter().enumerate() {
        records::progress(job, done, chosen.len());
        match **job {
            "memory-map-init" => memory_map_init::time_job(&mut rows),
            "zero-pages" => zero_pages::time_job(&mut rows),
            "huge-reserve" => {
                huge_reserve::time_job(&mut rows, HugeSize::Size2M);
                huge_reserve::time_job(&mut rows, HugeSize::Size1G);
            }
            "huge-pool" => huge_pool::time_job(&mut rows),
            "fallocate" => {
                fallocate::time_job(&mut rows, HugeSize::Size2M);
                fallocate::time_job(&mut rows, HugeSize::Size1G);
            }
            "punch-hole" => punch_hole::time_job(&mut rows),
            "gigantic-page" => gigantic::time_page(&mut rows),
            "gigantic-fault" => gigantic::time_fault(&mut rows),
            "evict-cache" => evict_cache::time_job(&mut rows),
            job => unreachable!("job {job} is listed but not timed"),
        }
    }
    print_table(&rows);
    rows.iter().all(|row| row.ok)
}
