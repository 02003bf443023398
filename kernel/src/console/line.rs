//! Text of a line, without allocation.

use core::fmt;

/// Shown at the end of a line that did not fit.
const CUT: &str = "...";

/// Up to `N` bytes of text. Text that does not fit is cut off and ends in [`CUT`].
pub struct LineBuf<const N: usize> {
    bytes: [u8; N],
    len: usize,
    is_cut: bool,
}

impl<const N: usize> LineBuf<N> {
    /// Returns an empty line.
    pub const fn new() -> Self {
        Self { bytes: [0; N], len: 0, is_cut: false }
    }

    /// Returns the text so far.
    pub fn as_str(&self) -> &str {
        // Only whole characters are ever copied in.
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
}

impl<const N: usize> fmt::Write for LineBuf<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.is_cut {
            return Ok(());
        }
        let room = N - self.len;
        let taken = if text.len() <= room {
            text
        } else {
            self.is_cut = true;
            &text[..text.floor_char_boundary(room.saturating_sub(CUT.len()))]
        };
        self.bytes[self.len..self.len + taken.len()].copy_from_slice(taken.as_bytes());
        self.len += taken.len();
        if self.is_cut && N - self.len >= CUT.len() {
            self.bytes[self.len..self.len + CUT.len()].copy_from_slice(CUT.as_bytes());
            self.len += CUT.len();
        }
        Ok(())
    }
}
