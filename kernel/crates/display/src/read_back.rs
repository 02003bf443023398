//! Finds the text in a picture of a screen, for tests.

use alloc::vec::Vec;
use core::fmt;

use crate::font::{FIRST, GLYPH_HEIGHT, GLYPH_WIDTH, LAST, glyph};
use crate::geometry::TextArea;
use crate::grid::Cell;
use crate::ink::{BACKGROUND, Ink, Rgb};

/// A picture: pixels row by row.
#[derive(Debug)]
pub struct Picture<'a> {
    /// Pixels in a row.
    pub width: usize,
    /// The pixels.
    pub pixels: &'a [Rgb],
}

/// A place in a picture that a screen would not have drawn so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The picture is smaller than the text.
    Size,
    /// No character in any ink has exactly these pixels.
    Cell {
        /// Row of the text.
        row: usize,
        /// Column of the text.
        column: usize,
    },
    /// A pixel outside the text is not empty.
    Border {
        /// Column of the pixel.
        x: usize,
        /// Row of the pixel.
        y: usize,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size => f.write_str("the picture is smaller than the text"),
            Self::Cell { row, column } => {
                write!(f, "row {row}, column {column}: no character has these pixels")
            }
            Self::Border { x, y } => write!(f, "pixel {x}, {y} is outside the text and not empty"),
        }
    }
}

impl Picture<'_> {
    /// Returns the rows of the text. Every pixel of the picture must be exactly as a screen with that text draws it.
    ///
    /// # Errors
    /// The first place that is not.
    pub fn text(&self, area: TextArea) -> Result<Vec<Vec<Cell>>, Mismatch> {
        let TextArea { columns, rows, zoom } = area;
        let (cell_width, cell_height) = (GLYPH_WIDTH * zoom, GLYPH_HEIGHT * zoom);
        if self.width < columns * cell_width || self.pixels.len() < rows * cell_height * self.width {
            return Err(Mismatch::Size);
        }
        for (y, line) in self.pixels.chunks(self.width).enumerate() {
            let text_end = if y < rows * cell_height { columns * cell_width } else { 0 };
            if let Some(at) = line[text_end..].iter().position(|pixel| *pixel != BACKGROUND) {
                return Err(Mismatch::Border { x: text_end + at, y });
            }
        }
        let cell = |row, column| {
            let corner = row * cell_height * self.width + column * cell_width;
            self.cell(corner, zoom).ok_or(Mismatch::Cell { row, column })
        };
        (0..rows).map(|row| (0..columns).map(|column| cell(row, column)).collect()).collect()
    }

    /// Returns the character with its first pixel at index `corner`.
    fn cell(&self, corner: usize, zoom: usize) -> Option<Cell> {
        let is_drawn = |cell: &Cell| {
            (0..GLYPH_HEIGHT * zoom).all(|y| {
                let line = &self.pixels[corner + y * self.width..][..GLYPH_WIDTH * zoom];
                let intensities = &glyph(cell.character)[y / zoom * GLYPH_WIDTH..];
                line.iter().enumerate().all(|(x, pixel)| *pixel == cell.ink.shade(intensities[x / zoom]))
            })
        };
        let characters =
            Ink::ALL.into_iter().flat_map(|ink| (FIRST..=LAST).map(move |character| (ink, character)));
        characters.map(|(ink, character)| Cell { character, ink }).find(is_drawn)
    }
}
