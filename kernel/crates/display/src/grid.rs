//! The characters of a screen, in RAM.

use alloc::collections::TryReserveError;
use alloc::vec::Vec;

use crate::backlog::ink_of;
use crate::font::{FIRST, LAST, REPLACEMENT};
use crate::geometry::TextArea;
use crate::ink::Ink;

const TAB_COLUMNS: usize = 8;

/// A character and its ink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// A printable ASCII character.
    pub character: u8,
    /// Its colours.
    pub ink: Ink,
}

impl Cell {
    /// A cell without text.
    pub const BLANK: Self = Self { character: b' ', ink: Ink::Text };
}

/// Returns `count` blank cells.
pub(crate) fn blank_cells(count: usize) -> Result<Vec<Cell>, TryReserveError> {
    let mut cells = Vec::new();
    cells.try_reserve_exact(count)?;
    cells.resize(count, Cell::BLANK);
    Ok(cells)
}

/// Rows of text. The newest is the lowest row; scrolling moves no cell.
#[derive(Debug)]
pub struct Grid {
    /// Rows in a ring: the top row is row `top`.
    cells: Vec<Cell>,
    columns: usize,
    rows: usize,
    top: usize,
    /// Where the next character goes. The column may be one past the last.
    row: usize,
    column: usize,
    ink: Ink,
    /// Whether the next character begins a new row. So the last line is at the bottom, not an empty row.
    is_line_ended: bool,
}

impl Grid {
    /// Returns an empty grid.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(area: TextArea) -> Result<Self, TryReserveError> {
        let TextArea { columns, rows, .. } = area;
        let cells = blank_cells(columns * rows)?;
        Ok(Self { cells, columns, rows, top: 0, row: 0, column: 0, ink: Ink::Text, is_line_ended: false })
    }

    /// Adds text from a [`Backlog`](crate::backlog::Backlog). Lines that are longer than a row continue in the next.
    pub fn put(&mut self, text: &[u8]) {
        for byte in text {
            self.put_byte(*byte);
        }
    }

    fn put_byte(&mut self, byte: u8) {
        if let Some(ink) = ink_of(byte) {
            self.ink = ink;
            return;
        }
        // The bytes of a UTF-8 character after its first.
        if matches!(byte, 0x80..=0xbf) {
            return;
        }
        if core::mem::take(&mut self.is_line_ended) {
            self.begin_row();
        }
        match byte {
            b'\n' => self.is_line_ended = true,
            b'\r' => {}
            b'\t' => {
                let next = (self.column / TAB_COLUMNS + 1) * TAB_COLUMNS;
                (self.column..next.min(self.columns)).for_each(|_| self.put_character(b' '));
            }
            FIRST..=LAST => self.put_character(byte),
            _ => self.put_character(REPLACEMENT),
        }
    }

    fn put_character(&mut self, character: u8) {
        if self.column >= self.columns {
            self.begin_row();
        }
        let (index, ink) = (self.index(self.row, self.column), self.ink);
        self.cells[index] = Cell { character, ink };
        self.column += 1;
    }

    fn begin_row(&mut self) {
        self.column = 0;
        if self.row + 1 < self.rows {
            self.row += 1;
            return;
        }
        // The oldest row becomes the lowest.
        self.top = (self.top + 1) % self.rows;
        let start = self.index(self.row, 0);
        self.cells[start..start + self.columns].fill(Cell::BLANK);
    }

    /// Returns a row's cells; row 0 is the top.
    #[must_use]
    pub fn row(&self, row: usize) -> &[Cell] {
        let start = self.index(row, 0);
        &self.cells[start..start + self.columns]
    }

    fn index(&self, row: usize, column: usize) -> usize {
        (self.top + row) % self.rows * self.columns + column
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::{String, ToString};
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn grid(columns: usize, rows: usize) -> Grid {
        Grid::new(TextArea { columns, rows, zoom: 1 }).unwrap()
    }

    fn text(grid: &Grid) -> Vec<String> {
        let row = |row| grid.row(row).iter().map(|cell| char::from(cell.character)).collect::<String>();
        (0..grid.rows).map(|number| row(number).trim_end().to_string()).collect()
    }

    #[test]
    fn rows_scroll_when_a_line_needs_one() {
        let mut grid = grid(5, 3);
        grid.put(b"a\nb\nc\n");
        assert_eq!(text(&grid), ["a", "b", "c"]);
        grid.put(b"d\n");
        assert_eq!(text(&grid), ["b", "c", "d"]);
        grid.put(b"\n\n");
        assert_eq!(text(&grid), ["d", "", ""]);
    }

    #[test]
    fn long_lines_continue_in_the_next_row() {
        let mut grid = grid(5, 3);
        grid.put(b"12345\n6789012\n");
        assert_eq!(text(&grid), ["12345", "67890", "12"]);
    }

    #[test]
    fn characters_without_a_glyph_are_replaced() {
        let mut grid = grid(16, 2);
        grid.put("a\tb\u{e9}\u{1f600}\x1b\r\x7f".as_bytes());
        assert_eq!(text(&grid), ["a       b????", ""]);
    }

    #[test]
    fn marks_select_inks() {
        let mut grid = grid(4, 2);
        grid.put(&[0x12, b'a', 0x10, b'b', b'\n']);
        let inks: Vec<_> = grid.row(0)[..3].iter().map(|cell| cell.ink).collect();
        assert_eq!(inks, [Ink::Report, Ink::Text, Ink::Text]);
    }

    proptest! {
        /// Against a list of rows of which the last are shown.
        #[test]
        fn shows_the_last_rows(lines in prop::collection::vec("[!-~]{0,17}", 0..12), columns in 1..9usize, rows in 1..6usize) {
            let mut grid = grid(columns, rows);
            let mut model: Vec<String> = Vec::new();
            for line in &lines {
                grid.put(line.as_bytes());
                grid.put(b"\n");
                if line.is_empty() {
                    model.push(String::new());
                }
                for part in line.as_bytes().chunks(columns) {
                    model.push(String::from_utf8_lossy(part).into_owned());
                }
            }
            let mut shown: Vec<_> = model[model.len().saturating_sub(rows)..].to_vec();
            shown.resize(rows, String::new());
            prop_assert_eq!(text(&grid), shown);
        }
    }
}
