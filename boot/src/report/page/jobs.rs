//! The timed jobs: a card with curves for each, and the table of all rows.

use super::chart::Chart;
use crate::report::format::{byte_rate, duration, page_rate, rate};
use crate::report::jobs::JobRow;
use crate::report::summary::Report;
use crate::report::tables::unit_name;
use maud::{Markup, html};

/// Renders all jobs.
pub(super) fn section(report: &Report) -> Markup {
    html! {
        @if !report.jobs.is_empty() {
            section {
                h2 { "Jobs" }
                p.hint {
                    "Each point is the run of median time. Dashed: the ideal, as many times the speed as there are threads. "
                    @if !report.jobs_auto.is_empty() { "Diamond: as many threads as help. " }
                    "Speedup is relative to the same work on one thread."
                }
                div.cards {
                    @for row in works(report) { (card(report, row)) }
                }
                (table(report))
            }
        }
    }
}

/// Returns the first row of each job's work.
fn works(report: &Report) -> Vec<&JobRow> {
    let is_first =
        |(index, row): &(usize, &JobRow)| !report.jobs[..*index].iter().any(|other| row.is_same_work(other));
    report.jobs.iter().enumerate().filter(is_first).map(|(_, row)| row).collect()
}

fn card(report: &Report, work: &JobRow) -> Markup {
    let rows: Vec<_> = report.jobs.iter().filter(|row| work.is_same_work(row)).collect();
    let auto = report.jobs_auto.iter().find(|row| work.is_same_work(row));
    let all = || rows.iter().copied().chain(auto);
    let best = all().max_by(|a, b| a.units_per_s.total_cmp(&b.units_per_s)).unwrap_or(work);
    let is_right = all().all(|row| row.ok);
    let amount = |row: &JobRow| row.bytes_per_s.unwrap_or(row.units_per_s);
    let alone = rows.iter().find(|row| row.threads == 1);
    let format_rate: &dyn Fn(f64) -> String =
        if work.bytes_per_s.is_some() { &byte_rate } else { &page_rate };
    let speedups: Vec<_> = rows.iter().filter_map(|row| Some((row.threads, row.speedup?))).collect();
    html! {
        article.card {
            h3 {
                (work.job) " " span.unit { (work.units) " × " (unit_name(work.unit)) }
                @if !is_right { " " span.tag.wrong { "WRONG RESULT" } }
            }
            p.headline {
                strong { (rate(best)) }
                " on " (best.threads) @if best.threads == 1 { " thread" } @else { " threads" }
                @if let Some(speedup) = best.speedup.filter(|_| best.threads > 1) { ", " strong { (format!("{speedup:.2}×")) } }
            }
            @if rows.len() > 1 {
                div.charts {
                    @if speedups.len() > 1 {
                        (Chart {
                            title: "speedup",
                            points: speedups,
                            auto: auto.and_then(|row| Some((row.threads, row.speedup?))),
                            ideal: Some(1.0),
                            unit: 1.0,
                            format: &|value| format!("{value:.2}×"),
                        }.render())
                    }
                    (Chart {
                        title: if work.bytes_per_s.is_some() { "bytes written per second" } else { "pages per second" },
                        points: rows.iter().map(|row| (row.threads, amount(row))).collect(),
                        auto: auto.map(|row| (row.threads, amount(row))),
                        ideal: alone.map(|row| amount(row)),
                        unit: if work.bytes_per_s.is_some() { f64::from(1 << 30) } else { 1.0 },
                        format: format_rate,
                    }.render())
                }
                (spread(&all().filter(|row| row.threads_used > 1).map(|row| (threads(report, row), row)).collect::<Vec<_>>()))
            }
            @if let Some(row) = rows.last().filter(|_| report.has_nodes()) { (locality(row)) }
        }
    }
}

/// Returns whether `row` is one of as many threads as help.
fn is_auto(report: &Report, row: &JobRow) -> bool {
    report.jobs_auto.iter().any(|auto| std::ptr::eq(auto, row))
}

