//! How often a seed does what, and where.

use crate::point::Point;
use crate::random::next;

/// Odds and places of a seed's actions, in one word.
///
/// | bits | meaning |
/// |---|---|
/// | 0..16, 16..32, 32..48 | preemptions, delays and interrupts in 65536 points |
/// | 48..60 | kinds of points at which anything happens, a bit for each |
/// | 60..64 | binary logarithm of the longest delay, in rounds |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Temper(u64);

/// Odds to choose from, in 65536 points.
const PREEMPTIONS: [u64; 4] = [16_384, 4096, 1024, 256];
const DELAYS: [u64; 4] = [8192, 2048, 512, 128];
const INTERRUPTS: [u64; 4] = [2048, 512, 128, 32];
/// Binary logarithms of the longest delay. The longest of all stays far below any limit for a stuck CPU.
const DELAY_BITS: [u64; 4] = [4, 6, 8, 10];

impl Temper {
    /// Returns the temper that `seed` chooses. Each kind of point takes part with a chance of three in four.
    #[must_use]
    pub const fn of_seed(seed: u64) -> Self {
        // One stream of numbers for tempers, apart from those of the CPUs.
        let (state, first) = next(seed ^ 0x7465_6d70_6572_2121);
        let (_, second) = next(state);
        let kinds = (second | (second >> 16)) & 0xfff;
        Self(
            PREEMPTIONS[(first & 3) as usize]
                | DELAYS[((first >> 2) & 3) as usize] << 16
                | INTERRUPTS[((first >> 4) & 3) as usize] << 32
                | kinds << 48
                | DELAY_BITS[((first >> 6) & 3) as usize] << 60,
        )
    }

    pub(crate) const fn from_word(word: u64) -> Self {
        Self(word)
    }

    pub(crate) const fn to_word(self) -> u64 {
        self.0
    }

    pub(crate) const fn preempt(self) -> u32 {
        (self.0 & 0xffff) as u32
    }

    pub(crate) const fn delay(self) -> u32 {
        ((self.0 >> 16) & 0xffff) as u32
    }

    pub(crate) const fn interrupt(self) -> u32 {
        ((self.0 >> 32) & 0xffff) as u32
    }

    /// Returns whether anything happens at points of this kind.
    #[must_use]
    pub const fn has(self, point: Point) -> bool {
        self.0 >> (48 + point as u64) & 1 == 1
    }

    /// Returns the most rounds of a delay.
    #[must_use]
    pub const fn longest_delay(self) -> u32 {
        1 << (self.0 >> 60)
    }
}
