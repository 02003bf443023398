//! The shape of a framebuffer, and of the text on it.

use core::fmt;

use crate::font::{GLYPH_HEIGHT, GLYPH_WIDTH};
use crate::format::PixelFormat;

/// Most pixels in a row, and most rows.
pub const MOST_PIXELS: usize = 1 << 15;
/// Fewest columns and rows of text that are worth a screen.
const FEWEST_COLUMNS: usize = 20;
const FEWEST_ROWS: usize = 4;
/// Most columns and rows of text; the rest of the screen stays empty.
pub const MOST_COLUMNS: usize = 400;
/// See [`MOST_COLUMNS`].
pub const MOST_ROWS: usize = 200;
/// Columns and rows that remain when glyphs are enlarged: the widest table fits.
const ENLARGED_COLUMNS: usize = 128;
const ENLARGED_ROWS: usize = 40;

/// The shape of a framebuffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Pixels in a row.
    pub width: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Bytes from a row to the next.
    pub stride_bytes: usize,
    /// The format of the pixels.
    pub format: PixelFormat,
}

/// Why a framebuffer cannot be a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeometryError {
    /// Too small for text, or too large to be true.
    Size {
        /// Pixels in a row.
        width: usize,
        /// Rows of pixels.
        height: usize,
    },
    /// A row is longer than the distance to the next.
    Stride {
        /// Bytes of a row.
        row_bytes: usize,
        /// Bytes from a row to the next.
        stride_bytes: usize,
    },
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { width, height } => {
                let (fewest_x, fewest_y) = (FEWEST_COLUMNS * GLYPH_WIDTH, FEWEST_ROWS * GLYPH_HEIGHT);
                write!(
                    f,
                    "{width} by {height} pixels, not {fewest_x} by {fewest_y} to {MOST_PIXELS} by {MOST_PIXELS}"
                )
            }
            Self::Stride { row_bytes, stride_bytes } => {
                write!(f, "a row has {row_bytes} bytes, but the next row begins after {stride_bytes}")
            }
        }
    }
}

/// The text on a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextArea {
    /// Characters in a row.
    pub columns: usize,
    /// Rows of text.
    pub rows: usize,
    /// Pixels for each pixel of a glyph, in both directions.
    pub zoom: usize,
}

impl Geometry {
    /// Returns the text that fits, with the largest glyphs that leave room for tables.
    ///
    /// # Errors
    /// When the sizes contradict each other, are too small for text or too large to be true.
    pub fn text_area(&self) -> Result<TextArea, GeometryError> {
        let Self { width, height, stride_bytes, format } = *self;
        let row_bytes = width.saturating_mul(format.bytes());
        if row_bytes > stride_bytes {
            return Err(GeometryError::Stride { row_bytes, stride_bytes });
        }
        let (columns, rows) = (width / GLYPH_WIDTH, height / GLYPH_HEIGHT);
        let is_sane = columns >= FEWEST_COLUMNS
            && rows >= FEWEST_ROWS
            && width.max(height) <= MOST_PIXELS
            && stride_bytes <= MOST_PIXELS * 8;
        if !is_sane {
            return Err(GeometryError::Size { width, height });
        }
        let zoom = (columns / ENLARGED_COLUMNS).min(rows / ENLARGED_ROWS).max(1);
        Ok(TextArea { columns: (columns / zoom).min(MOST_COLUMNS), rows: (rows / zoom).min(MOST_ROWS), zoom })
    }

    /// Returns the size of the framebuffer: up to the end of its last pixel, in bytes.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.height.saturating_sub(1) * self.stride_bytes + self.width * self.format.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Channels;

    fn area(width: usize, height: usize) -> Result<TextArea, GeometryError> {
        let format = PixelFormat::new(1, Channels::Grey).unwrap();
        Geometry { width, height, stride_bytes: width, format }.text_area()
    }

    #[test]
    fn tables_fit_on_usual_screens() {
        // The widest table, that of the timing run, has 106 columns.
        for (size, columns, rows, zoom) in [
            ((800, 600), 114, 37, 1),
            ((1024, 768), 146, 48, 1),
            ((1280, 1024), 182, 64, 1),
            ((1920, 1080), 274, 67, 1),
            ((2560, 1440), 182, 45, 2),
            ((3840, 2160), 182, 45, 3),
            ((7680, 4320), 182, 45, 6),
        ] {
            assert_eq!(area(size.0, size.1), Ok(TextArea { columns, rows, zoom }), "{size:?}");
        }
    }

    #[test]
    fn odd_sizes_are_refused() {
        for (width, height) in [(0, 0), (0, 768), (1024, 0), (1, 1), (139, 768), (1024, 63), (32769, 768)] {
            assert_eq!(area(width, height), Err(GeometryError::Size { width, height }));
        }
        assert_eq!(area(140, 64), Ok(TextArea { columns: 20, rows: 4, zoom: 1 }));
        let format = PixelFormat::new(4, Channels::Grey).unwrap();
        let geometry = Geometry { width: 1024, height: 768, stride_bytes: 4095, format };
        assert_eq!(geometry.text_area(), Err(GeometryError::Stride { row_bytes: 4096, stride_bytes: 4095 }));
    }
}
