//! Memory bandwidth of one node, shared by the threads that work on it.
//!
//! A fluid model. Alone, thread `i` works at its own rate; together, the rates are scaled by
//! one factor so that their sum is what the node gives to so many threads. The factor is
//! the derivative of a clock of the node's own: in that clock's time every piece of work takes
//! as long as alone, so the order in which they end does not change when threads come and go.

use std::collections::BTreeMap;
use std::vec::Vec;

use super::machine::Capacity;

/// Work in progress on one node.
#[derive(Debug)]
pub(super) struct Flow {
    capacity: Capacity,
    /// What other users of the memory leave of it.
    left_over: f64,
    /// The node's own clock, in seconds, and what it advances per second.
    clock_s: f64,
    speed: f64,
    /// When `clock_s` was right.
    at_ns: u64,
    /// By the node's time of their end (the bits of a positive float sort like it).
    ends: BTreeMap<(u64, usize), f64>,
    rates_sum: f64,
}

impl Flow {
    pub(super) fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            left_over: 1.0,
            clock_s: 0.0,
            speed: 1.0,
            at_ns: 0,
            ends: BTreeMap::new(),
            rates_sum: 0.0,
        }
    }

    /// `thread` begins `units` of work that it would do at `rate` units per second alone.
    /// Gives the key to [`stop`](Self::stop) it by.
    pub(super) fn start(&mut self, now_ns: u64, thread: usize, units: f64, rate: f64) -> u64 {
        self.advance(now_ns);
        let key = (self.clock_s + units / rate).to_bits();
        self.ends.insert((key, thread), rate);
        self.rates_sum += rate;
        self.set_speed();
        key
    }

    /// `thread` stops before the end; says how many units are left.
    pub(super) fn stop(&mut self, now_ns: u64, thread: usize, key: u64) -> f64 {
        self.advance(now_ns);
        let Some(rate) = self.ends.remove(&(key, thread)) else { return 0.0 };
        self.forget(rate);
        ((f64::from_bits(key) - self.clock_s) * rate).max(0.0)
    }

    /// Sets what share of the bandwidth others leave.
    pub(super) fn set_left_over(&mut self, now_ns: u64, share: f64) {
        self.advance(now_ns);
        self.left_over = share;
        self.set_speed();
    }

    /// When the next piece of work ends, at the present speed.
    pub(super) fn next_end_ns(&self) -> Option<u64> {
        let ((key, _), _) = self.ends.first_key_value()?;
        let seconds = (f64::from_bits(*key) - self.clock_s).max(0.0) / self.speed;
        Some(self.at_ns + (seconds * 1e9).ceil() as u64)
    }

    /// Takes out the threads whose work has ended by `now_ns`.
    pub(super) fn ended(&mut self, now_ns: u64) -> Vec<usize> {
        let due = self.next_end_ns().is_some_and(|end_ns| end_ns <= now_ns);
        self.advance(now_ns);
        let mut ended = Vec::new();
        if !due {
            return ended;
        }
        // The times were rounded to nanoseconds: what is due within one has ended.
        let until = self.clock_s + 1e-9 * self.speed;
        while let Some((&(key, thread), &rate)) = self.ends.first_key_value() {
            if !ended.is_empty() && f64::from_bits(key) > until {
                break;
            }
            self.ends.remove(&(key, thread));
            self.forget(rate);
            ended.push(thread);
        }
        ended
    }

    fn forget(&mut self, rate: f64) {
        // A sum of many additions and subtractions drifts; empty is exactly 0.
        self.rates_sum = if self.ends.is_empty() { 0.0 } else { self.rates_sum - rate };
        self.set_speed();
    }

    fn advance(&mut self, now_ns: u64) {
        let passed_s = (now_ns - self.at_ns) as f64 * 1e-9;
        self.clock_s += passed_s * self.speed;
        self.at_ns = now_ns;
    }

    fn set_speed(&mut self) {
        let given = self.capacity.of(self.ends.len()) * self.left_over;
        self.speed = if self.rates_sum > given { given / self.rates_sum } else { 1.0 };
    }
}
