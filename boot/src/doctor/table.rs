//! The examination, for people.

use super::needs::{Examination, State, What};
use super::packages::plan;
use crate::system::System;
use comfy_table::{ContentArrangement, Table, presets};

/// A table of what is needed and what is there, and below it the command that would bring the rest.
pub fn render(system: &impl System, examination: &Examination) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["needed", "state", "where, or what was found instead"]);
    for need in &examination.needs {
        let (state, detail) = match &need.state {
            State::Found(place) => ("found", place.clone()),
            State::Missing(_) if need.what == What::Clippy => ("optional", "not there".to_string()),
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
