//! The memory bandwidth of one node, shared by the threads that work on it.
//!
//! It is a fluid model. Alone, a thread works at its full rate. Together, all rates are scaled by
//! one factor, so that their sum is the node's capacity for that number of threads.
//!
//! The factor is the speed of a virtual clock of the node. In virtual time, a thread's work takes
//! as long as it takes alone. So the order of the ends does not change when threads come and go.

use std::collections::BTreeMap;
use std::vec::Vec;

use super::capacity::Capacity;

/// Work in progress on one node.
#[derive(Debug)]
pub(super) struct Flow {
    capacity: Capacity,
    /// Share of the bandwidth that other users of the memory leave.
    available: f64,
    /// The node's virtual clock, in seconds.
    clock_s: f64,
    /// Virtual seconds per second.
    speed: f64,
    /// Time at which `clock_s` was computed.
    at_ns: u64,
    /// Rate of each thread's work, by the virtual time of its end and the thread. The bits of a
    /// positive float sort like the float.
    ends: BTreeMap<(u64, usize), f64>,
    rates_sum: f64,
}

impl Flow {
    pub(super) fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            available: 1.0,
            clock_s: 0.0,
            speed: 1.0,
            at_ns: 0,
            ends: BTreeMap::new(),
            rates_sum: 0.0,
        }
    }

    /// Starts `units` of work of `thread`, at `rate` units per second alone. Returns the key for
    /// [`stop`](Self::stop).
    pub(super) fn start(&mut self, now_ns: u64, thread: usize, units: f64, rate: f64) -> u64 {
        self.advance(now_ns);
        let key = (self.clock_s + units / rate).to_bits();
        self.ends.insert((key, thread), rate);
        self.rates_sum += rate;
        self.set_speed();
        key
    }

    /// Stops the work of `thread` before its end. Returns the number of units left.
    pub(super) fn stop(&mut self, now_ns: u64, thread: usize, key: u64) -> f64 {
        self.advance(now_ns);
        let Some(rate) = self.ends.remove(&(key, thread)) else { return 0.0 };
        self.remove_rate(rate);
        ((f64::from_bits(key) - self.clock_s) * rate).max(0.0)
    }

    /// Sets the share of the bandwidth that other users of the memory leave.
    pub(super) fn set_available(&mut self, now_ns: u64, share: f64) {
        self.advance(now_ns);
        self.available = share;
        self.set_speed();
    }

    /// Returns the time at which the next work ends, at the current speed.
    pub(super) fn next_end_ns(&self) -> Option<u64> {
        let ((key, _), _) = self.ends.first_key_value()?;
        let seconds = (f64::from_bits(*key) - self.clock_s).max(0.0) / self.speed;
        Some(self.at_ns + (seconds * 1e9).ceil() as u64)
    }

    /// Removes and returns the threads whose work has ended by `now_ns`.
    pub(super) fn ended(&mut self, now_ns: u64) -> Vec<usize> {
        let due = self.next_end_ns().is_some_and(|end_ns| end_ns <= now_ns);
        self.advance(now_ns);
        let mut ended = Vec::new();
        if !due {
            return ended;
        }
        // Times are rounded to nanoseconds: work that is due within one has ended.
        let until = self.clock_s + 1e-9 * self.speed;
        while let Some((&(key, thread), &rate)) = self.ends.first_key_value() {
            if !ended.is_empty() && f64::from_bits(key) > until {
                break;
            }
            self.ends.remove(&(key, thread));
            self.remove_rate(rate);
            ended.push(thread);
        }
        ended
    }

    fn remove_rate(&mut self, rate: f64) {
        // A sum of many additions and subtractions drifts; without work it is exactly 0.
        self.rates_sum = if self.ends.is_empty() { 0.0 } else { self.rates_sum - rate };
        self.set_speed();
    }

    fn advance(&mut self, now_ns: u64) {
        let passed_s = (now_ns - self.at_ns) as f64 * 1e-9;
        self.clock_s += passed_s * self.speed;
        self.at_ns = now_ns;
    }

    fn set_speed(&mut self) {
        let capacity = self.capacity.of(self.ends.len()) * self.available;
        self.speed = if self.rates_sum > capacity { capacity / self.rates_sum } else { 1.0 };
    }
}
