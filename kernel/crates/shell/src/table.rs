//! Tables with aligned columns.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{Display, Write};

/// Spaces between two columns.
const GAP: usize = 2;

/// Rows of text under headings. A column whose heading ends with `>` is aligned to the right, as numbers are.
#[derive(Debug)]
pub struct Table<const COLUMNS: usize> {
    headings: [&'static str; COLUMNS],
    is_right: [bool; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// Returns a table without rows.
    #[must_use]
    pub fn new(headings: [&'static str; COLUMNS]) -> Self {
        Self {
            headings: headings.map(|heading| heading.strip_suffix('>').unwrap_or(heading)),
            is_right: headings.map(|heading| heading.ends_with('>')),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [&dyn Display; COLUMNS]) {
        self.rows.push(cells.map(|cell| alloc::format!("{cell}")));
    }

    /// Returns whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Calls `print` with each line, the headings first.
    pub fn print(&self, mut print: impl FnMut(&str)) {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.headings[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: [usize; COLUMNS] = core::array::from_fn(width);
        print(&self.line(&widths, &self.headings));
        for row in &self.rows {
            print(&self.line(&widths, row));
        }
    }

    fn line(&self, widths: &[usize; COLUMNS], cells: &[impl AsRef<str>; COLUMNS]) -> String {
        let mut line = String::new();
        for (column, (cell, &width)) in cells.iter().zip(widths).enumerate() {
            let gap = if column > 0 { GAP } else { 0 };
            let cell = cell.as_ref();
            // Writing to a string cannot fail.
            let _ = match self.is_right[column] {
                true => write!(line, "{:gap$}{cell:>width$}", ""),
                false => write!(line, "{:gap$}{cell:<width$}", ""),
            };
        }
        line.truncate(line.trim_end().len());
        line
    }
}
