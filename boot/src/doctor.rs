//! What is needed, what is there, and how the rest would come.
//!
//! Consent: nothing is installed behind anyone's back. At a terminal root is asked; `--yes`, `CI`, or root without a
//! terminal count as a yes; everyone else gets the exact command to type. Either everything that is missing
//! can be installed in one step, or nothing is touched.

mod packages;
mod table;

pub use table::render;

use crate::failure::Failure;
use crate::qemu::{Program, program};
use crate::system::System;
use crate::toolchain::{self, Toolchain};
use packages::{Plan, plan};
use std::path::Path;

/// One thing that is needed, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Which thing.
    pub what: What,
    /// Whether it is there.
    pub state: State,
}

/// The things that are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The emulator.
    Qemu,
    /// The compiler for the kernel.
    Toolchain,
    /// The linker for the kernel.
    Linker,
    /// The linter of the kernel's compiler; only its own command needs it.
    Clippy,
}

impl What {
    /// All that the main job needs.
    pub const ALL: [Self; 3] = [Self::Qemu, Self::Toolchain, Self::Linker];

    /// What people call it, and what it is for.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU for x86_64, to boot the kernel",
            Self::Toolchain => "Rust 1.96 or later with rust-src, to build the kernel",
            Self::Linker => "GNU ld, to link the kernel",
            Self::Clippy => "clippy of that Rust, for `cargo run -- clippy` alone",
        }
    }
}

/// Whether a thing is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is: where, and which version.
    Found(String),
    /// It is not: what was found in its place, one line each.
    Missing(Vec<String>),
}

/// The machine, looked over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// Every need.
    pub needs: Vec<Need>,
    /// The emulator, if it is there and works.
    pub qemu: Option<Program>,
    /// The compiler, if there is one that will do.
    pub toolchain: Option<Toolchain>,
}

/// Looks the machine over; `qemu` is the emulator that the command line names.
///
/// # Errors
///
/// When the user's own wish for an emulator or a toolchain cannot be followed.
pub fn examine(system: &impl System, qemu: Option<&Path>) -> Result<Examination, Failure> {
    let qemu = program::find(system, qemu)?;
    let qemu_state = match &qemu {
        Ok(found) => State::Found(format!("{} ({})", found.path.display(), found.version)),
        Err(reasons) => State::Missing(reasons.clone()),
    };
    let search = toolchain::search(system)?;
    let toolchain_state = match &search.found {
        Some(found) => State::Found(format!("{} ({})", found.rustc.display(), found.version)),
        None => State::Missing(search.rejected.iter().map(ToString::to_string).collect()),
    };
    let linker_state = match system.find_in_path("ld") {
        Some(path) => State::Found(path.display().to_string()),
        None => State::Missing(Vec::new()),
    };
    let clippy_state = match search.found.as_ref().and_then(|toolchain| toolchain.clippy(system)) {
        Some(path) => State::Found(path.display().to_string()),
        None => State::Missing(Vec::new()),
    };
    let needs = vec![
        Need { what: What::Qemu, state: qemu_state },
        Need { what: What::Toolchain, state: toolchain_state },
        Need { what: What::Linker, state: linker_state },
        Need { what: What::Clippy, state: clippy_state },
    ];
    Ok(Examination { needs, qemu: qemu.ok(), toolchain: search.found })
}

impl Examination {
    /// Those of `wanted` that are missing.
    fn missing(&self, wanted: &[What]) -> Vec<What> {
        let is_missing =
            |need: &&Need| matches!(need.state, State::Missing(_)) && wanted.contains(&need.what);
        self.needs.iter().filter(is_missing).map(|need| need.what).collect()
    }
}

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
    format!("missing: {}; what brings it:\n{}", names.join("; "), indent(&plan.commands()))
}

fn indent(commands: &[String]) -> String {
    let lines: Vec<_> = commands.iter().map(|command| format!("    {command}")).collect();
    lines.join("\n")
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
