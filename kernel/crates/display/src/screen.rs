//! Draws a grid into a framebuffer, in small steps.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use core::fmt;

use crate::font::{GLYPH_HEIGHT, GLYPH_WIDTH, glyph};
use crate::geometry::{Geometry, GeometryError, TextArea};
use crate::grid::{Cell, Grid, blank_cells};
use crate::ink::{BACKGROUND, Ink};

/// Access to a framebuffer, write-only.
pub trait Pixels {
    /// Writes bytes at `offset` from the framebuffer's start. [`Screen`] never writes outside its geometry's rows.
    fn write(&mut self, offset: usize, bytes: &[u8]);
}

/// Pixels that one step draws at most, unless a single character has more. A step is short enough to keep interrupts off.
const STEP_PIXELS: usize = 8192;
/// Bytes that a write has at most.
const SPAN_BYTES: usize = 2048;

/// A cell that differs from every cell of a grid.
const HALF_DRAWN: Cell = Cell { character: 0, ink: Ink::Text };

/// Why a screen cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScreenError {
    /// The framebuffer's shape.
    Geometry(GeometryError),
    /// No memory for the text.
    Memory(TryReserveError),
}

impl fmt::Display for ScreenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Geometry(error) => error.fmt(f),
            Self::Memory(_) => f.write_str("there is no memory for the text"),
        }
    }
}

impl From<GeometryError> for ScreenError {
    fn from(error: GeometryError) -> Self {
        Self::Geometry(error)
    }
}

impl From<TryReserveError> for ScreenError {
    fn from(error: TryReserveError) -> Self {
        Self::Memory(error)
    }
}

/// Pixels by intensity, for each ink.
type Palette = [[u32; 256]; Ink::ALL.len()];

/// Text on a framebuffer.
///
/// A CPU may be stopped for good while it draws. The next step then draws its characters again.
#[derive(Debug)]
pub struct Screen {
    geometry: Geometry,
    area: TextArea,
    grid: Grid,
    /// What the framebuffer shows, from the top row on.
    shown: Vec<Cell>,
    /// Rows of pixels that are emptied so far, from the top. Below them is the loader's picture.
    cleared_rows: usize,
    /// The row at which the search for differences continues; past the last if there are none.
    row: usize,
    /// One row of pixels of the characters being drawn.
    span: [u8; SPAN_BYTES],
    palette: Palette,
}

impl Screen {
    /// Returns a screen without text, which draws nothing before the first [`step`](Self::step).
    ///
    /// # Errors
    /// When the framebuffer's shape is unusable, or there is no memory for the text.
    pub fn new(geometry: Geometry) -> Result<Self, ScreenError> {
        let area = geometry.text_area()?;
        let mut palette = [[0; 256]; Ink::ALL.len()];
        for ink in Ink::ALL {
            for (intensity, pixel) in (0..=u8::MAX).zip(&mut palette[ink as usize]) {
                *pixel = geometry.format.encode(ink.shade(intensity));
            }
        }
        Ok(Self {
            geometry,
            area,
            grid: Grid::new(area)?,
            shown: blank_cells(area.columns * area.rows)?,
            cleared_rows: 0,
            row: 0,
            span: [0; SPAN_BYTES],
            palette,
        })
    }

    /// Returns the size of the text.
    #[must_use]
    pub const fn area(&self) -> TextArea {
        self.area
    }

    /// Adds text from a [`Backlog`](crate::backlog::Backlog); draws nothing.
    pub fn put(&mut self, text: &[u8]) {
        self.grid.put(text);
        self.row = 0;
    }

    /// Draws a part of what differs. Returns whether anything is left to draw.
    pub fn step(&mut self, pixels: &mut impl Pixels) -> bool {
        if self.cleared_rows < self.geometry.height {
            self.clear_rows(pixels);
            return true;
        }
        while self.row < self.area.rows {
            if self.draw_in_row(self.row, pixels) {
                return true;
            }
            self.row += 1;
        }
        false
    }

