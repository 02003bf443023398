//! Prerequisites: finds them, and installs the missing ones.
//!
//! Nothing is installed without consent. Root at a terminal is asked. `--yes`, `CI`, or root without a terminal count as
//! consent. Other users get the exact command to type. Either one step installs everything that is missing, or nothing is
//! changed.

mod needs;
mod packages;
mod table;
mod what;

pub use needs::{Examination, Need, State, browser, examine};
pub use table::render;
pub use what::What;

use crate::failure::Failure;
use crate::system::System;
use packages::{Plan, plan};
use std::path::Path;

/// The user's consent to installing packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Given on the command line.
    Given,
    /// Not given: the rule of this module decides.
    ByRule,
}

/// Finds the `wanted` prerequisites, and installs the missing ones with the user's consent.
///
/// Nothing of `wanted` is missing in the returned examination.
///
/// # Errors
///
/// When a prerequisite is missing and may not, or cannot, be installed: the message names it and the command that installs it.
pub fn provide(
    system: &impl System,
    qemu: Option<&Path>,
    consent: Consent,
    wanted: &[What],
) -> Result<Examination, Failure> {
    let examination = examine(system, qemu, wanted)?;
    let missing = examination.missing(wanted);
    if missing.is_empty() {
        return Ok(examination);
    }
    let may_install = system.is_root() && is_given(system, consent, &question(&missing));
    // Not earlier: it may refresh the system's package lists.
    let plan = plan(system, &missing, examination.toolchain.as_ref(), may_install);
    match (&plan, may_install) {
        (Plan::Packages { .. }, true) => install(system, qemu, &plan, &missing),
        _ => Err(Failure::usage(explain(&missing, &plan))),
    }
}

/// Returns whether the user consents to what `question` asks: on the command line, by `CI`, by the answer at a terminal, or as
/// root without a terminal.
pub fn is_given(system: &impl System, consent: Consent, question: &str) -> bool {
    match consent {
        Consent::Given => true,
        Consent::ByRule if system.var("CI").is_some() => true,
        Consent::ByRule if system.is_interactive() => system.ask(question),
        Consent::ByRule => system.is_root(),
    }
}

fn question(missing: &[What]) -> String {
    let names: Vec<_> = missing.iter().map(|what| what.describe()).collect();
    format!("missing: {}; install it from the system's packages?", names.join("; "))
}

/// Names the missing prerequisites and the command that installs them.
fn explain(missing: &[What], plan: &Plan) -> String {
    let names: Vec<_> = missing.iter().map(|what| what.describe()).collect();
    format!("missing: {}; to install:\n{}", names.join("; "), plan.indented_commands())
}

fn install(
    system: &impl System,
    qemu: Option<&Path>,
    plan: &Plan,
    missing: &[What],
) -> Result<Examination, Failure> {
    packages::install(system, plan)
        .map_err(|reason| Failure::usage(format!("{reason}; {}", explain(missing, plan))))?;
    let examination = examine(system, qemu, missing)?;
    let still_missing = examination.missing(missing);
    match still_missing.is_empty() {
        true => Ok(examination),
        false => {
            let explanation = explain(&still_missing, plan);
            Err(Failure::usage(format!("the packages are installed, but {explanation}")))
        }
    }
}

#[cfg(test)]
mod tests;
