//! Progress of cargo, in one line.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Runs cargo, which builds `what`, and returns whether it succeeded.
pub(super) fn run(command: &mut Command, what: &str) -> io::Result<bool> {
    command.stdin(Stdio::null()).stdout(io::stderr());
    if !io::stderr().is_terminal() {
        return Ok(command.status()?.success());
    }
    let mut child = command.stderr(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stderr.take().expect("standard error was just piped"));
    let bar = ProgressBar::new_spinner();
    bar.set_style(
        ProgressStyle::with_template("{spinner} {prefix} ({elapsed}) {wide_msg}")
            .expect("the template is constant and valid"),
    );
    bar.set_prefix(what.to_string());
    bar.enable_steady_tick(Duration::from_millis(120));
    let mut messages = Vec::new();
    for line in lines.lines().map_while(Result::ok) {
        match is_step(&line) {
            true => bar.set_message(line.trim().to_string()),
            false => messages.push(line),
        }
    }
    let success = child.wait()?.success();
    bar.finish_and_clear();
    for line in messages {
        eprintln!("{line}");
    }
    Ok(success)
}

/// Returns whether a line of cargo names a step rather than a message.
fn is_step(line: &str) -> bool {
    const STEPS: [&str; 11] = [
        "Compiling",
        "Checking",
        "Finished",
        "Fresh",
        "Downloading",
        "Downloaded",
        "Updating",
        "Locking",
        "Adding",
        "Blocking",
        "Building",
    ];
    line.split_whitespace().next().is_some_and(|word| STEPS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::is_step;

    #[test]
    fn steps_differ_from_messages() {
        assert!(is_step("   Compiling core v0.0.0 (/usr/lib/rustlib)"));
        assert!(is_step("    Finished `kernel` profile [optimized] target(s) in 1.2s"));
        assert!(!is_step("error[E0425]: cannot find value `x`"));
        assert!(!is_step("warning: unused variable"));
        assert!(!is_step("  --> kernel/src/main.rs:1:1"));
        assert!(!is_step(""));
    }
}
