//! The examination as a table.

use super::needs::{Examination, State, What};
use super::packages::plan;
use crate::system::System;
use comfy_table::{ContentArrangement, Table, presets};

/// Renders the prerequisites as a table, and below it the command that installs the missing ones.
pub fn render(system: &impl System, examination: &Examination) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["needed", "state", "path, or why others do not fit"]);
    for need in &examination.needs {
        let (state, detail) = match &need.state {
            State::Found(place) => ("found", place.clone()),
            State::Missing(_) if need.what == What::Clippy => ("optional", "not found".to_string()),
            State::Missing(reasons) => ("missing", reasons.join("\n")),
        };
        table.add_row([need.what.describe(), state, &detail]);
    }
    let missing = examination.missing(&What::ALL);
    if missing.is_empty() {
        return format!("{table}\nnothing is missing");
    }
    let commands = plan(system, &missing, examination.toolchain.as_ref(), false).indented_commands();
    format!(
        "{table}\nto install what is missing, run `cargo run -- doctor --install` as root, or:\n{}",
        commands
    )
}
