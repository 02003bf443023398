//! Polling of an idle CPU before it halts: how it is woken without an interrupt, and for how long it polls.
//!
//! An interrupt to a halted virtual CPU costs its host a wake-up of a thread: a hundred microseconds. A CPU that polls sees a store
//! within one. The rule of [`PollWindow`] is that of Linux's cpuidle governor `haltpoll`, and two more signs: a host that runs
//! the CPU late shares its core with others, which polling would take time from.

use crate::sync::{AcqRel, Acquire, AtomicU32};

/// The CPU polls: a wake-up needs no interrupt.
const POLLING: u32 = 1;
/// A wake-up came.
const KICKED: u32 = 2;

/// How a CPU is told to look for threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kick {
    /// It polls, and looks again before it halts.
    Seen,
    /// It runs or halts: the caller interrupts it.
    NeedsInterrupt,
}

/// Whether a CPU polls, and whether a wake-up came meanwhile.
///
/// The word holds both, and all parties change it by read-modify-write instructions: a waker either finds the CPU polling and
/// leaves its mark, or finds that the CPU does not poll, and interrupts it. The CPU keeps interrupts off from its last look for
/// threads to [`begin`](Self::begin), and from [`end`](Self::end) to its next look or its halt. So an interrupt that was sent
/// in between is pending then, and ends the polling or the halt.
#[derive(Debug)]
pub struct PollFlag(AtomicU32);

impl PollFlag {
    /// Returns the flag of a CPU that does not poll.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Returns the flag of a CPU that does not poll.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Announces that the calling CPU, whose flag this is, polls from now on.
    pub fn begin(&self) {
        // Forgets an earlier mark: its waker found the CPU not polling, and interrupts it. A read-modify-write, as all changes are,
        // so that the release sequences of the wakers go on through it.
        self.0.swap(POLLING, AcqRel);
    }

    /// Whether a wake-up came since [`begin`](Self::begin).
    pub fn is_kicked(&self) -> bool {
        self.0.load(Acquire) & KICKED != 0
    }

    /// Ends the polling of the calling CPU. Returns whether a wake-up came: then the CPU looks for threads, and sees what all
    /// its wakers did before. If not, later wakers interrupt it.
    pub fn end(&self) -> bool {
        // Acquire pairs with the Release of `kick`. Later marks are part of its release sequence, since each is a
        // read-modify-write: one load reads from all wakers.
        self.0.swap(0, AcqRel) & KICKED != 0
    }

    /// Tells the CPU to look for threads. The caller has queued one, or has done what else the CPU is to see.
    #[must_use = "a CPU that does not poll has to be interrupted"]
    pub fn kick(&self) -> Kick {
        // Release pairs with the Acquire of `end`. Acquire keeps the interrupt behind it.
        let before = self.0.fetch_or(KICKED, AcqRel);
        if before & POLLING != 0 { Kick::Seen } else { Kick::NeedsInterrupt }
    }

    /// Whether the CPU polls.
    pub fn is_polling(&self) -> bool {
        self.0.load(Acquire) & POLLING != 0
    }
}

#[cfg(not(loom))]
impl Default for PollFlag {
    fn default() -> Self {
        Self::new()
    }
}

/// The shortest time for which a CPU polls. An interrupt to a processor without a host costs a tenth of it.
const SHORTEST_NS: u64 = 10_000;
/// A CPU that did not run for this long although it could have is on a busy host: the shortest slice of Linux's scheduler is longer,
/// and the wake-up of a halted CPU takes a fifth.
const BUSY_NS: u64 = 500_000;
/// For how long a CPU of a busy host does not poll. Twice as long each time that the host is busy soon again.
const FIRST_REST_NS: u64 = 10_000_000;
const LONGEST_REST_NS: u64 = 1 << 30;

