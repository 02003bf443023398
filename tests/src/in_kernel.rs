//! In-kernel tests, on the shapes of machine in QEMU and in Bochs that can run them and tell something new.
//!
//! Names and needs come from the kernel's file in the profile of the machine, so listing boots nothing. A machine has the tests
//! of its suites whose needs it meets. It is booted once, for its first selected test, and runs all of its selected tests.

use crate::bochs;
use crate::lab::{Evidence, Lab, expect_new_timers, expect_verdict};
use crate::shape;
use ktask_boot::kernel::Profile;
use ktask_boot::symbols::KernelTest;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use protocol::exit::Verdict;
use protocol::ktap::Results;
use protocol::ktest::{Facts, Need};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Longest value of the kernel's parameter `run`.
const RUN_MAX_BYTES: usize = 120;

/// Suites that run in Bochs. The others exercise the same instructions, or take minutes there.
const BOCHS_SUITES: &str = "arch::,mm::,sched::,ktask::,jobs::";

/// Boots the kernel with a command line.
type Boot = Box<dyn Fn(&str) -> Result<Evidence, Failed> + Send + Sync>;

/// Says why the machine is missing, if it is.
type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A machine that boots the kernel.
struct Machine {
    check: Check,
    boot: Boot,
}

/// One boot for all selected tests of a machine.
struct Group {
    machine: Machine,
    /// Value of the kernel's parameter `run`.
    run_value: String,
    outcome: OnceLock<Result<(Evidence, Results), Failed>>,
    /// Whether the evidence of a kernel that stopped was printed.
    is_printed: AtomicBool,
}

/// Returns the trials of all machines.
pub fn trials(lab: &Lab, arguments: &Arguments) -> Vec<Trial> {
    let on_qemu = |lab: &Result<Lab, String>, shape: &shape::Shape| {
        let (lab, shape) = (lab.clone(), *shape);
        let is_there = lab.as_ref().map(drop).map_err(Clone::clone);
        Machine {
            check: Box::new(move || is_there.clone()),
            boot: Box::new(move |command_line| lab.as_ref()?.boot(&shape, command_line)),
        }
    };
    let first = Ok(lab.clone());
    let second = lab.on_second_qemu();
    let on_bochs = |model: bochs::Model| {
        let (lab, other) = (lab.clone(), lab.clone());
        Machine {
            check: Box::new(move || other.bochs().map(drop)),
            boot: Box::new(move |command_line| {
                let evidence = lab.boot_bochs(&model, command_line)?;
                expect_new_timers(&evidence)?;
                Ok(evidence)
            }),
        }
    };
    let of_shape = |shape: &shape::Shape| Choice {
        scenario: shape.name,
        suites: shape.suites,
        facts: shape.facts(),
        profile: shape.profile,
    };
    let on_first = shape::ALL.iter().map(|shape| (of_shape(shape), on_qemu(&first, shape)));
    let on_second = shape::SECOND.iter().map(|shape| (of_shape(shape), on_qemu(&second, shape)));
    let in_bochs = [bochs::SMP2, bochs::SMP4].map(|model| {
        let choice = Choice {
            scenario: model.name,
            suites: BOCHS_SUITES,
            facts: model.facts(),
            profile: Profile::Kernel,
        };
        (choice, on_bochs(model))
    });
    let machines: Vec<_> = on_first.chain(on_second).chain(in_bochs).collect();
    let choices: Vec<_> = machines.iter().map(|(choice, _)| *choice).collect();
    let tests = match Listed::read(lab, &choices, arguments) {
        Ok(tests) => tests,
        Err(message) => return vec![Trial::test("kernel::has_tests", || Err(message.into()))],
    };
    let homeless = without_machine(&tests, &choices);
    let misnamed = named_like_machines(&tests, &choices);
    let mut trials: Vec<_> = machines
        .into_iter()
        .flat_map(|(choice, machine)| machine_trials(choice, machine, &tests, arguments))
        .collect();
    let none = |what: &'static str, names: Vec<String>| {
        move || if names.is_empty() { Ok(()) } else { Err(format!("{what} {}", names.join(", ")).into()) }
    };
    let has_machine = none("no machine meets the needs of", homeless);
    trials.push(Trial::test("kernel::every_test_has_a_machine", has_machine));
    trials.push(Trial::test(
        "kernel::no_test_is_named_like_a_machine",
        none("named like a machine:", misnamed),
    ));
    trials
}

