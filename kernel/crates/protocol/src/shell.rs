//! What a program that drives the shell has to know.

/// What the shell shows when it waits for a command, at the start of a line.
pub const PROMPT: &str = "ktask> ";
