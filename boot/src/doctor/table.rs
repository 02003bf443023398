//! The examination as a table.

use super::needs::{Examination, State};
use super::packages::plan;
use super::what::What;
use crate::system::System;
use comfy_table::{ContentArrangement, Table, presets};

/// Renders the prerequisites as a table, and below it the commands that install the missing ones.
pub fn render(system: &impl System, examination: &Examination) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["needed", "state", "path, or why others do not fit"]);
    let toolchain = examination.toolchain.as_ref();
    for need in &examination.needs {
        let (state, detail) = match &need.state {
            State::Found(place) => ("found", place.clone()),
            State::Missing(_) if !What::REQUIRED.contains(&need.what) => {
                ("optional", format!("not found; {}", plan(system, &[need.what], toolchain, false).source()))
            }
            State::Missing(reasons) => ("missing", reasons.join("\n")),
        };
        table.add_row([need.what.describe(), state, &detail]);
    }
    let commands = |missing: &[What]| plan(system, missing, toolchain, false).indented_commands();
    let all_missing = examination.missing(&What::ALL);
    let (missing, optional): (Vec<_>, Vec<_>) =
        all_missing.into_iter().partition(|what| What::REQUIRED.contains(what));
    let mut text = table.to_string();
    if !optional.is_empty() {
        text += &format!(
            "\nto install what is optional, run `cargo run -- doctor --install --optional` as root, or:\n{}",
            commands(&optional)
        );
    }
    match missing.is_empty() {
        true => text += "\nnothing is missing",
        false => {
            text += &format!(
                "\nto install what is missing, run `cargo run -- doctor --install` as root, or:\n{}",
                commands(&missing)
            );
        }
    }
    text
}
