//! Buffers received bytes for the reader.

/// A queue of up to `N` bytes.
#[derive(Debug)]
pub struct Ring<const N: usize> {
    bytes: [u8; N],
    first: usize,
    len: usize,
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Ring<N> {
    /// Returns an empty ring.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 0) };
        Self { bytes: [0; N], first: 0, len: 0 }
    }

    /// Returns whether the ring is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns whether the ring is full.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len == N
    }

    /// Adds a byte; returns false if the ring is full.
    pub const fn push(&mut self, byte: u8) -> bool {
        if self.is_full() {
            return false;
        }
        self.bytes[(self.first + self.len) % N] = byte;
        self.len += 1;
        true
    }

    /// Moves the oldest bytes into `buffer`, as many as fit; returns their number.
    pub fn take_into(&mut self, buffer: &mut [u8]) -> usize {
        let slots = buffer.iter_mut();
        slots.map_while(|slot| self.pop().map(|byte| *slot = byte)).count()
    }

    /// Takes the oldest byte.
    pub const fn pop(&mut self) -> Option<u8> {
        if self.is_empty() {
            return None;
        }
        let byte = self.bytes[self.first];
        self.first = (self.first + 1) % N;
        self.len -= 1;
        Some(byte)
    }
}
