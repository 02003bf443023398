//! What a timing run reports: records and a table.

use core::fmt;

use protocol::record::{JobRun, Record, Unit};

use crate::arch::tsc;
use crate::console::{print_line, records};
use crate::jobs::node_stats::JobStats;

/// A timed run: the one of median time out of several.
pub struct Row {
    pub(super) job: &'static str,
    pub(super) unit: Unit,
    /// Whether every byte of the units was written.
    pub(super) writes: bool,
    /// Requested number of threads; `None`: as many as help.
    pub(super) threads: Option<usize>,
    pub(super) units: u64,
    pub(super) bytes: u64,
    pub(super) stats: JobStats,
    pub(super) ok: bool,
}

/// A requested number of threads, in words.
pub(super) struct OnThreads(pub(super) Option<usize>);

impl fmt::Display for OnThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(threads) => write!(f, "{threads} threads"),
            None => write!(f, "as many threads as help"),
        }
    }
}

/// Writes the record of `row`: `job`, or `job-auto` for as many threads as help. One of each node follows.
pub(super) fn emit(row: &Row) {
    let (stats, t_ns) = (&row.stats, tsc::now_ns());
    let run = JobRun {
        t_ns,
        job: row.job,
        threads: row.threads.map_or(stats.threads_at_end, |threads| threads as u32),
        threads_used: stats.threads_used,
        units: row.units,
        unit: row.unit,
        bytes: row.bytes,
        writes: row.writes,
        chunks: stats.chunks,
        ns: stats.wall_ns,
        cpu_ns: stats.cpu_ns,
        spread_ns: stats.spread_ns,
        local_chunks: stats.local_chunks,
        ok: row.ok,
    };
    records::emit(&match row.threads {
        Some(_) => Record::Job(run),
        None => Record::JobAuto(run),
    });
    for (node, count) in stats.nodes() {
        records::emit(&Record::JobNode {
            t_ns,
            node: node as u32,
            chunks: count.chunks.into(),
            local_chunks: count.local.into(),
        });
    }
}

/// Prints the table of all rows.
pub(super) fn print_table(rows: &[Row]) {
    print_line(format_args!(
        "{:16} {:>8} {:>5} {:>9} {:>7} {:>10} {:>14} {:>8} {:>9} {:>9} {:>4}",
        "job",
        "threads",
        "used",
        "units",
        "chunks",
        "median ms",
        "rate",
        "speedup",
        "cpu ms",
        "spread us",
        "ok"
    ));
    for row in rows {
        let alone = rows
            .iter()
            .find(|other| other.job == row.job && other.unit == row.unit && other.threads == Some(1));
        print_row(row, alone.filter(|_| row.threads != Some(1)));
    }
}

/// A number with three decimals. The kernel has no floating-point registers.
struct Thousandths(u64);

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = alloc::format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        f.pad_integral(true, "", &text)
    }
}

fn print_row(row: &Row, alone: Option<&Row>) {
    let ns = row.stats.wall_ns.max(1);
    let per_second = |amount: u64| (u128::from(amount) * 1_000_000_000 / u128::from(ns)) as u64;
    let rate = match (row.writes, per_second(row.units)) {
        (true, _) => alloc::format!("{} GiB/s", Thousandths(per_second(row.bytes) / (1 << 20) * 1000 / 1024)),
        (false, pages @ 100_000_000..) => alloc::format!("{} Mpages/s", pages / 1_000_000),
        (false, pages) => alloc::format!("{} Mpages/s", Thousandths(pages / 1000)),
    };
    let speedup = match alone {
        Some(alone) => alloc::format!("{}x", Thousandths(alone.stats.wall_ns * 1000 / ns)),
        None => "-".into(),
    };
    let threads = match row.threads {
        Some(threads) => alloc::format!("{threads}"),
        None => alloc::format!("auto {}", row.stats.threads_at_end),
    };
    print_line(format_args!(
        "{:16} {:>8} {:>5} {:>9} {:>7} {:>10} {:>14} {:>8} {:>9} {:>9} {:>4}",
        row.job,
        threads,
        row.stats.threads_used,
        row.units,
        row.stats.chunks,
        Thousandths(ns / 1000),
        rate,
        speedup,
        Thousandths(row.stats.cpu_ns / 1000),
        row.stats.spread_ns / 1000,
        if row.ok { "yes" } else { "NO" }
    ));
}
