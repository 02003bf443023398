//! The comparison as one self-contained HTML page, in the style of the report. It has no script.

use super::comparison::Comparison;
use super::facts::{INFORMATION, MACHINE};
use super::rows::{Cell, Row};
use super::text::{missing, ratio};
use crate::report::{duration, page_head, unit_name};
use maud::{DOCTYPE, Markup, html};

const STYLE_OF_SIDES: &str = include_str!("page.css");

/// Permits the style in the page, and nothing else.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// Number of colours; more runs use them again.
const COLOURS: usize = 4;

/// Parts of one: a ratio nearer to one than this is in no colour. Medians of three runs differ by so much.
const NOISE: f64 = 0.03;

/// Renders the page.
pub(super) fn page(comparison: &Comparison) -> String {
    let names: Vec<_> = comparison.sides.iter().map(|side| side.label.as_str()).collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            (page_head(&names.join(" and "), POLICY, STYLE_OF_SIDES))
            body {
                header {
                    div.title { h1 { "ktask" } span.ending { "runs side by side" } }
                    p.facts {
                        @for (index, name) in names.iter().enumerate() {
                            span class=(colour(index)) { i.swatch {} (name) } " "
                        }
                    }
                }
                main {
                    @if !comparison.differences.is_empty() {
                        section.warnings {
                            h2 { "The machines differ" }
                            ul { @for line in &comparison.differences { li { (line) } } }
                        }
                    }
                    section.notes { ul { @for note in &comparison.notes { li { (note) } } } }
                    (jobs(comparison))
                    (phases(comparison))
                    (runs(comparison))
                }
            }
        }
    }
    .into_string()
}

fn jobs(comparison: &Comparison) -> Markup {
    let is_first = |(index, row): &(usize, &Row)| *index == 0 || !comparison.rows[index - 1].is_same_job(row);
    let works: Vec<_> = comparison.rows.iter().enumerate().filter(is_first).map(|(_, row)| row).collect();
    html! {
        section {
            h2 { "Jobs" }
            p.hint { "Longer bars are faster: each is a rate, as part of the job's best one." }
            div.cards { @for work in works { (card(comparison, work)) } }
            (table(comparison))
        }
    }
}

fn card(comparison: &Comparison, work: &Row) -> Markup {
    let rows = || comparison.rows.iter().filter(|row| row.is_same_job(work));
    let rates = rows().flat_map(|row| row.cells.iter().flatten().map(|cell| cell.units_per_s));
    let best = rates.fold(f64::MIN_POSITIVE, f64::max);
    html! {
        article.card {
            h3 { (work.job) " " span.unit { (work.units) " × " (unit_name(work.unit)) } }
            @for row in rows() {
                p.group { (row.threads) }
                @for (index, cell) in row.cells.iter().enumerate() {
                    div.bar.side.(colour(index)) {
                        span.name { (comparison.sides[index].label) }
                        span.track {
                            @if let Some(cell) = cell {
                                span.fill style=(format!("width:{:.2}%", cell.units_per_s / best * 100.0)) {}
                            }
                        }
                        span.value { (value(cell.as_ref())) }
                    }
                }
            }
        }
    }
}

fn value(cell: Option<&Cell>) -> Markup {
    html! {
        @match cell {
            None => { (missing()) },
            Some(cell) => {
                (cell.rate)
                @if let Some(value) = cell.ratio { " " (coloured(Some(value))) }
                @if !cell.ok { " " span.tag.wrong { "WRONG" } }
            },
        }
    }
}

fn coloured(value: Option<f64>) -> Markup {
    let class = match value {
        Some(value) if value > 1.0 + NOISE => "faster",
        Some(value) if value < 1.0 - NOISE => "slower",
        _ => "same",
    };
    html! { span class=(class) { (ratio(value)) } }
}

fn table(comparison: &Comparison) -> Markup {
    html! {
        details open[comparison.rows.len() <= 24] {
            summary { "All rows" }
            div.scroll {
                table {
                    thead { tr { th { "job" } th.number { "threads" } th.number { "units" } (columns(comparison)) } }
                    tbody {
                        @for (index, row) in comparison.rows.iter().enumerate() {
                            tr.first[index == 0 || !comparison.rows[index - 1].is_same_job(row)] {
                                td { (row.job) }
                                td.number { (row.threads.short()) }
                                td.number { (row.units) " × " (unit_name(row.unit)) }
                                @for (index, cell) in row.cells.iter().enumerate() {
                                    td.number {
                                        (cell.as_ref().map_or_else(missing, |cell| duration(cell.ns)))
                                        @if cell.as_ref().is_some_and(|cell| !cell.ok) { " " span.tag.wrong { "WRONG" } }
                                    }
                                    @if index > 0 { td.number { (coloured(cell.as_ref().and_then(|cell| cell.ratio))) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn phases(comparison: &Comparison) -> Markup {
    html! {
        @if !comparison.phases.is_empty() {
            section {
                h2 { "Boot" }
                p.hint { "Each phase was measured once." }
                div.scroll {
                    table {
                        thead { tr { th { "phase" } (columns(comparison)) } }
                        tbody {
                            @for row in &comparison.phases {
                                tr {
                                    td { (row.name) }
                                    @for (index, cell) in row.cells.iter().enumerate() {
                                        td.number { (cell.map_or_else(missing, |(ns, _)| duration(ns))) }
                                        @if index > 0 { td.number { (coloured(cell.and_then(|(_, ratio)| ratio))) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Renders the titles of the runs' columns.
fn columns(comparison: &Comparison) -> Markup {
    html! {
        @for (index, side) in comparison.sides.iter().enumerate() {
            th.number { (side.label) }
            @if index > 0 { th.number { "ratio" } }
        }
    }
}

fn runs(comparison: &Comparison) -> Markup {
    let rows = INFORMATION.iter().map(|fact| (fact, false)).chain(MACHINE.iter().map(|fact| (fact, true)));
    html! {
        section {
            h2 { "Runs" }
            div.scroll {
                table {
                    thead { tr { th {} @for side in &comparison.sides { th { (side.label) } } } }
                    tbody {
                        @for ((name, fact), is_machine) in rows {
                            @let values: Vec<_> = comparison.sides.iter().map(|side| fact(&side.report)).collect();
                            tr.differs[is_machine && values.iter().any(|value| *value != values[0])] {
                                td { (name) }
                                @for value in &values { td { (value) } }
                            }
                        }
                    }
                }
            }
            @for side in &comparison.sides {
                h3 { "Command line of " (side.label) }
                pre.command { (side.report.machine.command) }
            }
        }
    }
}

/// Returns the class with a run's colour.
fn colour(index: usize) -> String {
    format!("side{}", index % COLOURS)
}
