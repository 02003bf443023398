//! The report as text.

use super::format::{bar, byte_rate, duration, rate};
use super::jobs::JobRow;
use super::summary::{Phase, Report};
use crate::size::Size;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use protocol::record::{Record, Unit};

/// The column of local chunks.
const LOCAL: usize = 11;

/// Width of the longest bar.
const BAR_CELLS: usize = 16;

/// Renders the whole report; at a terminal, tables fit its width.
pub fn render(report: &Report, is_terminal: bool) -> String {
    let mut parts = vec![summary(report)];
    let mut section = |title: &str, body: String| parts.push(format!("{title}\n{body}"));
    if !report.phases.is_empty() {
        section("boot", phases(report, is_terminal));
    }
    if !report.zero_methods.is_empty() {
        section("methods to clear memory, on one CPU", zero_methods(report, is_terminal));
    }
    if !report.jobs.is_empty() {
        section("jobs", jobs(report, is_terminal));
    }
    if !report.notes.is_empty() {
        parts.push(list("note", &report.notes));
    }
    parts.extend(trouble(report));
    parts.join("\n\n")
}

/// Renders how the run ended and what went wrong, for a user that has seen the log.
pub fn render_ending(report: &Report) -> String {
    let mut parts = vec![summary(report)];
    parts.extend(trouble(report));
    parts.join("\n\n")
}

/// Renders the warnings and what stopped the run.
fn trouble(report: &Report) -> Vec<String> {
    let mut parts = Vec::new();
    if !report.warnings.is_empty() {
        parts.push(list("warning", &report.warnings));
    }
    if !report.trouble.is_empty() {
        parts.push(report.trouble.join("\n"));
    }
    parts
}

/// Summarises in one line what ran and how it ended.
fn summary(report: &Report) -> String {
    let machine = &report.machine;
    let mut facts = vec![format!("{}: {}", if report.status == 0 { "PASS" } else { "FAIL" }, report.ending)];
    match &report.boot {
        Some(Record::Boot { version, cpus_found, cpus_online, nodes, memory_bytes, .. }) => {
            let mib = memory_bytes >> 20;
            facts.push(format!("kernel {version}"));
            facts.push(format!("{cpus_online} of {cpus_found} CPUs, {nodes} node(s), {mib} MiB usable"));
        }
        _ => facts.push(format!("{} CPUs, {}", machine.cpus, Size { bytes: machine.memory_bytes })),
    }
    facts.push(format!("{} with -cpu {}", machine.accel, machine.cpu_model));
    if let Some(first_line_ns) = report.host.first_line_ns {
        facts.push(format!("first line after {}", duration(first_line_ns)));
    }
    facts.push(format!("{} in all", duration(report.host.total_ns)));
    facts.join("; ")
}

fn phases(report: &Report, is_terminal: bool) -> String {
    let mut table = table(is_terminal, &["phase", "time", ""]);
    let longest_ns = report.phases.iter().map(|phase| phase.ns).max().unwrap_or(1).max(1);
    for (depth, name, phase) in nested(&report.phases) {
        let bar = bar(phase.ns as f64 / longest_ns as f64, BAR_CELLS);
        table.add_row([format!("{}{name}", "  ".repeat(depth)), duration(phase.ns), bar]);
    }
    align(&mut table, 1..2);
    table.to_string()
}

