//! Pixel formats.

use core::fmt;

use crate::ink::Rgb;

/// Most bytes of a pixel.
pub const MOST_PIXEL_BYTES: usize = 4;

/// The bits of one colour in a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Number of the lowest bit.
    pub shift: u8,
    /// Number of bits.
    pub bits: u8,
}

/// The meaning of a pixel's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Red, green and blue.
    Colour([Channel; 3]),
    /// One intensity of 8 bits.
    Grey,
}

/// A pixel format: a little-endian number of 1 to 4 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelFormat {
    bytes: usize,
    channels: Channels,
}

/// Why a pixel format cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// A pixel has no bytes, or too many.
    PixelBytes(usize),
    /// A colour has no bits, or bits outside the pixel.
    Channel(Channel),
    /// Two colours share a bit.
    Overlap,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PixelBytes(bytes) => {
                write!(f, "a pixel has {bytes} bytes, not 1 to {MOST_PIXEL_BYTES}")
            }
            Self::Channel(Channel { shift, bits }) => {
                write!(f, "a colour has {bits} bits from bit {shift} on; they must be in the pixel")
            }
            Self::Overlap => f.write_str("two colours share a bit"),
        }
    }
}

impl PixelFormat {
    /// Checks a format with pixels of `bytes` bytes.
    ///
    /// # Errors
    /// When the pixel's size is not 1 to 4 bytes, or the colours are not in it or overlap.
    pub fn new(bytes: usize, channels: Channels) -> Result<Self, FormatError> {
        if !(1..=MOST_PIXEL_BYTES).contains(&bytes) {
            return Err(FormatError::PixelBytes(bytes));
        }
        if let Channels::Colour(channels) = channels {
            let mut used = 0u64;
            for channel in channels {
                let end = usize::from(channel.shift) + usize::from(channel.bits);
                if channel.bits == 0 || end > bytes * 8 {
                    return Err(FormatError::Channel(channel));
                }
                let mask = highest(channel.bits) << channel.shift;
                if used & mask != 0 {
                    return Err(FormatError::Overlap);
                }
                used |= mask;
            }
        }
        Ok(Self { bytes, channels })
    }

    /// Returns the size of a pixel in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the pixel of a colour.
    #[must_use]
    pub fn encode(&self, rgb: Rgb) -> u32 {
        match self.channels {
            // Weights of ITU-R BT.601, times 256.
            Channels::Grey => {
                let [red, green, blue] = rgb.map(u32::from);
                (77 * red + 150 * green + 29 * blue) >> 8
            }
            Channels::Colour(channels) => {
                let pixel = channels.iter().zip(rgb).map(|(channel, intensity)| {
                    let scaled = (u64::from(intensity) * highest(channel.bits) + 127) / 255;
                    scaled << channel.shift
                });
                // The channels do not overlap and end within 32 bits.
                pixel.fold(0, |pixel, bits| pixel | bits) as u32
            }
        }
    }
}

/// Returns the highest value of `bits` bits.
const fn highest(bits: u8) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn channel(shift: u8, bits: u8) -> Channel {
        Channel { shift, bits }
    }

    fn colour(bytes: usize, channels: [(u8, u8); 3]) -> Result<PixelFormat, FormatError> {
        PixelFormat::new(bytes, Channels::Colour(channels.map(|(shift, bits)| channel(shift, bits))))
    }

    #[test]
    fn colours_go_to_their_bits() {
        let orange = [0xff, 0x80, 0x01];
        assert_eq!(colour(4, [(16, 8), (8, 8), (0, 8)]).unwrap().encode(orange), 0x00ff_8001);
        assert_eq!(colour(3, [(0, 8), (8, 8), (16, 8)]).unwrap().encode(orange), 0x0001_80ff);
        assert_eq!(colour(4, [(20, 10), (10, 10), (0, 10)]).unwrap().encode([0xff, 0, 0xff]), 0x3ff0_03ff);
        assert_eq!(colour(2, [(11, 5), (5, 6), (0, 5)]).unwrap().encode([0xff, 0xff, 0]), 0xffe0);
        assert_eq!(PixelFormat::new(1, Channels::Grey).unwrap().encode([0xff; 3]), 0xff);
        assert_eq!(PixelFormat::new(1, Channels::Grey).unwrap().encode([0; 3]), 0);
    }

    #[test]
    fn bad_formats_are_refused() {
        assert_eq!(colour(0, [(0, 1), (1, 1), (2, 1)]), Err(FormatError::PixelBytes(0)));
        assert_eq!(PixelFormat::new(5, Channels::Grey), Err(FormatError::PixelBytes(5)));
        assert_eq!(colour(4, [(16, 8), (8, 8), (0, 0)]), Err(FormatError::Channel(channel(0, 0))));
        assert_eq!(colour(2, [(12, 5), (5, 6), (0, 5)]), Err(FormatError::Channel(channel(12, 5))));
        assert_eq!(colour(4, [(255, 255), (8, 8), (0, 8)]), Err(FormatError::Channel(channel(255, 255))));
        assert_eq!(colour(4, [(16, 8), (8, 9), (0, 8)]), Err(FormatError::Overlap));
    }
}