/// The tests of the kernel, as its files in both profiles list them.
struct Listed {
    release: Vec<KernelTest>,
    /// Those of the debug kernel, which has more.
    debug: Vec<KernelTest>,
}

impl Listed {
    /// Reads the lists. The debug kernel is not built for a filter that selects no machine with one: the release kernel's list
    /// stands for its list then.
    fn read(lab: &Lab, choices: &[Choice], arguments: &Arguments) -> Result<Self, String> {
        let read = |profile| match lab.tests(profile) {
            // A kernel without tests must not appear to pass all of them.
            Ok(tests) if tests.is_empty() => Err(format!("{profile:?} has no tests")),
            tests => tests,
        };
        let release = read(Profile::Kernel)?;
        let debug = match selects_debug(choices, arguments.filter.as_deref()) {
            true => read(Profile::KernelDebug)?,
            false => release.clone(),
        };
        Ok(Self { release, debug })
    }

    fn of(&self, profile: Profile) -> &[KernelTest] {
        match profile {
            Profile::Kernel => &self.release,
            Profile::KernelDebug => &self.debug,
        }
    }
}

/// Returns whether `filter` may select a test of a machine with a debug kernel. Only a filter that begins with the whole name of
/// another machine does not: no test has such a name in its own.
fn selects_debug(choices: &[Choice], filter: Option<&str>) -> bool {
    let Some((first, _)) = filter.and_then(|filter| filter.split_once("::")) else { return true };
    let mut debug = choices.iter().filter(|choice| choice.profile == Profile::KernelDebug);
    !choices.iter().any(|choice| choice.scenario == first)
        || debug.any(|choice| choice.scenario.ends_with(first))
}

/// Returns the tests that a filter with the name of a machine would select on all machines.
fn named_like_machines(tests: &Listed, choices: &[Choice]) -> Vec<String> {
    let is_misnamed = |test: &&KernelTest| {
        choices.iter().any(|choice| test.name.contains(&format!("{}::", choice.scenario)))
    };
    tests.debug.iter().chain(&tests.release).filter(is_misnamed).map(|test| test.name.clone()).collect()
}

/// Which tests a machine has.
#[derive(Clone, Copy)]
struct Choice {
    /// The scenario's name in test names.
    scenario: &'static str,
    /// A pattern of the kernel's parameter `run`.
    suites: &'static str,
    facts: Facts,
    profile: Profile,
}

impl Choice {
    fn has(&self, test: &KernelTest) -> bool {
        protocol::ktest::matches(self.suites, &test.listed)
            && test.needs.iter().all(|need| self.facts.meet(*need))
    }
}

