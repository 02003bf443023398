//! What a program needs to know to drive the shell.

/// Prompt of the shell, at the start of a line, when it waits for a command.
pub const PROMPT: &str = "ktask> ";
