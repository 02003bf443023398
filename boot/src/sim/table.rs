//! The simulation as text.

use super::description::Description;
use super::outcome::{Outcome, Run};
use crate::report::duration;
use comfy_table::{CellAlignment, Table, presets};

/// Renders the table of fixed counts, and what the governor did.
pub fn render(description: &Description, outcome: &Outcome) -> String {
    let mut table = Table::new();
    let rate = format!("{}/s", description.unit);
    table
        .load_preset(presets::UTF8_BORDERS_ONLY)
        .set_header(["threads", "time", "speedup", &rate, "CPU time"]);
    let one = outcome.fixed[0];
    let mut row = |name: String, run: Run| {
        let seconds = run.wall_ns as f64 / 1e9;
        table.add_row([
            name,
            duration(run.wall_ns),
            format!("{:.2}x", one.wall_ns as f64 / run.wall_ns as f64),
            format!("{:.4}", description.job.work / seconds),
            duration(run.cpu_ns),
        ]);
    };
    for &run in &outcome.fixed {
        row(run.threads.to_string(), run);
    }
    row("governor".into(), outcome.governed);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let (best, governed) = (outcome.best(), outcome.governed);
    let mut lines = vec![
        format!(
            "{}: {} CPUs, {} {}",
            description.name,
            description.cpus(),
            description.job.work,
            description.unit
        ),
        table.to_string(),
        format!(
            "governor: {} threads at the end; {:.2} of the time and {:.2} of the CPU time of {} fixed threads",
            governed.threads,
            governed.wall_ns as f64 / best.wall_ns as f64,
            governed.cpu_ns as f64 / best.cpu_ns as f64,
            best.threads
        ),
    ];
    lines.extend(outcome.steps.iter().map(|step| {
        format!("  after {}: {} -> {} threads", duration(step.at_ns), step.threads, step.next_threads)
    }));
    lines.join("\n")
}
