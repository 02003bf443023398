//! Misuse of locks, threads and memory. A debug build panics at once, even if the misuse was harmless this time. The message
//! has the number of the broken invariant and the locations.

use super::scenario::{ensure, ensure_warning};
use crate::lab::{Lab, expect_verdict};
use crate::shape::{DEBUG_SMP2, SMP2};
use libtest_mimic::{Failed, Trial};
use protocol::exit::Verdict;
use protocol::record::Record;

/// A kind of misuse: its name in `fault.misuse`, and the parts of the panic's message, in order.
struct Case {
    name: &'static str,
    message: &'static [&'static str],
    /// Additional parameters for the kernel.
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

/// If no worker can be spawned, the pools' manager runs the item.
const OF_MANAGER: [Case; 2] = [
    case("wait-own-item", &["invariant 27", "pools waits for the work item that it is running"])
        .with("fault.worker_spawn=1"),
    case("flush-own-pool", &["invariant 27", "pools is running an item of pool any"])
        .with("fault.worker_spawn=1"),
];

/// Location of the misuse.
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
    // Found by the next interrupt or by the release of the lock, whichever comes first.
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
    // Without the pool, no other allocation can take these pages in between.
    case("free-twice", &["freeing 2^3 pages at", "is free, should be allocated"]).with("zero.pool_pages=0"),
];

/// Returns the trials, one for each kind of misuse.
pub(super) fn trials(lab: &Lab) -> Vec<Trial> {
    let trial = |case: &'static Case| {
        let lab = lab.clone();
        Trial::test(format!("debug_misuse::{}::is_reported", case.name), move || judge(&lab, case))
    };
    let mut trials: Vec<_> = CASES.iter().map(trial).collect();
    let lab = lab.clone();
    let of_manager = {
        let lab = lab.clone();
        move || OF_MANAGER.iter().try_for_each(|case| judge(&lab, case))
    };
    trials.push(Trial::test("debug_misuse::items_of_the_manager::are_reported", of_manager));
    trials.push(Trial::test("misuse::release::is_not_checked_and_says_so", move || in_release(&lab)));
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
            return Err(evidence.fail(format_args!("the message lacks '{part}' at its position: {message}")));
        };
        rest = after;
    }
    // Either in the panic's location or in the backtrace, which lacks tail calls.
    let traced = evidence.report.trouble.iter().any(|line| line.contains(" at kernel/src/tests/"));
    ensure(&evidence, traced, "the backtrace does not name the misuse")
}

/// A release build does not check the lock order at all.
fn in_release(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP2, "run=none fault.misuse=lock-order")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_warning(&evidence, &["fault.misuse=lock-order", "kernel-debug"])
}
