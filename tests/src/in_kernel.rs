//! Every test that the kernel holds, on every shape of machine.
//!
//! The names come from the kernel's file, so that listing boots nothing. A shape is booted once, when its first
//! chosen test is due, and runs all of its chosen tests.

use crate::lab::{Evidence, Lab};
use crate::shape::{self, Shape};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use protocol::ktap::Results;
use std::sync::{Arc, OnceLock};

/// The longest value that the kernel takes for its parameter `run`.
const RUN_MAX_BYTES: usize = 120;

/// One boot for all chosen tests of a shape.
struct Group {
    lab: Lab,
    shape: Shape,
    /// What the kernel's parameter `run` is to be.
    run_value: String,
    outcome: OnceLock<Result<(Evidence, Results), Failed>>,
}

/// The trials of all shapes.
pub fn trials(lab: &Lab, arguments: &Arguments) -> Vec<Trial> {
    let names = match lab.test_names() {
        Ok(names) if !names.is_empty() => names,
        // A kernel without tests must not look like one that passes all of them.
        Ok(_) => return vec![Trial::test("kernel::holds_tests", || Err("the kernel holds no tests".into()))],
        Err(message) => return vec![Trial::test("kernel::holds_tests", || Err(message.into()))],
    };
    shape::ALL.iter().flat_map(|shape| shape_trials(lab, shape, &names, arguments)).collect()
}

fn shape_trials(lab: &Lab, shape: &Shape, names: &[String], arguments: &Arguments) -> Vec<Trial> {
    let full_name = |name: &str| format!("{}::{name}", shape.name);
    let is_chosen = |name: &&String| !arguments.is_filtered_out(&Trial::test(full_name(name), || Ok(())));
    let chosen: Vec<_> = names.iter().filter(is_chosen).map(String::as_str).collect();
    let group = Arc::new(Group {
        lab: lab.clone(),
        shape: *shape,
        run_value: run_value(&chosen, names.len()),
        outcome: OnceLock::new(),
    });
    let trial = |name: &String| {
        let (group, test) = (Arc::clone(&group), name.clone());
        Trial::ignorable_test(full_name(name), move || group.result(&test))
    };
    names.iter().map(trial).collect()
}

/// The kernel's `run`: the chosen tests by name, or all when those are most of them or their names do not fit.
fn run_value(chosen: &[&str], total: usize) -> String {
    let names: Vec<_> = chosen.iter().map(|name| format!("={name}")).collect();
    let value = format!("test:{}", names.join(","));
    match chosen.len() < total && !chosen.is_empty() && value.len() <= RUN_MAX_BYTES {
        true => value,
        false => "test".to_string(),
    }
}

impl Group {
    fn result(&self, test: &str) -> Result<Completion, Failed> {
        let outcome = self.outcome.get_or_init(|| self.boot());
        let (evidence, results) = match outcome {
            Ok(outcome) => outcome,
            Err(failed) => return Err(failed.message().unwrap_or_default().into()),
        };
        match results.find(test) {
            Some(result) => match (&result.skip_reason, result.passed) {
                (Some(reason), _) => Ok(Completion::ignored_with(reason)),
                (None, true) => Ok(Completion::Completed),
                (None, false) => Err(evidence.fail(result.diagnostics.join("\n"))),
            },
            None if results.running.as_deref() == Some(test) => {
                Err(evidence.fail("the kernel stopped in this test"))
            }
            None => Err(evidence.fail(match &results.running {
                Some(running) => format!("not run: the kernel stopped before, in {running}"),
                None => "not run: the kernel stopped before".to_string(),
            })),
        }
    }

    fn boot(&self) -> Result<(Evidence, Results), Failed> {
        let evidence = self.lab.boot(&self.shape, &format!("run={}", self.run_value))?;
        let mut results = Results::default();
        for line in &evidence.run.log {
            results.line(line);
        }
        Ok((evidence, results))
    }
}
