//! Waiting until no ended thread is left.

use super::mutex::Mutex;
use super::park::park;
use super::reap::{reap, set_waiter};
use super::{table, thread};

/// Waits until every ended thread has left its stack and is freed.
pub fn reap_all_exited() {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock();
    // Before the dead threads and the count are looked at: a CPU that changes them after that wakes this thread.
    set_waiter(Some(thread::current_arc()));
    loop {
        reap();
        if table::ended_count() == 0 {
            break;
        }
        park(None);
    }
    set_waiter(None);
}
