//! The framework of in-kernel tests. Tests register in a section of the image; `run=test[:PATTERN]` runs them and
//! prints KTAP.
//!
//! Each test's full name is also in the section `.ktest.names`, with what the test needs, so the host lists tests from the
//! ELF file without booting, for the machines that can run them.

use alloc::string::String;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use params::registry::FAULT_TEST;
use protocol::ktap::{Line, Outcome};
use protocol::ktest::{Need, matches};

use super::{chaos, facts, trace};
use crate::arch::tsc;
use crate::console::print_line;

/// Why a test did not pass.
pub enum Stopped {
    /// It failed, with this message.
    Failed(String),
    /// This machine cannot run it, for this reason.
    Skipped(String),
}

/// The result of a test.
pub type TestResult = Result<(), Stopped>;

/// One test, an element of the section `.ktest`.
#[repr(C)]
pub struct KernelTest {
    /// `suite::test`.
    pub name: &'static str,
    /// The name and the needs, as the host lists them.
    pub listed: &'static str,
    /// What the machine and the build must have; else the test is skipped.
    pub needs: &'static [Need],
    /// The test function.
    pub run: fn() -> TestResult,
}

/// Registers tests. Each is a function without arguments that returns [`TestResult`]; its name is `suite::test`, with
/// the suite given first. Behind the arguments may be what it needs: `needs(Cpus(2), CountedTime)`, see [`Need`].
#[macro_export]
macro_rules! kernel_tests {
    ($suite:literal: $($(#[$meta:meta])* fn $name:ident()
        $(needs($($need:ident $(($count:literal))?),+))? $body:block)*) => {
        $(
            $(#[$meta])*
            fn $name() -> $crate::debug::ktest::TestResult {
                $body
                Ok(())
            }
            $crate::register_test! {
                concat!($suite, "::", stringify!($name)),
                [$($($need $(($count))?),+)?],
                $name
            }
        )*
    };
}

/// Registers the function `run` as the test `name`, an expression of literals, with what it needs.
#[macro_export]
macro_rules! register_test {
    ($name:expr, [$($need:ident $(($count:literal))?),*], $run:expr) => {
        const _: () = {
            const NAME: &str = $name;
            const LISTED: &str =
                concat!($name $(, " ", stringify!($need) $(, "(", $count, ")")?)*);
            #[used]
            #[unsafe(link_section = ".ktest")]
            static TEST: $crate::debug::ktest::KernelTest =
                $crate::debug::ktest::KernelTest {
                    name: NAME,
                    listed: LISTED,
                    needs: &[$(::protocol::ktest::Need::$need $(($count))?),*],
                    run: $run,
                };
            #[used]
            #[unsafe(link_section = ".ktest.names")]
            static LISTED_BYTES: [u8; LISTED.len() + 1] = {
                let mut bytes = [0; LISTED.len() + 1];
                let mut at = 0;
                while at < LISTED.len() {
                    bytes[at] = LISTED.as_bytes()[at];
                    at += 1;
                }
                bytes
            };
        };
    };
}

/// Fails the test with a message unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr $(,)?) => {
        $crate::check!($condition, "{}", stringify!($condition))
    };
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::debug::ktest::Stopped::Failed(alloc::format!($($message)+)));
        }
    };
}

/// Skips the test, for the reason `why`, if the condition holds.
#[macro_export]
macro_rules! skip_if {
    ($condition:expr, $why:literal) => {
        if $condition {
            return Err($crate::debug::ktest::Stopped::Skipped($why.into()));
        }
    };
}

unsafe extern "C" {
    static __ktest_start: u8;
    static __ktest_end: u8;
}

fn all() -> &'static [KernelTest] {
    let start = (&raw const __ktest_start).cast::<KernelTest>();
    let end = (&raw const __ktest_end).cast::<KernelTest>();
    // SAFETY: the linker script places all `KernelTest`s, aligned, and nothing else between the symbols (invariant 8).
    unsafe { core::slice::from_raw_parts(start, end.offset_from(start) as usize) }
}

