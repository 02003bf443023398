//! What is needed, what is there, and how the rest would come.
//!
//! Consent: nothing is installed behind anyone's back. At a terminal root is asked; `--yes`, `CI`, or root without a
//! terminal count as a yes; everyone else gets the exact command to type. Either everything that is missing
//! can be installed in one step, or nothing is touched.

mod needs;
mod packages;
mod table;

pub use needs::{Examination, Need, State, What, examine};
pub use table::render;

use crate::failure::Failure;
use crate::system::System;
use packages::{Plan, plan};
use std::path::Path;

/// How the user stands to having things installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Said on the command line.
    Given,
    /// Not said: the rule decides.
    ByRule,
}

/// Looks for what is `wanted`, and installs what is missing of it if that is allowed.
///
/// In what is returned nothing of `wanted` is missing.
///
/// # Errors
///
/// When something is missing and may not, or cannot, be installed: the message says what, and the command
/// that would bring it.
pub fn provide(
    system: &impl System,
    qemu: Option<&Path>,
    consent: Consent,
    wanted: &[What],
) -> Result<Examination, Failure> {
    let examination = examine(system, qemu)?;
    let missing = examination.missing(wanted);
    if missing.is_empty() {
        return Ok(examination);
    }
    let may_install = system.is_root()
        && match consent {
            Consent::Given => true,
            Consent::ByRule => {
                system.var("CI").is_some() || !system.is_interactive() || ask(system, &missing)
            }
        };
    // Only now, as it may refresh the system's package lists.
    let plan = plan(system, &missing, examination.toolchain.as_ref(), may_install);
    match (&plan, may_install) {
        (Plan::Packages { .. }, true) => install(system, qemu, &plan, &missing),
        _ => Err(Failure::usage(explain(&missing, &plan))),
    }
}

fn ask(system: &impl System, missing: &[What]) -> bool {
    let names: Vec<_> = missing.iter().map(|what| what.describe()).collect();
    system.ask(&format!("missing: {}; install it from the system's packages?", names.join("; ")))
}

/// What is missing, and the command that would bring it.
fn explain(missing: &[What], plan: &Plan) -> String {
    let names: Vec<_> = missing.iter().map(|what| what.describe()).collect();
    format!("missing: {}; what brings it:\n{}", names.join("; "), plan.indented_commands())
}

fn install(
    system: &impl System,
    qemu: Option<&Path>,
    plan: &Plan,
    missing: &[What],
) -> Result<Examination, Failure> {
    packages::install(system, plan)
        .map_err(|reason| Failure::usage(format!("{reason}; {}", explain(missing, plan))))?;
    let examination = examine(system, qemu)?;
    let still_missing = examination.missing(missing);
    match still_missing.is_empty() {
        true => Ok(examination),
        false => {
            let explanation = explain(&still_missing, plan);
            Err(Failure::usage(format!("the packages are installed, yet {explanation}")))
        }
    }
}

#[cfg(test)]
mod tests;