/// For how long an idle CPU polls.
///
/// The time doubles each time that a thread came soon after the CPU had halted, and halves each time that none came. Where the
/// host is busy, the CPU does not poll for a while: so polling takes a bounded share of a core that others need.
#[derive(Clone, Debug, Default)]
pub struct PollWindow {
    window_ns: u64,
    rests_until_ns: u64,
    rest_ns: u64,
}

/// How an idle period ended: with a thread to run.
#[derive(Clone, Copy, Debug)]
pub struct IdlePeriod {
    /// Time from its beginning until the thread was queued.
    pub idle_ns: u64,
    /// Time from then on until the CPU took the thread.
    pub late_ns: u64,
}

impl PollWindow {
    /// Returns the window of a CPU that has not been idle yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { window_ns: 0, rests_until_ns: 0, rest_ns: 0 }
    }

    /// Returns for how long to poll in an idle period that begins at `now_ns`; at most `most_ns`.
    #[must_use]
    pub fn at(&self, now_ns: u64, most_ns: u64) -> u64 {
        if now_ns < self.rests_until_ns { 0 } else { self.window_ns.min(most_ns) }
    }

    /// Learns from a period that ended at `now_ns`.
    pub fn learn(&mut self, period: IdlePeriod, now_ns: u64, most_ns: u64) {
        let window_ns = self.window_ns.min(most_ns);
        self.window_ns = if period.late_ns >= BUSY_NS {
            return self.rest(now_ns);
        } else if period.idle_ns <= window_ns {
            window_ns
        } else if period.idle_ns <= most_ns {
            (2 * window_ns).clamp(SHORTEST_NS.min(most_ns), most_ns)
        } else if window_ns < 2 * SHORTEST_NS {
            0
        } else {
            window_ns / 2
        };
    }

    /// Learns that a CPU which polled looked at the clock at `last_ns` and then at `now_ns`. Returns whether its host ran others
    /// in between: then it polls no longer.
    pub fn is_interrupted(&mut self, last_ns: u64, now_ns: u64) -> bool {
        let is_late = now_ns.saturating_sub(last_ns) >= BUSY_NS;
        if is_late {
            self.rest(now_ns);
        }
        is_late
    }

    fn rest(&mut self, now_ns: u64) {
        let is_soon = now_ns < self.rests_until_ns.saturating_add(self.rest_ns);
        self.rest_ns = if is_soon { (2 * self.rest_ns).min(LONGEST_REST_NS) } else { FIRST_REST_NS };
        self.rests_until_ns = now_ns.saturating_add(self.rest_ns);
        self.window_ns = 0;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MOST_NS: u64 = 200_000;
    const SOON: IdlePeriod = IdlePeriod { idle_ns: 150_000, late_ns: 0 };
    const SHORT: IdlePeriod = IdlePeriod { idle_ns: 12_000, late_ns: 0 };
    const LONG: IdlePeriod = IdlePeriod { idle_ns: 5_000_000, late_ns: 100_000 };
    const LATE: IdlePeriod = IdlePeriod { idle_ns: 150_000, late_ns: BUSY_NS };

    fn window_after(window: &mut PollWindow, periods: &[IdlePeriod], now_ns: u64) -> u64 {
        periods.iter().for_each(|period| window.learn(*period, now_ns, MOST_NS));
        window.at(now_ns, MOST_NS)
    }

    #[test]
    fn a_kick_is_seen_by_a_polling_cpu_alone() {
        let flag = PollFlag::new();
        assert_eq!(flag.kick(), Kick::NeedsInterrupt);
        flag.begin();
        assert!(flag.is_polling() && !flag.is_kicked(), "an earlier mark is left");
        assert_eq!([flag.kick(), flag.kick()], [Kick::Seen; 2]);
        assert!(flag.is_kicked() && flag.end());
        assert!(!flag.is_polling() && !flag.end());
        assert_eq!(flag.kick(), Kick::NeedsInterrupt);
    }

    #[test]
    fn the_window_grows_while_threads_come_soon_and_stays_once_they_come_in_it() {
        let mut window = PollWindow::new();
        assert_eq!(window.at(0, MOST_NS), 0);
        let grown: [u64; 7] = core::array::from_fn(|_| window_after(&mut window, &[SOON], 0));
        assert_eq!(grown, [10_000, 20_000, 40_000, 80_000, 160_000, 160_000, 160_000]);
        let longer = IdlePeriod { idle_ns: 180_000, late_ns: 0 };
        assert_eq!(window_after(&mut window, &[longer], 0), MOST_NS);
    }

    #[test]
    fn the_window_shrinks_to_nothing_while_no_threads_come() {
        let mut window = PollWindow::new();
        assert_eq!(window_after(&mut window, &[SOON; 5], 0), 160_000);
        let shrunk: [u64; 6] = core::array::from_fn(|_| window_after(&mut window, &[LONG], 0));
        assert_eq!(shrunk, [80_000, 40_000, 20_000, 10_000, 0, 0]);
        // Half of what the parameter allows would be less than the shortest window.
        window.learn(SHORT, 0, 15_000);
        window.learn(SHORT, 0, 15_000);
        assert_eq!(window.at(0, 15_000), 15_000);
        window.learn(LONG, 0, 15_000);
        assert_eq!(window.at(0, 15_000), 0);
    }

    #[test]
    fn the_parameter_limits_the_window_at_once_and_zero_is_off() {
        let mut window = PollWindow::new();
        assert_eq!(window_after(&mut window, &[SOON; 5], 0), 160_000);
        assert_eq!(window.at(0, 50_000), 50_000);
        assert_eq!(window.at(0, 0), 0);
        window.learn(IdlePeriod { idle_ns: 0, late_ns: 0 }, 0, 0);
        window.learn(SOON, 0, 0);
        assert_eq!(window.at(0, 0), 0);
        // Shorter than the shortest window.
        window.learn(IdlePeriod { idle_ns: 3_000, late_ns: 0 }, 0, 5_000);
        assert_eq!(window.at(0, 5_000), 5_000);
    }

    /// A core that is shared: each time that the host took it away ends the polling for twice as long.
    #[test]
    fn a_busy_host_ends_polling_for_longer_and_longer() {
        let mut window = PollWindow::new();
        let mut now_ns = 0;
        for rest_ns in [10, 20, 40, 80, 160, 320, 640, 1073, 1073].map(|ms| ms * 1_000_000) {
            window_after(&mut window, &[SOON; 5], now_ns);
            assert!(window.at(now_ns, MOST_NS) > 0);
            assert!(window.is_interrupted(now_ns, now_ns + BUSY_NS));
            now_ns += BUSY_NS;
            window_after(&mut window, &[SOON; 5], now_ns);
            assert_eq!(window.at(now_ns + rest_ns - 1, MOST_NS), 0, "polls in a rest of {rest_ns} ns");
            now_ns += rest_ns + 1_000_000;
            assert!(window.at(now_ns, MOST_NS) > 0);
        }
        // Quiet for longer than the last rest: the next one is short again.
        now_ns += 2 * LONGEST_REST_NS;
        assert!(!window.is_interrupted(now_ns, now_ns + BUSY_NS - 1));
        assert!(window.is_interrupted(now_ns, now_ns + BUSY_NS));
        assert!(window_after(&mut window, &[SOON], now_ns + BUSY_NS + FIRST_REST_NS) > 0);
    }

    #[test]
    fn a_late_wake_up_ends_polling_like_a_gap() {
        let mut window = PollWindow::new();
        window_after(&mut window, &[SOON; 5], 0);
        assert_eq!(window_after(&mut window, &[LATE], 0), 0);
        assert_eq!(window_after(&mut window, &[SOON; 3], FIRST_REST_NS - 1), 0);
        assert!(window.at(FIRST_REST_NS, MOST_NS) > 0);
    }
}