/// Returns the threads of `row` in words.
fn threads(report: &Report, row: &JobRow) -> String {
    format!("{}{}", if is_auto(report, row) { "auto " } else { "" }, row.threads)
}

/// Renders the parts of the runs during which some threads had ended and others not. Each row comes with its
/// threads in words.
fn spread(rows: &[(String, &JobRow)]) -> Markup {
    let part = |row: &JobRow| {
        if row.ns == 0 { 0.0 } else { (row.spread_ns as f64 * 100.0 / row.ns as f64).min(100.0) }
    };
    html! {
        @if !rows.is_empty() {
            div.spread {
                p.hint { "spread: from the first thread's end to the last one's, as part of the time" }
                @for (threads, row) in rows {
                    div.bar {
                        span.name { (threads) }
                        span.track { span.fill style=(format!("width:{:.2}%", part(row))) {} }
                        span.value { (duration(row.spread_ns)) " of " (duration(row.ns)) }
                    }
                }
            }
        }
    }
}

/// Renders the part of each node's chunks that its own CPUs processed, in one run.
fn locality(row: &JobRow) -> Markup {
    html! {
        @if !row.by_node.is_empty() {
            div.locality {
                p.hint {
                    "local chunks by the node of their memory, on " (row.threads)
                    @if row.threads == 1 { " thread" } @else { " threads" }
                }
                @for count in &row.by_node {
                    div.bar {
                        span.name { "node " (count.node) }
                        span.track { span.fill style=(format!("width:{:.2}%", count.local_part() * 100.0)) {} }
                        span.value { (count.local_chunks) " of " (count.chunks) }
                    }
                }
            }
        }
    }
}

fn table(report: &Report) -> Markup {
    let has_speedup = report.jobs.iter().any(|row| row.speedup.is_some());
    let has_local = report.has_nodes() && report.jobs.iter().any(|row| row.local_part().is_some());
    html! {
        details open[report.jobs.len() <= 24] {
            summary { "All rows" }
            div.scroll {
                table {
                    thead {
                        tr {
                            th { "job" } th.number { "threads" } th.number { "used" } th.number { "units" }
                            th.number { "chunks" } th.number { "median time" } th.number { "rate" }
                            @if has_speedup { th.number { "speedup" } th.number { "efficiency" } }
                            th.number { "CPU time" } th.number { "spread" }
                            @if has_local { th.number title="chunks that a thread of the memory's node processed" { "local" } }
                            th { "result" }
                        }
                    }
                    tbody {
                        @for (index, row) in works(report).iter().flat_map(|work| report.rows_like(work)).enumerate() {
                            @let is_auto = is_auto(report, row);
                            tr.auto[is_auto].first[row.threads == 1 && !is_auto || index == 0] {
                                td { (row.job) }
                                td.number { (threads(report, row)) }
                                td.number { (row.threads_used) }
                                td.number { (row.units) " × " (unit_name(row.unit)) }
                                td.number { (row.chunks) }
                                td.number { (duration(row.ns)) }
                                td.number { (rate(row)) }
                                @if has_speedup {
                                    td.number { (known(row.speedup, |speedup| format!("{speedup:.2}×"))) }
                                    td.number { (known(row.efficiency, |part| format!("{:.0} %", part * 100.0))) }
                                }
                                td.number { (duration(row.cpu_ns)) }
                                td.number { (duration(row.spread_ns)) }
                                @if has_local { td.number { (known(row.local_part(), |part| format!("{:.0} %", part * 100.0))) } }
                                td { @if row.ok { "verified" } @else { span.tag.wrong { "WRONG" } } }
                            }
                        }
                    }
                }
            }
            @if !has_local { p.hint { "Local chunks are not shown: the machine has one memory node, or no job names nodes." } }
        }
    }
}

fn known(value: Option<f64>, format: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_string(), format)
}
