//! A thousand threads that block and wake each other.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use spin::Once;

use super::support::{Bench, no_thread, online, report};
use super::threads::{Stop, Threads};
use crate::arch::tsc;
use crate::sched::{self, Spawn, Thread};

/// The benchmark of this file.
pub(super) const ALL: &[Bench] = &[("sched:block-wake", block_wake)];

/// Two threads that wake each other alternately.
struct Pair {
    moves: AtomicU64,
    players: [Once<Arc<Thread>>; 2],
}

const PAIRS: usize = 500;
const ROUNDS: u64 = 1000;

/// Measures a thousand threads in pairs, each of which blocks and is woken a thousand times.
fn block_wake() -> Result<(), &'static str> {
    // Stacks are kept for reuse: the second run must allocate nothing beyond the first.
    play(10)?;
    let memory = || (crate::mm::heap::usage().0, crate::mm::stats::free_pages());
    sched::reap_all_exited();
    let before = memory();
    let start_ns = tsc::now_ns();
    let longest = play(ROUNDS)?;
    let ns = tsc::since_ns(start_ns);
    sched::reap_all_exited();
    let after = memory();
    let count = 2 * PAIRS as u64 * ROUNDS;
    report("sched/block-wake/each", (count, "wake-ups"), ns / count, "ns");
    report("sched/block-wake/longest-queue", (count, "wake-ups"), longest, "threads");
    if longest > 2 * PAIRS as u64 + 8 {
        return Err("a run queue was longer than there are threads");
    }
    if after.0 > before.0 || after.1 != before.1 {
        log::error!("heap bytes and free pages were {before:?} and are {after:?}");
        return Err("memory was lost");
    }
    Ok(())
}

/// Runs all pairs for `rounds` rounds. Returns the length of the longest run queue that was seen.
fn play(rounds: u64) -> Result<u64, &'static str> {
    let mut threads = Threads::with_capacity(2 * PAIRS);
    let has_started = Arc::new(AtomicBool::new(false));
    let pairs: Vec<_> = (0..PAIRS)
        .map(|_| Arc::new(Pair { moves: AtomicU64::new(0), players: [Once::new(), Once::new()] }))
        .collect();
    for pair in &pairs {
        for player in 0..2 {
            let (pair, has_started) = (pair.clone(), has_started.clone());
            let plays = move |stop: Stop| {
                pair.players[player].call_once(sched::current_arc);
                let park_until = |condition: &dyn Fn() -> bool| {
                    while !condition() && !stop.is_set() {
                        sched::park(None);
                    }
                    !stop.is_set()
                };
                if !park_until(&|| has_started.load(SeqCst)) {
                    return;
                }
                for round in 0..rounds {
                    let mine = 2 * round + player as u64;
                    if !park_until(&|| pair.moves.load(SeqCst) == mine) {
                        return;
                    }
                    pair.moves.store(mine + 1, SeqCst);
                    if let Some(other) = pair.players[1 - player].get() {
                        sched::unpark(other);
                    }
                }
            };
            threads.start(Spawn::new("bench/player"), plays).map_err(no_thread)?;
        }
    }
    // Every player has stored its thread, so every player can be woken.
    while pairs.iter().any(|pair| pair.players.iter().any(|player| player.get().is_none())) {
        sched::sleep_ns(1_000_000);
    }
    has_started.store(true, SeqCst);
    threads.unpark();
    let mut longest = 0;
    while pairs.iter().any(|pair| pair.moves.load(SeqCst) < 2 * rounds) {
        longest = longest.max(online().into_iter().map(sched::queue_length).max().unwrap_or(0));
        sched::sleep_ns(1_000_000);
    }
    threads.join();
    Ok(u64::from(longest))
}