/// Orders phases so that nested ones follow the outer one, although they end, and are reported, before it. Returns for each
/// phase its depth and its name in the outer one.
pub(super) fn nested(phases: &[Phase]) -> Vec<(usize, &str, &Phase)> {
    let is_in = |name: &str, whole: &str| {
        name.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // Sorts by the first positions of all outer phases, outermost first: an outer phase comes before its inner ones.
    let place = |phase: &Phase| -> Vec<usize> {
        let wholes = phase.name.match_indices('/').map(|(end, _)| &phase.name[..end]).chain([&*phase.name]);
        wholes.filter_map(|whole| phases.iter().position(|other| is_in(&other.name, whole))).collect()
    };
    let mut sorted: Vec<_> = phases.iter().collect();
    sorted.sort_by_key(|phase| place(phase));
    sorted
        .into_iter()
        .map(|phase| match phase.name.rsplit_once('/') {
            Some((whole, part)) if phases.iter().any(|other| other.name == whole) => {
                (whole.matches('/').count() + 1, part, phase)
            }
            _ => (0, &phase.name[..], phase),
        })
        .collect()
}

fn zero_methods(report: &Report, is_terminal: bool) -> String {
    let mut table = table(is_terminal, &["method", "best rate", ""]);
    let fastest = report.zero_methods.iter().map(|method| method.bytes_per_s).max().unwrap_or(1).max(1);
    for method in &report.zero_methods {
        let bar = bar(method.bytes_per_s as f64 / fastest as f64, BAR_CELLS);
        let chosen = if method.chosen { " chosen" } else { "" };
        table.add_row([
            method.method.clone(),
            byte_rate(method.bytes_per_s as f64),
            format!("{bar}{chosen}"),
        ]);
    }
    align(&mut table, 1..2);
    table.to_string()
}

fn jobs(report: &Report, is_terminal: bool) -> String {
    const HEADER: [&str; 13] = [
        "job", "threads", "used", "units", "chunks", "median", "rate", "speedup", "eff.", "cpu time",
        "spread", "local", "",
    ];
    let mut table = table(is_terminal, &HEADER);
    let mut previous = None;
    for (index, row) in report.jobs.iter().enumerate() {
        let work = (&row.job, row.unit);
        let is_new = previous.replace(work) != Some(work);
        table.add_row(job_cells(row, is_new, &row.threads.to_string(), report));
        // Behind the last number of threads: on as many as help.
        let is_last = report.jobs.get(index + 1).is_none_or(|next| !next.is_same_work(row));
        for auto in report.jobs_auto.iter().filter(|auto| is_last && auto.is_same_work(row)) {
            table.add_row(job_cells(auto, false, &format!("auto {}", auto.threads), report));
        }
    }
    align(&mut table, 1..12);
    if let Some(column) = table.column_mut(LOCAL).filter(|_| !report.has_nodes()) {
        column.set_constraint(ColumnConstraint::Hidden);
    }
    table.to_string()
}

fn job_cells(row: &JobRow, is_new: bool, threads: &str, report: &Report) -> [String; 13] {
    let all = report.jobs.iter().chain(&report.jobs_auto);
    let fastest = all
        .filter(|other| other.job == row.job && other.unit == row.unit)
        .map(|other| other.units_per_s)
        .fold(0.0, f64::max);
    let unknown = || "-".to_string();
    let verdict = if row.ok { "" } else { " WRONG" };
    [
        if is_new { row.job.clone() } else { String::new() },
        threads.to_string(),
        row.threads_used.to_string(),
        format!("{} x {}", row.units, unit_name(row.unit)),
        row.chunks.to_string(),
        duration(row.ns),
        rate(row),
        row.speedup.map_or_else(unknown, |speedup| format!("{speedup:.2}x")),
        row.efficiency.map_or_else(unknown, |efficiency| format!("{:.0}%", efficiency * 100.0)),
        duration(row.cpu_ns),
        duration(row.spread_ns),
        row.local_part().map_or_else(unknown, |part| format!("{:.0}%", part * 100.0)),
        format!("{}{verdict}", bar(row.units_per_s / fastest, BAR_CELLS)),
    ]
}

/// Returns an empty table; at a terminal it fits the width.
pub(crate) fn table(is_terminal: bool, header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_header(header);
    match is_terminal {
        true => table.set_content_arrangement(ContentArrangement::Dynamic),
        false => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table
}

/// Aligns columns of numbers to the right.
fn align(table: &mut Table, columns: std::ops::Range<usize>) {
    for index in columns {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn list(label: &str, lines: &[String]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| format!("{label}: {line}")).collect();
    lines.join("\n")
}

/// Returns a unit's short name.
pub(crate) fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Page4K => "4K",
        Unit::Page2M => "2M",
        Unit::Page1G => "1G",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_phases_follow_the_outer_one() {
        let names = ["mm/early", "early", "ap-start", "mm/rest/zone", "mm/rest", "mm", "lone/part"];
        let phases = names.map(|name| Phase { name: name.into(), ns: 1, end_ns: 1 });
        let shown: Vec<_> = nested(&phases)
            .into_iter()
            .map(|(depth, name, _)| format!("{}{name}", "  ".repeat(depth)))
            .collect();
        assert_eq!(shown, ["mm", "  early", "  rest", "    zone", "early", "ap-start", "lone/part"]);
    }
}
