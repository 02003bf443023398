//! Contestants that take turns, and the table of their medians.

use std::time::{Duration, Instant};

/// One way to do a piece of work.
pub struct Contestant<'c> {
    name: &'static str,
    call: Box<dyn FnMut() + 'c>,
}

/// Makes a contestant.
pub fn contestant<'c>(name: &'static str, call: impl FnMut() + 'c) -> Contestant<'c> {
    Contestant { name, call: Box::new(call) }
}

/// The share of `--quick` in the rounds of a full run.
const QUICK_DIVISOR: usize = 5;

/// Which races are run, and how long.
pub struct Settings {
    /// Part of the title of the races to run; empty for all.
    pub wanted: String,
    /// Whether a fifth of the rounds is enough.
    pub is_quick: bool,
}

impl Settings {
    /// Returns whether the race with this title is to be run.
    pub fn wants(&self, title: &str) -> bool {
        title.contains(&self.wanted)
    }

    /// Runs a race of `rounds` rounds, `calls` calls per turn, and prints a line per contestant: median of a
    /// call, fastest call, and the median over that of the first contestant. Above 1, the first is ahead.
    ///
    /// The contestants take turns, so a disturbance meets all of them. Their order changes from round to round:
    /// what a contestant leaves in caches and predictors meets each of the others. One round more, which is not
    /// counted, warms caches and pools up.
    pub fn race(&self, title: &str, rounds: usize, calls: u32, mut contestants: Vec<Contestant<'_>>) {
        if !self.wants(title) {
            return;
        }
        let rounds = if self.is_quick { rounds.div_ceil(QUICK_DIVISOR) } else { rounds };
        let mut taken = vec![Vec::with_capacity(rounds); contestants.len()];
        let mut order: Vec<usize> = (0..contestants.len()).collect();
        let mut random = 1_u64;
        for round in 0..=rounds {
            shuffle(&mut order, &mut random);
            for &index in &order {
                let (contestant, taken) = (&mut contestants[index], &mut taken[index]);
                let started = Instant::now();
                for _ in 0..calls {
                    (contestant.call)();
                }
                if round > 0 {
                    taken.push(started.elapsed() / calls);
                }
            }
        }
        println!("{title} ({rounds} rounds of {calls})");
        let mut first = None;
        for (contestant, taken) in contestants.iter().zip(&mut taken) {
            taken.sort_unstable();
            let (best, median) = (taken[0], taken[taken.len() / 2]);
            let first = *first.get_or_insert(median);
            let ratio = median.as_secs_f64() / first.as_secs_f64();
            println!("  {:38} {:>12} {:>12} {ratio:8.2}", contestant.name, shown(median), shown(best));
        }
    }
}

/// Brings `order` into a random order, the same in each run of the program.
fn shuffle(order: &mut [usize], random: &mut u64) {
    for last in (1..order.len()).rev() {
        // The generator xorshift64 (Marsaglia, 2003).
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        order.swap(last, (*random % (last as u64 + 1)) as usize);
    }
}

/// Returns a duration with three digits or more and a unit.
fn shown(time: Duration) -> String {
    match time.as_nanos() {
        ns @ 0..10_000 => format!("{ns} ns"),
        ns @ 10_000..10_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        ns => format!("{:.2} ms", ns as f64 / 1e6),
    }
}