/// Returns the tests that no machine has. Those of the screen are of scenarios with a picture.
fn without_machine(tests: &Listed, choices: &[Choice]) -> Vec<String> {
    let is_at_home = |choice: &Choice, test: &KernelTest| {
        choice.has(test) && tests.of(choice.profile).iter().any(|listed| listed.name == test.name)
    };
    let is_homeless = |test: &&KernelTest| {
        !test.needs.contains(&Need::Screen) && !choices.iter().any(|choice| is_at_home(choice, test))
    };
    let mut names: Vec<_> =
        tests.release.iter().chain(&tests.debug).filter(is_homeless).map(|test| test.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

fn machine_trials(choice: Choice, machine: Machine, tests: &Listed, arguments: &Arguments) -> Vec<Trial> {
    let tests = tests.of(choice.profile);
    let full_name = |name: &str| format!("{}::{name}", choice.scenario);
    let names: Vec<_> = tests.iter().filter(|test| choice.has(test)).map(|test| &test.name).collect();
    let is_selected = |name: &&&String| !arguments.is_filtered_out(&Trial::test(full_name(name), || Ok(())));
    let selected: Vec<_> = names.iter().filter(is_selected).map(|name| name.as_str()).collect();
    let all = match choice.suites {
        "" => "test".to_string(),
        pattern => format!("test:{pattern}"),
    };
    let group = Arc::new(Group {
        machine,
        run_value: run_value(&selected, names.len(), all),
        outcome: OnceLock::new(),
        is_printed: AtomicBool::new(false),
    });
    let trial = |name: &&String| {
        let (group, test) = (Arc::clone(&group), (*name).clone());
        Trial::ignorable_test(full_name(name), move || group.result(&test))
    };
    let mut trials: Vec<_> = names.iter().map(trial).collect();
    let ending = full_name("harness::ending_agrees_with_results");
    trials.push(Trial::ignorable_test(ending, move || group.ending()));
    trials
}

/// Returns the value of `run`: the names of the selected tests, of `total`. If all are selected, or their names do not fit: `all`.
fn run_value(selected: &[&str], total: usize, all: String) -> String {
    let names: Vec<_> = selected.iter().map(|name| format!("={name}")).collect();
    let value = format!("test:{}", names.join(","));
    match selected.len() < total && !selected.is_empty() && value.len() <= RUN_MAX_BYTES {
        true => value,
        false => all,
    }
}

impl Group {
    /// Returns the result of one test.
    fn result(&self, test: &str) -> Result<Completion, Failed> {
        if let Err(reason) = (self.machine.check)() {
            return Ok(Completion::ignored_with(reason));
        }
        let (evidence, results) = self.outcome()?;
        match judge(results, test) {
            Ok(None) => Ok(Completion::Completed),
            Ok(Some(reason)) => Ok(Completion::ignored_with(reason)),
            Err(Wrong::Failed(what)) => Err(evidence.fail(what)),
            // All tests that did not run have the same evidence: print it once.
            Err(Wrong::NotRun(why)) if self.is_printed.swap(true, Ordering::SeqCst) => Err(why.into()),
            Err(Wrong::NotRun(why)) => Err(evidence.fail(why)),
        }
    }

    /// Checks the run as a whole: all announced results arrived, and the kernel's verdict agrees with them.
    fn ending(&self) -> Result<Completion, Failed> {
        if let Err(reason) = (self.machine.check)() {
            return Ok(Completion::ignored_with(reason));
        }
        let (evidence, results) = self.outcome()?;
        if !results.is_complete() {
            let (arrived, planned) = (results.tests.len(), results.planned);
            return Err(evidence.fail(format_args!("{arrived} results arrived, of {planned:?} announced")));
        }
        let all_passed = results.tests.iter().all(|test| test.passed);
        expect_verdict(evidence, if all_passed { Verdict::Pass } else { Verdict::Fail })?;
        Ok(Completion::Completed)
    }

    /// Returns the run of this machine; boots it on the first call.
    fn outcome(&self) -> Result<&(Evidence, Results), Failed> {
        let outcome = self.outcome.get_or_init(|| self.boot());
        outcome.as_ref().map_err(|failed| failed.message().unwrap_or_default().into())
    }

    fn boot(&self) -> Result<(Evidence, Results), Failed> {
        let evidence = (self.machine.boot)(&format!("run={}", self.run_value))?;
        let mut results = Results::default();
        for line in &evidence.run.log {
            results.line(line);
        }
        Ok((evidence, results))
    }
}

/// A test without success.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    /// It failed, with this message.
    Failed(String),
    /// It has no result, for this reason.
    NotRun(String),
}

/// Returns the result of one test by the results of its run; a skipped test has a reason.
fn judge(results: &Results, test: &str) -> Result<Option<String>, Wrong> {
    match (results.find(test), &results.running, results.tests.last()) {
        (Some(result), _, _) if result.passed => Ok(result.skip_reason.clone()),
        (Some(result), _, _) => Err(Wrong::Failed(result.diagnostics.join("\n"))),
        (None, Some(running), _) if running == test => {
            Err(Wrong::Failed("the kernel stopped in this test".into()))
        }
        (None, Some(running), _) => {
            Err(Wrong::NotRun(format!("not run: the kernel stopped before, in {running}")))
        }
        (None, None, Some(last)) => Err(Wrong::NotRun(format!(
            "not run: the last result before the kernel stopped is of {}",
            last.name
        ))),
        (None, None, None) => Err(Wrong::NotRun("not run: the kernel started no test".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(console: &str) -> Results {
        let mut results = Results::default();
        for line in console.lines() {
            results.line(line);
        }
        results
    }

    #[test]
    fn results_become_trials() {
        let results = results(
            "KTAP version 1\n1..5\nok 1 a::passes\n# left: 1\n# right: 2\nnot ok 2 a::fails\n\
             ok 3 a::skips # SKIP one cpu\n# start: a::stops\n",
        );
        let failed = |what: &str| Err(Wrong::Failed(what.to_string()));
        let not_run = |why: &str| Err(Wrong::NotRun(why.to_string()));
        assert_eq!(judge(&results, "a::passes"), Ok(None));
        assert_eq!(judge(&results, "a::fails"), failed("left: 1\nright: 2"));
        assert_eq!(judge(&results, "a::skips"), Ok(Some("one cpu".to_string())));
        assert_eq!(judge(&results, "a::stops"), failed("the kernel stopped in this test"));
        assert_eq!(judge(&results, "a::later"), not_run("not run: the kernel stopped before, in a::stops"));
    }

    #[test]
    fn machines_have_the_tests_that_they_can_run() {
        let test = |name: &str, needs: &[Need]| {
            let words = needs.iter().map(|need| format!(" {need:?}")).collect::<String>();
            KernelTest { name: name.into(), listed: format!("{name}{words}"), needs: needs.to_vec() }
        };
        let tests = [
            test("a::one", &[]),
            test("a::two", &[Need::Cpus(2)]),
            test("b::counts", &[Need::CountedTime]),
            test("b::draws", &[Need::Screen]),
        ];
        let facts = Facts { cpus: 1, ..Facts::default() };
        let alone = Choice { scenario: "alone", suites: "", facts, profile: Profile::Kernel };
        let facts = Facts { cpus: 2, has_counted_time: true, ..Facts::default() };
        let counted = Choice { scenario: "counted", suites: "CountedTime", facts, ..alone };
        let names = |choice: Choice| -> Vec<_> {
            tests.iter().filter(|test| choice.has(test)).map(|test| test.name.as_str()).collect()
        };
        assert_eq!(names(alone), ["a::one"]);
        assert_eq!(names(counted), ["b::counts"]);
        assert_eq!(names(Choice { suites: "", ..counted }), ["a::one", "a::two", "b::counts"]);
        let only_debug = test("c::in_debug", &[]);
        let listed =
            Listed { release: tests.to_vec(), debug: tests.into_iter().chain([only_debug]).collect() };
        assert_eq!(without_machine(&listed, &[alone, counted]), ["a::two", "c::in_debug"]);
        let debug = Choice { profile: Profile::KernelDebug, ..alone };
        assert_eq!(without_machine(&listed, &[alone, counted, debug]), ["a::two"]);
        let trials = |choice| {
            let machine = Machine {
                check: Box::new(|| Ok(())),
                boot: Box::new(|_| Err("no machine is booted here".into())),
            };
            machine_trials(choice, machine, &listed, &Arguments::default()).len()
        };
        assert_eq!((trials(alone), trials(debug)), (2, 3), "with the one of the harness");
    }

    #[test]
    fn the_debug_kernel_is_built_for_filters_that_may_select_it() {
        let facts = Facts::default();
        let release = Choice { scenario: "smp2", suites: "", facts, profile: Profile::Kernel };
        let other = Choice { scenario: "smp4", ..release };
        let debug = Choice { scenario: "debug_smp4", profile: Profile::KernelDebug, ..release };
        let choices = [release, other, debug];
        for (filter, expected) in [
            (None, true),
            (Some("jobs::"), true),
            (Some("smp2"), true),
            (Some("p2::jobs"), true),
            (Some("smp2::"), false),
            (Some("smp2::jobs::timed"), false),
            // Also a part of the name of the machine with a debug kernel.
            (Some("smp4::jobs"), true),
            (Some("debug_smp4::"), true),
        ] {
            assert_eq!(selects_debug(&choices, filter), expected, "{filter:?}");
        }
        let named = |name: &str| KernelTest { name: name.into(), listed: name.into(), needs: Vec::new() };
        let release = ["a::smp2", "a::smp2::b", "jobs::x"].map(named).to_vec();
        let listed = Listed { release, debug: vec![named("b::debug_smp4::c")] };
        assert_eq!(named_like_machines(&listed, &choices), ["b::debug_smp4::c", "a::smp2::b"]);
    }

    #[test]
    fn test_without_a_result_fails() {
        let not_run = |why: &str| Err(Wrong::NotRun(why.to_string()));
        assert_eq!(judge(&results(""), "a::test"), not_run("not run: the kernel started no test"));
        assert_eq!(
            judge(&results("KTAP version 1\n1..2\nnot ok 1 a::other\n"), "a::test"),
            not_run("not run: the last result before the kernel stopped is of a::other")
        );
    }

    #[test]
    fn kernel_runs_the_selected_tests() {
        let all = || "test".to_string();
        assert_eq!(run_value(&["a::b", "c::d"], 3, all()), "test:=a::b,=c::d");
        assert_eq!(run_value(&["a::b", "c::d"], 2, all()), "test");
        assert_eq!(run_value(&[], 2, all()), "test");
        let long = "x".repeat(RUN_MAX_BYTES);
        assert_eq!(run_value(&[&long], 2, all()), "test");
    }
}
