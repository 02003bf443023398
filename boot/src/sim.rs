//! Simulates jobs on a described machine: how long they take by threads, and what the governor does.
//!
//! The machine is virtual, and so is its time: a description of a few lines answers in seconds how many threads a job
//! on a machine of 512 CPUs should have.

mod description;
mod outcome;
mod plot;
mod table;

use crate::failure::Failure;
use description::Description;
use outcome::Outcome;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// What the command prints, and the plot that it wrote.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// Table and the governor's decisions.
    pub text: String,
    /// Path of the plot.
    pub plot: PathBuf,
}

/// Simulates the machine that `file` describes and writes the plot to `plot`.
///
/// # Errors
///
/// When the description is wrong, which is a usage error of one line, the plot cannot be written, or `interrupt` is set.
pub fn simulate(file: &Path, plot: &Path, interrupt: &AtomicBool) -> Result<Simulated, Failure> {
    let description = Description::read(file)?;
    let outcome = Outcome::of(&description, interrupt).ok_or_else(|| Failure::failed("interrupted"))?;
    let svg = plot::draw(&description, &outcome)
        .map_err(|error| Failure::failed(format!("cannot plot the simulation: {error}")))?;
    let parent = plot.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(plot, svg))
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", plot.display())))?;
    Ok(Simulated { text: table::render(&description, &outcome), plot: plot.to_path_buf() })
}

#[cfg(test)]
mod tests;
