//! What commands return and print.

use alloc::string::String;

use shell::table::Table;

use crate::console::print_line;

/// The result of a command; the error is a message for people.
pub type Outcome = Result<(), String>;

/// Prints a table.
pub fn print_table<const COLUMNS: usize>(table: &Table<COLUMNS>) {
    table.print(|line| print_line(format_args!("{line}")));
}

/// Nanoseconds, printed as milliseconds with three decimals.
pub struct Millis(pub u64);

impl core::fmt::Display for Millis {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000_000, self.0 / 1000 % 1000)
    }
}
