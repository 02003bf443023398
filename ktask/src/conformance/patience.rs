//! Waiting for what another thread does, for a limited time.

use crate::Platform;

/// Time after which a check gives up, in nanoseconds of the platform's clock.
pub(super) const PATIENCE_NS: u64 = 10_000_000_000;

/// Time between two looks at what a check waits for.
pub(super) const POLL_NS: u64 = 20_000;

/// Waits until `is_so`, and returns whether it came to that before the check gives up.
pub(super) fn wait_until<P: Platform>(platform: &P, is_so: impl Fn() -> bool) -> bool {
    wait_at_most(platform, PATIENCE_NS, is_so)
}

/// Waits until `is_so` for at most `patience_ns`, and returns whether it came to that.
pub(super) fn wait_at_most<P: Platform>(platform: &P, patience_ns: u64, is_so: impl Fn() -> bool) -> bool {
    let until_ns = platform.now_ns().saturating_add(patience_ns);
    while !is_so() {
        let now_ns = platform.now_ns();
        if now_ns >= until_ns {
            return false;
        }
        platform.park(Some(now_ns + POLL_NS));
    }
    true
}
