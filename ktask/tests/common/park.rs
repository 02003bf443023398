//! Parking of std threads, for the platforms of several test files.

use std::thread;
use std::time::Duration;

/// Parks the calling thread at `now_ns`, until `deadline_ns` at most.
pub fn park(now_ns: u64, deadline_ns: Option<u64>) {
    match deadline_ns {
        None => thread::park(),
        Some(at_ns) => thread::park_timeout(Duration::from_nanos(at_ns.saturating_sub(now_ns))),
    }
}
