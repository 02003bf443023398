//! Random numbers, and functions that break bytes.

/// The random numbers of one input.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// Returns the random numbers of input `number` in a run with `seed`.
    #[must_use]
    pub const fn new(seed: u64, number: u64) -> Self {
        Self { state: seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    /// Returns 64 random bits (SplitMix64).
    pub const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`, which is not 0.
    pub const fn below(&mut self, end: usize) -> usize {
        (((self.bits() >> 32) * end as u64) >> 32) as usize
    }

    /// Returns true once in `times` calls, on average.
    pub const fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Returns one of `choices`.
    pub const fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Returns a byte; half of the bytes are boundary values.
    pub const fn byte(&mut self) -> u8 {
        const EDGES: [u8; 12] = [0, 1, 2, 7, 8, 9, 0x7f, 0x80, 0xfe, 0xff, b' ', b'='];
        if self.one_in(2) { self.pick(&EDGES) } else { self.bits() as u8 }
    }

    /// Breaks `bytes` in one to eight places, some of the time by cutting or repeating a part.
    pub fn break_bytes(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(8) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(16) {
                0..8 => bytes[at] = self.byte(),
                8..11 => bytes[at] ^= 1 << self.below(8),
                11 => {
                    let value = self.pick(&[0, u32::MAX, 1 << 31, 0xfee0_0000]).to_le_bytes();
                    bytes.iter_mut().skip(at).zip(value).for_each(|(byte, new)| *byte = new);
                }
                12 => bytes.truncate(at),
                13 => {
                    let len = (1 + self.below(24)).min(bytes.len() - at);
                    bytes.extend_from_within(at..at + len);
                }
                14 => {
                    bytes.remove(at);
                }
                _ => bytes.insert(at, self.byte()),
            }
        }
    }
}

/// Corrects an ACPI table's length field and checksum, so that a parser accepts them.
pub fn seal_sdt(table: &mut [u8]) {
    const LENGTH: usize = 4;
    const CHECKSUM: usize = 9;
    let length = (table.len() as u32).to_le_bytes();
    if let Some(field) = table.get_mut(LENGTH..LENGTH + 4) {
        field.copy_from_slice(&length);
    }
    fix_sum(table, CHECKSUM);
}

/// Sets the byte at `at`, if there is one, so that `bytes` add up to 0.
pub fn fix_sum(bytes: &mut [u8], at: usize) {
    if at < bytes.len() {
        bytes[at] = 0;
        let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        bytes[at] = sum.wrapping_neg();
    }
}

/// Returns an ACPI table with a header and `body`.
#[must_use]
pub fn sdt(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut table = vec![0; 36];
    table[..4].copy_from_slice(signature);
    table[8] = revision;
    table.extend_from_slice(body);
    seal_sdt(&mut table);
    table
}