    /// Empties the next rows of the framebuffer.
    fn clear_rows(&mut self, pixels: &mut impl Pixels) {
        let Geometry { width, height, stride_bytes, format } = self.geometry;
        let pixel = format.encode(BACKGROUND);
        let bytes = format.bytes();
        let whole = SPAN_BYTES / bytes;
        self.span[..whole * bytes]
            .chunks_exact_mut(bytes)
            .for_each(|slot| slot.copy_from_slice(&pixel.to_le_bytes()[..bytes]));
        for _ in 0..(STEP_PIXELS / width).max(1) {
            if self.cleared_rows == height {
                return;
            }
            for start in (0..width).step_by(whole) {
                let count = whole.min(width - start);
                let offset = self.cleared_rows * stride_bytes + start * bytes;
                pixels.write(offset, &self.span[..count * bytes]);
            }
            self.cleared_rows += 1;
        }
    }

    /// Draws the first characters of a row that differ and are adjacent. Returns false if none differs.
    fn draw_in_row(&mut self, row: usize, pixels: &mut impl Pixels) -> bool {
        let TextArea { columns, zoom, .. } = self.area;
        let most_of_step = STEP_PIXELS / (GLYPH_WIDTH * GLYPH_HEIGHT * zoom * zoom);
        let most_of_span = SPAN_BYTES / (GLYPH_WIDTH * zoom * self.geometry.format.bytes());
        let most = most_of_step.min(most_of_span).max(1);
        let shown = &self.shown[row * columns..(row + 1) * columns];
        let wanted = self.grid.row(row);
        let differs = |column: &usize| shown[*column] != wanted[*column];
        let Some(first) = (0..columns).find(differs) else { return false };
        let count = (first..columns).take(most).take_while(differs).count();
        let place = row * columns + first..row * columns + first + count;
        // A CPU that is stopped from here on leaves characters that are drawn again, whatever they become.
        self.shown[place.clone()].fill(HALF_DRAWN);
        for line in 0..GLYPH_HEIGHT {
            self.draw_line(row, first, count, line, pixels);
        }
        self.shown[place].copy_from_slice(&self.grid.row(row)[first..first + count]);
        true
    }

    /// Draws one row of pixels of `count` glyphs, as often as they are enlarged.
    fn draw_line(&mut self, row: usize, first: usize, count: usize, line: usize, pixels: &mut impl Pixels) {
        let Geometry { stride_bytes, format, .. } = self.geometry;
        let (zoom, bytes) = (self.area.zoom, format.bytes());
        let cells = &self.grid.row(row)[first..first + count];
        let palette = &self.palette;
        // A pixel's size that is known at compile time makes a store of it.
        match bytes {
            1 => fill::<1>(&mut self.span, cells, line, zoom, palette),
            2 => fill::<2>(&mut self.span, cells, line, zoom, palette),
            3 => fill::<3>(&mut self.span, cells, line, zoom, palette),
            _ => fill::<4>(&mut self.span, cells, line, zoom, palette),
        }
        let len = count * GLYPH_WIDTH * zoom * bytes;
        let y = (row * GLYPH_HEIGHT + line) * zoom;
        let x = first * GLYPH_WIDTH * zoom;
        for repeat in 0..zoom {
            pixels.write((y + repeat) * stride_bytes + x * bytes, &self.span[..len]);
        }
    }
}

/// Writes one row of pixels of the glyphs of `cells` to `span`, each pixel `zoom` times.
fn fill<const BYTES: usize>(span: &mut [u8], cells: &[Cell], line: usize, zoom: usize, palette: &Palette) {
    let mut slots = span.as_chunks_mut::<BYTES>().0.chunks_exact_mut(zoom);
    for cell in cells {
        let palette = &palette[cell.ink as usize];
        let intensities = &glyph(cell.character)[line * GLYPH_WIDTH..][..GLYPH_WIDTH];
        for (intensity, slots) in intensities.iter().zip(&mut slots) {
            let pixel = palette[usize::from(*intensity)].to_le_bytes();
            slots.fill(core::array::from_fn(|byte| pixel[byte]));
        }
    }
}
