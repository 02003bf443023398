//! Two threads that run at the same time: the caller and a helper.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::patience::{PATIENCE_NS, wait_at_most};
use crate::{Items, Job, Platform};

/// How an attempt to have two threads ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// Both ran their parts.
    Both,
    /// The platform has no helper, or none to spare. Neither part was run.
    Refused,
    /// A helper was accepted and did not begin.
    Missed,
}

/// Jobs that may be refused a helper before the platform counts as one without helpers.
const PROBES: u32 = 100;

/// Runs `caller` on the calling thread and `helper` on a helper, at the same time.
pub(super) fn on_two_threads<P: Platform>(
    platform: &P,
    caller: impl Fn() + Sync,
    helper: impl Fn() + Sync,
) -> Meeting {
    if !has_helper(platform) {
        return Meeting::Refused;
    }
    // A refusal shows only when the job has ended. So the first attempts, whose helper may be refused
    // because the last one is still on its way back, wait briefly.
    let mut meeting = Meeting::Refused;
    for patience_ns in [PATIENCE_NS / 100, PATIENCE_NS / 10, PATIENCE_NS] {
        meeting = attempt(platform, &caller, &helper, patience_ns);
        if meeting == Meeting::Both {
            break;
        }
    }
    meeting
}

/// Returns whether the platform accepts a helper.
fn has_helper<P: Platform>(platform: &P) -> bool {
    let job = Job::new(Items::new(0)..Items::new(2)).threads_exact(2);
    (0..PROBES).any(|_| {
        let run = job.run(platform, |_| Ok::<(), ()>(()));
        run.is_ok_and(|stats| stats.threads_allowed == 2 && stats.helpers_lost == 0)
    })
}

fn attempt<P: Platform>(
    platform: &P,
    caller: &(impl Fn() + Sync),
    helper: &(impl Fn() + Sync),
    patience_ns: u64,
) -> Meeting {
    let (caller_began, helper_began) = (AtomicBool::new(false), AtomicBool::new(false));
    let gave_up = AtomicBool::new(false);
    let both_began = || caller_began.load(SeqCst) && helper_began.load(SeqCst);
    let job = Job::new(Items::new(0)..Items::new(2)).threads_exact(2);
    let run = job.run(platform, |chunk| {
        let (own, part): (&AtomicBool, &(dyn Fn() + Sync)) =
            if chunk.worker() == 0 { (&caller_began, caller) } else { (&helper_began, helper) };
        // A worker that gets both chunks waits once.
        if gave_up.load(SeqCst) || own.swap(true, SeqCst) {
            return Ok::<(), ()>(());
        }
        if wait_at_most(platform, patience_ns, both_began) {
            part();
        } else {
            gave_up.store(true, SeqCst);
        }
        Ok(())
    });
    let refused = run.is_ok_and(|stats| stats.threads_allowed < 2 || stats.helpers_lost > 0);
    match (gave_up.into_inner() || !both_began(), refused) {
        (false, _) => Meeting::Both,
        (true, true) => Meeting::Refused,
        (true, false) => Meeting::Missed,
    }
}