/// Returns the names of all tests.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().iter().map(|test| test.name)
}

/// Number of the running test in this run, from 1; 0: none. For the panic handler.
static CURRENT: AtomicUsize = AtomicUsize::new(0);
/// Index of the running test in [`all`].
static CURRENT_INDEX: AtomicUsize = AtomicUsize::new(0);

/// Runs the tests that match `pattern`; returns false if a test failed, or if none matches. Under chaos they may run in several
/// rounds, each with the next seed; a round with a failure is the last.
pub fn run(pattern: &str) -> bool {
    let count = chosen(pattern).count();
    let rounds = chaos::rounds();
    print_line(format_args!("{}", Line::Version));
    print_line(format_args!("{}", Line::Plan(count as u32 * rounds as u32)));
    let (mut ran, mut failed) = (0, 0);
    for round in 0..rounds {
        chaos::begin_round(round);
        failed += run_round(pattern, ran);
        ran += count;
        if failed > 0 {
            break;
        }
    }
    log::info!("{} of {ran} tests did not fail", ran - failed);
    failed == 0 && ran > 0
}

fn chosen(pattern: &str) -> impl Iterator<Item = (usize, &'static KernelTest)> {
    all().iter().enumerate().filter(move |(_, test)| matches(pattern, test.listed))
}

/// Runs the tests that match `pattern`, after `ran` others; returns the number of failures.
fn run_round(pattern: &str, ran: usize) -> usize {
    let mut failed = 0;
    for (position, (index, test)) in chosen(pattern).enumerate() {
        let number = ran + position + 1;
        print_line(format_args!("{}", Line::Start(test.name)));
        CURRENT_INDEX.store(index, SeqCst);
        CURRENT.store(number, SeqCst);
        let start_ns = tsc::now_ns();
        let result = if FAULT_TEST.get() == Some(number as u64) {
            Err(Stopped::Failed("fault.test asked for this".into()))
        } else {
            run_where_possible(test)
        };
        let time_ns = tsc::since_ns(start_ns);
        CURRENT.store(0, SeqCst);
        let outcome = match &result {
            Ok(()) => Outcome::Passed,
            Err(Stopped::Skipped(why)) => Outcome::Skipped(why),
            Err(Stopped::Failed(message)) => {
                failed += 1;
                print_line(format_args!("{}", Line::Diagnostic(message)));
                explain_failure();
                Outcome::Failed
            }
        };
        report(number, test.name, outcome, Some(time_ns));
    }
    failed
}

/// Prints the seed of chaos and the last events of each CPU, as far as there are any.
fn explain_failure() {
    let print = |text: fmt::Arguments<'_>| {
        print_line(format_args!("{}", Line::Diagnostic(&alloc::format!("{text}"))));
    };
    chaos::describe_seed(print);
    trace::print_last_events_live(print);
}

/// Runs `test`, or skips it for the first of its needs that is not met now.
fn run_where_possible(test: &KernelTest) -> TestResult {
    if !test.needs.is_empty() {
        let facts = facts::now();
        if let Some(unmet) = test.needs.iter().find(|need| !facts.meet(**need)) {
            return Err(Stopped::Skipped(alloc::format!("{unmet}")));
        }
    }
    (test.run)()
}

fn report(number: usize, name: &str, outcome: Outcome<'_>, time_ns: Option<u64>) {
    print_line(format_args!("{}", Line::Result { number: number as u32, name, outcome, time_ns }));
}

/// Reports the running test, if there is one, as failed by a panic. The machine ends after this.
pub fn fail_current_test(message: &str) {
    let number = CURRENT.swap(0, SeqCst);
    if number > 0 {
        print_line(format_args!("{}", Line::Diagnostic(message)));
        report(number, all()[CURRENT_INDEX.load(SeqCst)].name, Outcome::Failed, None);
    }
}
