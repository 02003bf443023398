//! The screen memory that a loader describes.
//!
//! A loader may name a screen of width 0, lines that overlap, or an address in the kernel's own memory.
//! [`Framebuffer::check`] accepts only what a driver can write to without doubt.

use core::fmt;
use core::ops::Range;

use crate::memmap::{Kind, MemoryMap};
use crate::reach::CHIPSET;

/// Most pixels in a line, and most lines.
pub const MAX_SIDE: u32 = 16384;
/// End of the physical addresses of the x86_64 architecture.
const PHYS_END: u64 = 1 << 52;

/// Place of one colour in a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Number of its lowest bit, counted from the lowest bit of the pixel's first byte.
    pub shift: u8,
    /// Number of its bits: 1 to 8.
    pub bits: u8,
}

impl Channel {
    /// Returns the bits of the channel in a pixel.
    #[must_use]
    pub const fn mask(self) -> u32 {
        (((1_u64 << self.bits) - 1) << self.shift) as u32
    }

    /// Returns `value` (0 to 255) as bits of the pixel.
    #[must_use]
    pub const fn encode(self, value: u8) -> u32 {
        (value as u32 >> (8 - self.bits)) << self.shift
    }

    /// Whether the channel has 1 to 8 bits, all of them inside a pixel of `pixel_bits`.
    const fn fits(self, pixel_bits: u32) -> bool {
        matches!(self.bits, 1..=8) && self.shift as u32 + self.bits as u32 <= pixel_bits
    }
}

/// The colours of a pixel, which is a little-endian number of as many bytes as a pixel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelFormat {
    /// Place of red.
    pub red: Channel,
    /// Place of green.
    pub green: Channel,
    /// Place of blue.
    pub blue: Channel,
}

impl PixelFormat {
    /// First byte red, then green, then blue.
    pub const RGB: Self = Self::of_bytes(0, 8, 16);
    /// First byte blue, then green, then red: the usual one on PCs.
    pub const BGR: Self = Self::of_bytes(16, 8, 0);

    /// Returns the format of three channels of eight bits, at these bits of a pixel.
    #[must_use]
    pub const fn of_bytes(red: u8, green: u8, blue: u8) -> Self {
        const fn channel(shift: u8) -> Channel {
            Channel { shift, bits: 8 }
        }
        Self { red: channel(red), green: channel(green), blue: channel(blue) }
    }

    /// Returns the pixel of a colour. Each part is 0 to 255.
    #[must_use]
    pub const fn encode(self, red: u8, green: u8, blue: u8) -> u32 {
        self.red.encode(red) | self.green.encode(green) | self.blue.encode(blue)
    }

    fn channels(self) -> [Channel; 3] {
        [self.red, self.green, self.blue]
    }
}

/// Linear screen memory: line after line, pixel after pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framebuffer {
    /// Physical address of the first pixel.
    pub address: u64,
    /// Pixels in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Bytes from the start of a line to the start of the next.
    pub stride_bytes: u32,
    /// Bytes of a pixel: 2, 3 or 4.
    pub bytes_per_pixel: u8,
    /// The colours of a pixel.
    pub format: PixelFormat,
}

/// Error: a screen cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The loader gives text mode or a palette, or a format of which nothing is known.
    UnknownFormat,
    /// The loader's address is not mapped, so its physical address is not known.
    Unmapped {
        /// The virtual address.
        virt: u64,
    },
    /// A side is 0 or too long.
    Size {
        /// Pixels in a line.
        width: u32,
        /// Lines.
        height: u32,
    },
    /// A pixel has another number of bytes than 2, 3 or 4.
    PixelBytes(u8),
    /// A line is longer than the step to the next.
    Stride {
        /// Bytes from line to line.
        stride_bytes: u32,
        /// Bytes of a line.
        line_bytes: u64,
    },
    /// The colours of a pixel overlap, or lie outside of it.
    Channels(PixelFormat),
    /// The memory is at address 0, or ends above the physical addresses.
    Address(u64),
    /// The screen covers registers of the chipset, of which maps need not tell.
    Registers(u64),
    /// The map lists memory of another purpose where the screen's should be.
    Taken(u64),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFormat => write!(f, "its pixels have no red, green and blue of their own"),
            Self::Unmapped { virt } => write!(f, "its address {virt:#x} is not mapped"),
            Self::Size { width, height } => {
                write!(f, "{width} x {height} pixels; sides should be 1 to {MAX_SIDE}")
            }
            Self::PixelBytes(bytes) => write!(f, "{bytes} bytes in a pixel; should be 2, 3 or 4"),
            Self::Stride { stride_bytes, line_bytes } => {
                write!(f, "{stride_bytes} bytes from line to line; should be {line_bytes} or more")
            }
            Self::Channels(PixelFormat { red, green, blue }) => write!(
                f,
                "colours at bits {}+{}, {}+{} and {}+{} overlap or are outside of a pixel",
                red.shift, red.bits, green.shift, green.bits, blue.shift, blue.bits
            ),
            Self::Address(address) => write!(f, "physical address {address:#x} cannot be"),
            Self::Registers(address) => {
                write!(f, "physical address {address:#x} is where the chipset has its registers")
            }
            Self::Taken(address) => write!(f, "physical address {address:#x} is other memory by the map"),
        }
    }
}

impl core::error::Error for Problem {}

impl Framebuffer {
    /// Returns the bytes from the first pixel to the end of the last line, whole lines.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        u64::from(self.stride_bytes) * u64::from(self.height)
    }

    /// Returns the physical memory of the screen; empty for one that ends above 2^64.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.address..self.address.checked_add(self.len_bytes()).unwrap_or(self.address)
    }

    /// Returns the screen if a driver can write to it: its description is consistent, and the map lists no memory of another
    /// purpose there.
    ///
    /// # Errors
    /// The first problem.
    pub fn check(self, map: &MemoryMap) -> Result<Self, Problem> {
        let Self { address, width, height, stride_bytes, bytes_per_pixel, format } = self;
        let is_side = |pixels| (1..=MAX_SIDE).contains(&pixels);
        if !is_side(width) || !is_side(height) {
            return Err(Problem::Size { width, height });
        }
        if !matches!(bytes_per_pixel, 2..=4) {
            return Err(Problem::PixelBytes(bytes_per_pixel));
        }
        let line_bytes = u64::from(width) * u64::from(bytes_per_pixel);
        if u64::from(stride_bytes) < line_bytes {
            return Err(Problem::Stride { stride_bytes, line_bytes });
        }
        let pixel_bits = u32::from(bytes_per_pixel) * 8;
        let fit = format.channels().into_iter().all(|channel| channel.fits(pixel_bits));
        let overlap = || {
            let [a, b, c] = format.channels().map(Channel::mask);
            a & b | a & c | b & c
        };
        if !fit || overlap() != 0 {
            return Err(Problem::Channels(format));
        }
        let range = self.range();
        if address == 0 || range.is_empty() || range.end > PHYS_END {
            return Err(Problem::Address(address));
        }
        if range.start < CHIPSET.end && CHIPSET.start < range.end {
            return Err(Problem::Registers(address));
        }
        // Maps list screens as reserved or not at all.
        let meets = map
            .regions()
            .iter()
            .filter(|region| region.kind != Kind::Reserved)
            .any(|region| region.start < range.end && range.start < region.end);
        if meets { Err(Problem::Taken(address)) } else { Ok(self) }
    }
}
