//! The comparison as text.

use super::comparison::Comparison;
use super::rows::{Cell, Row};
use crate::report::{duration, table, unit_name};
use comfy_table::CellAlignment;

/// Renders the comparison; at a terminal, tables fit its width.
pub fn render(comparison: &Comparison, is_terminal: bool) -> String {
    let mut parts = Vec::new();
    if !comparison.phases.is_empty() {
        parts.push(format!("boot\n{}", phases(comparison, is_terminal)));
    }
    parts.push(format!("jobs\n{}", jobs(comparison, is_terminal)));
    let mut lines: Vec<_> = comparison.differences.iter().map(|line| format!("warning: {line}")).collect();
    lines.extend(comparison.notes.iter().map(|line| format!("note: {line}")));
    parts.push(lines.join("\n"));
    parts.join("\n\n")
}

fn jobs(comparison: &Comparison, is_terminal: bool) -> String {
    let mut header = vec!["job", "threads", "units"];
    header.extend(columns(comparison));
    let mut table = table(is_terminal, &header);
    let mut previous: Option<&Row> = None;
    for row in &comparison.rows {
        let is_new = previous.replace(row).is_none_or(|previous| !previous.is_same_job(row));
        let name = if is_new { row.job.clone() } else { String::new() };
        let mut cells = vec![name, row.threads.short(), format!("{} x {}", row.units, unit_name(row.unit))];
        for (index, cell) in row.cells.iter().enumerate() {
            cells.push(cell.as_ref().map_or_else(missing, time));
            if index > 0 {
                cells.push(ratio(cell.as_ref().and_then(|cell| cell.ratio)));
            }
        }
        table.add_row(cells);
    }
    align(&mut table);
    table.to_string()
}

fn phases(comparison: &Comparison, is_terminal: bool) -> String {
    let mut header = vec!["phase"];
    header.extend(columns(comparison));
    let mut table = table(is_terminal, &header);
    for row in &comparison.phases {
        let mut cells = vec![row.name.clone()];
        for (index, cell) in row.cells.iter().enumerate() {
            cells.push(cell.map_or_else(missing, |(ns, _)| duration(ns)));
            if index > 0 {
                cells.push(ratio(cell.and_then(|(_, ratio)| ratio)));
            }
        }
        table.add_row(cells);
    }
    align(&mut table);
    table.to_string()
}

/// Returns the titles of the runs' columns: a time, and for all but the first a ratio.
fn columns(comparison: &Comparison) -> impl Iterator<Item = &str> {
    comparison
        .sides
        .iter()
        .enumerate()
        .flat_map(|(index, side)| std::iter::once(side.label.as_str()).chain((index > 0).then_some("ratio")))
}

fn time(cell: &Cell) -> String {
    format!("{}{}", duration(cell.ns), if cell.ok { "" } else { " WRONG" })
}

/// Formats a ratio.
pub(super) fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(missing, |ratio| format!("{ratio:.2}x"))
}

/// Returns the text of what was not measured.
pub(super) fn missing() -> String {
    "-".into()
}

/// Aligns all columns but the first to the right.
fn align(table: &mut comfy_table::Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
