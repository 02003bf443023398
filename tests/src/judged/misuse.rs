//! Locks, threads and memory used as they must not be: a debug build says so at once, by the invariant that was broken and
//! with the places that matter, whether any harm was done this time or not.

use super::scenario::{ensure, ensure_warning};
use crate::lab::{Lab, expect_verdict};
use crate::shape::{DEBUG_SMP2, SMP2};
use libtest_mimic::{Failed, Trial};
use protocol::exit::Verdict;
use protocol::record::Record;

/// A kind of misuse, by its name in `fault.misuse`, and what the panic's message has to hold.
struct Case {
    name: &'static str,
    message: &'static [&'static str],
    /// More of the kernel's command line.
    parameters: &'static str,
}

const fn case(name: &'static str, message: &'static [&'static str]) -> Case {
    Case { name, message, parameters: "" }
}

impl Case {
    const fn with(self, parameters: &'static str) -> Self {
        Self { parameters, ..self }
    }
}

/// Where no worker can be made, the pools' manager is at the item.
const OF_MANAGER: [Case; 2] = [
    case("wait-own-item", &["invariant 27", "pools waits for the work item that it is running"])
        .with("fault.worker_spawn=1"),
    case("flush-own-pool", &["invariant 27", "pools is running an item of pool any"])
        .with("fault.worker_spawn=1"),
];

/// Where the misuse is.
const PLACE: &str = "kernel/src/tests/misuse.rs:";

const CASES: [Case; 19] = [
    case("lock-order", &["invariant 9", "lock order", PLACE, "seen before", PLACE]),
    case(
        "lock-rank",
        &[
            "invariant 9",
            "page cache is taken at",
            PLACE,
            "zone is held",
            "documented order is page cache before zone",
        ],
    ),
    case("lock-twice", &["invariant 9", "is taken at", PLACE, "by its holder, which took it at", PLACE]),
    case("unlock-elsewhere", &["invariant 24", "is released on cpu", "but was taken on cpu"]),
    // Whichever comes first: the next interrupt, or the lock's end.
    case("interrupts-on", &["invariant 7", "interrupt", "holds lock made at", "taken at", PLACE]),
    case("block-locked", &["invariant 19", "a thread blocks while", "taken at", PLACE]),
    case("yield-locked", &["invariant 25", "a thread yields while", "taken at", PLACE]),
    case("block-uninterruptible", &["invariant 19", "a thread blocks with interrupts off"]),
    case("job-locked", &["invariant 19", "a job is run while", "taken at", PLACE]),
    case("mutex-order", &["invariant 9", "lock order", PLACE, "seen before", PLACE]),
    case("mutex-twice", &["invariant 9", "is taken at", PLACE, "by its holder, which took it at", PLACE]),
    case("mutex-stranger", &["invariant 24", "misuse/stranger releases", "does not hold"]),
    case("mutex-of-caller", &["invariant 26", "is wanted at", PLACE, "by helper", "whose caller holds"]),
    case("join-self", &["invariant 27", "misuse/self-joiner joins itself"]),
    case("wait-own-item", &["invariant 27", "waits for the work item that it is running"]),
    case("flush-own-pool", &["invariant 27", "is running an item of pool any, and waits for all of them"]),
    case(
        "write-after-free",
        &["invariant 12", "was written to after it was freed", "offset 0x123", "1 words"],
    ),
    case(
        "write-clean-page",
        &["invariant 12", "was written to while it waited in the pool of pre-zeroed pages"],
    ),
    // Nobody else takes pages: they could be those.
    case("free-twice", &["freeing 2^3 pages at", "is free, should be allocated"]).with("zero.pool_pages=0"),
];

/// The trials, one for each kind of misuse.
pub(super) fn trials(lab: &Lab) -> Vec<Trial> {
    let trial = |case: &'static Case| {
        let lab = lab.clone();
        Trial::test(format!("debug_misuse::{}::is_told", case.name), move || judge(&lab, case))
    };
    let mut trials: Vec<_> = CASES.iter().map(trial).collect();
    let lab = lab.clone();
    let of_manager = {
        let lab = lab.clone();
        move || OF_MANAGER.iter().try_for_each(|case| judge(&lab, case))
    };
    trials.push(Trial::test("debug_misuse::items_of_the_manager::are_told", of_manager));
    trials.push(Trial::test("misuse::release::looks_for_none_and_says_so", move || in_release(&lab)));
    trials
}

fn judge(lab: &Lab, case: &Case) -> Result<(), Failed> {
    let evidence =
        lab.boot(&DEBUG_SMP2, &format!("run=none fault.misuse={} {}", case.name, case.parameters))?;
    expect_verdict(&evidence, Verdict::Panic)?;
    let messages = evidence.records().iter().filter_map(|record| match record {
        Record::Panic { message, .. } => Some(message.as_str()),
        _ => None,
    });
    let messages: Vec<_> = messages.collect();
    let [message] = messages[..] else {
        return Err(evidence.fail(format_args!("{} panics, not 1", messages.len())));
    };
    let mut rest = message;
    for part in case.message {
        let Some((_, after)) = rest.split_once(part) else {
            return Err(evidence.fail(format_args!("the message lacks '{part}', or out of order: {message}")));
        };
        rest = after;
    }
    // By the panic's place, or by the backtrace, in which a call at a function's end has left no trace.
    let traced = evidence.report.trouble.iter().any(|line| line.contains(" at kernel/src/tests/"));
    ensure(&evidence, traced, "the backtrace does not name the misuse")
}

/// A lock order that is wrong and does no harm costs a release build nothing, not even a look.
fn in_release(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP2, "run=none fault.misuse=lock-order")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_warning(&evidence, &["fault.misuse=lock-order", "kernel-debug"])
}
