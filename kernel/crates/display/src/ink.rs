//! The colours of text.

/// A colour, by its intensities of red, green and blue.
pub type Rgb = [u8; 3];

/// The purpose of a line, which decides its colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ink {
    /// The log.
    Text = 0,
    /// A warning or an error that the kernel survives.
    Warning = 1,
    /// A report of a failure that ends the machine.
    Report = 2,
}

impl Ink {
    /// All inks, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Text, Self::Warning, Self::Report];

    /// Returns the colour of the glyphs and the colour behind them.
    #[must_use]
    pub const fn colours(self) -> (Rgb, Rgb) {
        match self {
            Self::Text => ([0xd0, 0xd0, 0xd0], BACKGROUND),
            Self::Warning => ([0xff, 0xd0, 0x40], BACKGROUND),
            Self::Report => ([0xff, 0xff, 0xff], [0xa0, 0x00, 0x00]),
        }
    }

    /// Returns the colour of a glyph's pixel of the given intensity.
    #[must_use]
    pub fn shade(self, intensity: u8) -> Rgb {
        let (glyph, behind) = self.colours();
        let intensity = u32::from(intensity);
        core::array::from_fn(|index| {
            let (glyph, behind) = (u32::from(glyph[index]), u32::from(behind[index]));
            ((glyph * intensity + behind * (255 - intensity) + 127) / 255) as u8
        })
    }

    /// Returns the ink with a number, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// The colour of the screen where there is no text.
pub const BACKGROUND: Rgb = [0, 0, 0];
