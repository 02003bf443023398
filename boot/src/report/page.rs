//! The report as one self-contained HTML page.
//!
//! All text is escaped by [`maud`]. The page loads nothing: its style and script are in it, and its policy forbids any network.

mod axis;
mod boot;
mod chart;
mod jobs;
mod trace;

use super::format::{byte_rate, duration};
use super::summary::{Report, ZeroMethod};
use crate::size::Size;
use crate::trace::collect::Trace;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use protocol::record::Record;

/// What the page shows.
pub struct Content<'a> {
    /// The report.
    pub report: &'a Report,
    /// Records of the run; the page reads benchmarks and trace.
    pub records: &'a [Record<String>],
    /// Files beside the page: what each is, and its link.
    pub files: Vec<(&'static str, String)>,
}

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// Permits the style and the script in the page, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
                      base-uri 'none'; form-action 'none'";

/// Renders the head of a page: its title, what it may load, and a style beside that of all pages.
pub(crate) fn page_head(title: &str, policy: &str, more_style: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta http-equiv="Content-Security-Policy" content=(policy);
            title { "ktask: " (title) }
            link rel="icon" href="data:,";
            style { (PreEscaped(STYLE)) (PreEscaped(more_style)) }
        }
    }
}

/// Renders the page.
pub fn page(content: &Content<'_>) -> String {
    let report = content.report;
    let verdict = if report.status == 0 { "pass" } else { "fail" };
    html! {
        (DOCTYPE)
        html lang="en" {
            (page_head(&report.ending, POLICY, ""))
            body {
                (head(report, verdict))
                main {
                    (messages(report))
                    (jobs::section(report))
                    (boot::section(report))
                    (zero_methods(report))
                    (benchmarks(content.records))
                    (traced(content.records))
                    (machine(report))
                    (files(&content.files))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

fn head(report: &Report, verdict: &str) -> Markup {
    html! {
        header {
            div.title {
                h1 { "ktask" }
                span.verdict.(verdict) { (verdict.to_uppercase()) }
                span.ending { (report.ending) }
            }
            p.facts {
                @for fact in facts(report) { span { (fact) } " " }
            }
        }
    }
}

fn facts(report: &Report) -> Vec<String> {
    let machine = &report.machine;
    let mut facts = Vec::new();
    match &report.boot {
        Some(Record::Boot { version, cpus_found, cpus_online, nodes, memory_bytes, .. }) => {
            facts.push(format!("kernel {version}"));
            facts.push(format!("{cpus_online} of {cpus_found} CPUs"));
            facts.push(format!("{nodes} memory node{}", if *nodes == 1 { "" } else { "s" }));
            facts.push(format!("{} MiB usable", memory_bytes >> 20));
        }
        _ => facts.push(format!("{} CPUs, {}", machine.cpus, Size { bytes: machine.memory_bytes })),
    }
    facts.push(machine.accel.clone());
    facts.push(format!("{} in all", duration(report.host.total_ns)));
    facts
}

/// Warnings, what stopped the run, and remarks on how to read the numbers.
fn messages(report: &Report) -> Markup {
    html! {
        @if !report.trouble.is_empty() {
            section.trouble { h2 { "What stopped the run" } pre { (report.trouble.join("\n")) } }
        }
        @if !report.warnings.is_empty() {
            section.warnings {
                h2 { "Warnings" }
                ul { @for warning in &report.warnings { li { (warning) } } }
            }
        }
        @if !report.notes.is_empty() {
            section.notes { ul { @for note in &report.notes { li { (note) } } } }
        }
    }
}

fn zero_methods(report: &Report) -> Markup {
    let methods = &report.zero_methods;
    let fastest = methods.iter().map(|method| method.bytes_per_s).max().unwrap_or(0).max(1);
    let part = |method: &ZeroMethod| method.bytes_per_s as f64 / fastest as f64 * 100.0;
    html! {
        @if !methods.is_empty() {
            section {
                h2 { "Methods to clear memory" }
                p.hint { "Measured at boot on one CPU; each rate is the best of several rounds." }
                div.bars {
                    @for method in methods {
                        div.bar.chosen[method.chosen] {
                            span.name { (method.method) }
                            span.track { span.fill style=(format!("width:{:.2}%", part(method))) {} }
                            span.value {
                                (byte_rate(method.bytes_per_s as f64))
                                @if method.chosen { " " span.tag { "chosen" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn benchmarks(records: &[Record<String>]) -> Markup {
    let results: Vec<_> = (records.iter())
        .filter_map(|record| match record {
            Record::Bench { name, n, of, value, unit, .. } => Some((name, n, of, value, unit)),
            _ => None,
        })
        .collect();
    html! {
        @if !results.is_empty() {
            section {
                h2 { "Benchmarks" }
                div.scroll {
                    table {
                        thead { tr { th { "benchmark" } th.number { "n" } th { "of" } th.number { "value" } th { "unit" } } }
                        tbody {
                            @for (name, n, of, value, unit) in results {
                                tr { td { (name) } td.number { (n) } td { (of) } td.number { (value) } td { (unit) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn traced(records: &[Record<String>]) -> Markup {
    match Trace::from_records(records) {
        Ok(collected) => trace::section(&collected),
        Err(why) => html! { section.warnings { h2 { "Trace" } p { "The trace is damaged: " (why) } } },
    }
}

fn machine(report: &Report) -> Markup {
    let machine = &report.machine;
    let mut rows = vec![
        ("virtual CPUs", machine.cpus.to_string()),
        ("CPUs of the host", report.host.cores.to_string()),
        ("memory", Size { bytes: machine.memory_bytes }.to_string()),
        ("memory nodes", machine.nodes.to_string()),
        ("accelerator", machine.accel.clone()),
        ("CPU model", machine.cpu_model.clone()),
    ];
    if !machine.qemu.is_empty() {
        rows.push(("QEMU", machine.qemu.clone()));
    }
    if let Some(Record::Boot { entry, tsc_hz, apic, timer, clock, .. }) = &report.boot {
        rows.push(("entry", entry.name().into()));
        rows.push(("interrupts", apic.clone()));
        rows.push(("timer", timer.clone()));
        rows.push(("clock", format!("{clock}, TSC at {:.0} MHz", *tsc_hz as f64 / 1e6)));
    }
    if let Some(first_line_ns) = report.host.first_line_ns {
        rows.push(("from QEMU's start to the first line", duration(first_line_ns)));
    }
    html! {
        section {
            h2 { "Machine" }
            dl { @for (name, value) in rows { div { dt { (name) } dd { (value) } } } }
            h3 { "Command line" }
            pre.command { (machine.command) }
        }
    }
}

fn files(files: &[(&'static str, String)]) -> Markup {
    html! {
        @if !files.is_empty() {
            section {
                h2 { "Files" }
                ul.files { @for (what, link) in files { li { a href=(link) { (what) } } } }
            }
        }
    }
}

#[cfg(test)]
mod tests;
