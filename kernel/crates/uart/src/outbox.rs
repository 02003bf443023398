//! Queue of lines that wait for a port.
//!
//! A line is queued whole or lost whole; lost lines are counted. Writers wait for a port as long as it moves. A port that
//! takes nothing for [`TIMEOUT_NS`] counts as stuck, and no writer waits for it until it moves again.

/// Time after which a port that takes nothing counts as stuck.
pub const TIMEOUT_NS: u64 = 2_000_000_000;
/// Most and least time that an attempt to send adds to the time waited. Most: a machine that was stopped for a while has
/// tried only once in that time. Least: a clock that stands still must not make a wait endless.
const CHECK_MOST_NS: u64 = 10_000_000;
const CHECK_LEAST_NS: u64 = 100;

/// Queue of whole lines, `N` bytes at most.
#[derive(Debug)]
pub struct Outbox<const N: usize> {
    bytes: [u8; N],
    first: usize,
    len: usize,
    /// Bytes taken out since boot.
    taken: u64,
    /// Whether a line is partly sent: the last byte taken was not a line end.
    is_in_line: bool,
    is_stuck: bool,
    /// Time without progress, as counted by attempts.
    waited_ns: u64,
    /// Time of the last attempt.
    checked_ns: u64,
    lost: u64,
    reported: u64,
}

impl<const N: usize> Default for Outbox<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Outbox<N> {
    /// Returns an empty queue.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 0) };
        Self {
            bytes: [0; N],
            first: 0,
            len: 0,
            taken: 0,
            is_in_line: false,
            is_stuck: false,
            waited_ns: 0,
            checked_ns: 0,
            lost: 0,
            reported: 0,
        }
    }

    /// Queues all bytes that `write` passes, or none if they do not fit. Returns the value that [`taken`](Self::taken) has
    /// once they are out.
    pub fn put(&mut self, now_ns: u64, write: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Option<u64> {
        let (old_len, mut fits) = (self.len, true);
        let mut len = old_len;
        write(&mut |part| {
            fits = fits && part.len() <= N - len;
            if fits {
                self.copy_in(len, part);
                len += part.len();
            }
        });
        if !fits {
            return None;
        }
        if old_len == 0 {
            // The wait for the port begins now.
            (self.waited_ns, self.checked_ns) = (0, now_ns);
        }
        // One store for the whole line: a CPU that is stopped before it has queued nothing.
        self.len = len;
        Some(self.taken + len as u64)
    }

    /// Queues `bytes`, if they fit, in front of all others: the end of a line that is partly sent.
    pub fn put_first(&mut self, bytes: &[u8]) {
        if bytes.len() <= N - self.len {
            self.first = (self.first + N - bytes.len()) % N;
            self.copy_in(0, bytes);
            self.len += bytes.len();
        }
    }

    fn copy_in(&mut self, offset: usize, part: &[u8]) {
        let start = (self.first + offset) % N;
        let (head, tail) = part.split_at(part.len().min(N - start));
        self.bytes[start..start + head.len()].copy_from_slice(head);
        self.bytes[..tail.len()].copy_from_slice(tail);
    }

    /// Returns the oldest bytes, as many as are adjacent in memory.
    #[must_use]
    pub fn front(&self) -> &[u8] {
        &self.bytes[self.first..self.first + self.len.min(N - self.first)]
    }

    /// Removes the oldest `count` bytes, which the port has taken. The port is not stuck, then.
    pub fn take(&mut self, count: usize) {
        let count = count.min(self.len);
        if count == 0 {
            return;
        }
        let last = self.bytes[(self.first + count - 1) % N];
        (self.is_in_line, self.is_stuck, self.waited_ns) = (last != b'\n', false, 0);
        self.remove(count);
    }

    fn remove(&mut self, count: usize) {
        self.first = (self.first + count) % N;
        self.len -= count;
        self.taken += count as u64;
    }

    /// Notes that the port took nothing at `now_ns`. Returns whether the port counts as stuck.
    pub fn note_blocked(&mut self, now_ns: u64) -> bool {
        let checked_ns = core::mem::replace(&mut self.checked_ns, now_ns);
        self.waited_ns += now_ns.saturating_sub(checked_ns).clamp(CHECK_LEAST_NS, CHECK_MOST_NS);
        self.is_stuck |= self.waited_ns >= TIMEOUT_NS;
        self.is_stuck
    }

    /// Makes the port not stuck and starts its timeout again.
    pub fn restart_timeout(&mut self, now_ns: u64) {
        (self.is_stuck, self.waited_ns, self.checked_ns) = (false, 0, now_ns);
    }

    /// Returns whether the port counts as stuck.
    #[must_use]
    pub const fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Returns whether the queue is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns how many bytes were taken out since boot.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Counts a line that did not fit.
    pub const fn lose(&mut self) {
        self.lost += 1;
    }

    /// Returns how many lines were lost since boot.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Returns how many lost lines are not reported yet; 0 while the port is stuck, as a report would not get out.
    #[must_use]
    pub const fn unreported(&self) -> u64 {
        if self.is_stuck { 0 } else { self.lost - self.reported }
    }

    /// Notes that all lines lost so far are reported.
    pub const fn note_reported(&mut self) {
        self.reported = self.lost;
    }

    /// Takes the queue over from a CPU that will not run again. `is_torn` says that this CPU was stopped while it sent. It
    /// is then unknown how much of the oldest line is out, so its rest is dropped. Returns whether a line has to be ended
    /// on the port.
    pub fn seize(&mut self, is_torn: bool) -> bool {
        // A half-done change may have left either out of bounds.
        (self.first, self.len) = (self.first % N, self.len.min(N));
        if is_torn {
            self.drop_line();
            self.is_in_line = false;
        }
        is_torn
    }

    /// Drops all lines. Returns whether one is partly sent and has to be ended on the port.
    pub fn discard(&mut self) -> bool {
        while self.len > 0 {
            self.drop_line();
        }
        core::mem::take(&mut self.is_in_line)
    }

    /// Drops the oldest line, or its rest.
    fn drop_line(&mut self) {
        let mut count = 0;
        while count < self.len {
            count += 1;
            if self.bytes[(self.first + count - 1) % N] == b'\n' {
                break;
            }
        }
        if count > 0 {
            self.lost += 1;
            self.remove(count);
        }
    }
}
