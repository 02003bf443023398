//! Lines that wait for a port.
//!
//! A line is queued whole or lost whole. Writers wait for a port as long as it moves; a port that takes nothing for
//! [`PATIENCE_NS`] counts as stuck, and nobody waits for it any more until it moves again.
//! What is lost is counted.

/// How long a port may take nothing before it counts as stuck.
pub const PATIENCE_NS: u64 = 2_000_000_000;
/// Most and least that one look at a port adds to the time waited: a machine that was stopped for a while has looked
/// only once in that time, and a clock that stands still must not make a wait endless.
const LOOK_MOST_NS: u64 = 10_000_000;
const LOOK_LEAST_NS: u64 = 100;

/// Up to `N` bytes of whole lines, first in, first out.
#[derive(Debug)]
pub struct Outbox<const N: usize> {
    bytes: [u8; N],
    first: usize,
    len: usize,
    /// Bytes that were ever taken out.
    taken: u64,
    /// The last byte taken was not a line end.
    is_in_line: bool,
    is_stuck: bool,
    /// Time without progress, and the last look.
    waited_ns: u64,
    looked_ns: u64,
    lost: u64,
    told: u64,
}

impl<const N: usize> Default for Outbox<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Outbox<N> {
    /// An empty box.
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
            looked_ns: 0,
            lost: 0,
            told: 0,
        }
    }

    /// Queues all that `write` hands over, or nothing of it where it does not fit. Returns the position of its end,
    /// which [`taken`](Self::taken) reaches once it is out.
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
            // Nobody has waited for this one yet.
            (self.waited_ns, self.looked_ns) = (0, now_ns);
        }
        // At once for the whole line: a CPU that is stopped before this has queued nothing.
        self.len = len;
        Some(self.taken + len as u64)
    }

    /// Queues `bytes` before all that waits, where they fit: the end of a line that is begun.
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

    /// The oldest bytes, as many as lie in one piece.
    #[must_use]
    pub fn front(&self) -> &[u8] {
        &self.bytes[self.first..self.first + self.len.min(N - self.first)]
    }

    /// Takes out the oldest `count` bytes, which the port has taken: it is not stuck.
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

    /// The port took nothing at `now_ns`; whether it counts as stuck.
    pub fn note_blocked(&mut self, now_ns: u64) -> bool {
        let looked_ns = core::mem::replace(&mut self.looked_ns, now_ns);
        self.waited_ns += now_ns.saturating_sub(looked_ns).clamp(LOOK_LEAST_NS, LOOK_MOST_NS);
        self.is_stuck |= self.waited_ns >= PATIENCE_NS;
        self.is_stuck
    }

    /// The port is to be waited for once more.
    pub fn hope(&mut self, now_ns: u64) {
        (self.is_stuck, self.waited_ns, self.looked_ns) = (false, 0, now_ns);
    }

    /// Whether the port counts as stuck.
    #[must_use]
    pub const fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that were ever taken out.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Counts a line that found no room.
    pub const fn lose(&mut self) {
        self.lost += 1;
    }

    /// Lines that were ever lost.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Lines that were lost and not told of; 0 while the port is stuck, as nobody would hear it.
    #[must_use]
    pub const fn untold(&self) -> u64 {
        if self.is_stuck { 0 } else { self.lost - self.told }
    }

    /// All lines lost so far are told of.
    pub const fn note_told(&mut self) {
        self.told = self.lost;
    }

    /// The box is taken from a CPU that will not run again. `is_torn`: that CPU was stopped while it was sending, so that
    /// nobody knows how much of the oldest line is out: the rest of it is lost. Returns whether a line has to be ended on
    /// the port.
    pub fn seize(&mut self, is_torn: bool) -> bool {
        // Whatever was half done: within bounds.
        (self.first, self.len) = (self.first % N, self.len.min(N));
        if is_torn {
            self.drop_line();
            self.is_in_line = false;
        }
        is_torn
    }

    /// Loses all that waits; what is begun has to be ended. Returns whether a line is begun.
    pub fn discard(&mut self) -> bool {
        while self.len > 0 {
            self.drop_line();
        }
        core::mem::take(&mut self.is_in_line)
    }

    /// Loses the oldest line, or the rest of it.
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
