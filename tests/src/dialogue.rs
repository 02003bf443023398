//! Dialogues with the shell of a booted kernel, one command after the other.
//!
//! Each command waits for the prompt. Nothing sleeps: all waiting is for the kernel's output.

use ktask_boot::run::Console;
use protocol::shell::PROMPT;
use std::io::Write;
use std::process::ChildStdin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

/// The shell, as a user at a terminal sees it.
pub struct Dialogue {
    port: ChildStdin,
    output: Receiver<Vec<u8>>,
    screen: Screen,
    /// Number of finished lines that were read.
    done: usize,
}

/// The port's output as a terminal shows it.
#[derive(Default)]
struct Screen {
    /// Finished lines, without trailing spaces.
    lines: Vec<String>,
    /// The unfinished line, and the cursor's position in it.
    line: Vec<u8>,
    cursor: usize,
}

impl Screen {
    fn show(&mut self, byte: u8) {
        match byte {
            b'\r' => self.cursor = 0,
            b'\n' => {
                let line = String::from_utf8_lossy(&self.line);
                self.lines.push(line.trim_end().to_string());
                self.line.clear();
                self.cursor = 0;
            }
            0x08 => self.cursor = self.cursor.saturating_sub(1),
            _ => {
                match self.line.get_mut(self.cursor) {
                    Some(cell) => *cell = byte,
                    None => self.line.push(byte),
                }
                self.cursor += 1;
            }
        }
    }
}

/// Returns a console on which `talk` types, and a receiver of its result.
pub(crate) fn start(
    talk: impl FnOnce(&mut Dialogue) -> Result<(), String> + Send + 'static,
) -> (Console, Receiver<Result<(), String>>) {
    let (to_screen, output) = channel();
    let (sender, result) = channel();
    let left = Arc::new(AtomicBool::new(false));
    let wants_end = Arc::clone(&left);
    let input = move |port| {
        let mut dialogue = Dialogue { port, output, screen: Screen::default(), done: 0 };
        let outcome = dialogue.prompt().and_then(|_| talk(&mut dialogue));
        if outcome.is_err() {
            // The test has failed: end the run. Relaxed: the flag carries no data.
            wants_end.store(true, Ordering::Relaxed);
        }
        // Fails only if QEMU did not start.
        let _ = sender.send(outcome);
        // Keeps the port open while the kernel prints: closing it would end the kernel's input.
        while dialogue.output.recv().is_ok() {}
    };
    let output = move |bytes: &[u8]| {
        // Fails only if the dialogue is over.
        let _ = to_screen.send(bytes.to_vec());
    };
    (Console { output: Box::new(output), input: Box::new(input), left }, result)
}

impl Dialogue {
    /// Types `command`, and returns its output up to the next prompt.
    ///
    /// # Errors
    ///
    /// When the kernel ends before the prompt.
    pub fn run(&mut self, command: &str) -> Result<Vec<String>, String> {
        self.send(format!("{command}\r").as_bytes())?;
        self.answer(command)
    }

    /// Returns the output of the typed line `command`, up to the next prompt.
    ///
    /// # Errors
    ///
    /// When the kernel ends before the prompt.
    pub fn answer(&mut self, command: &str) -> Result<Vec<String>, String> {
        // Other output makes the shell redraw the unfinished line, so it may appear several times; it is finished once.
        self.wait_for(format!("{PROMPT}{command}").trim_end())?;
        self.prompt()
    }

    /// Like [`Dialogue::run`], for a command that must fail; returns its error message.
    ///
    /// # Errors
    ///
    /// When the command does not fail, or the kernel ends.
    pub fn fails(&mut self, command: &str) -> Result<String, String> {
        let lines = self.run(command)?;
        let error = lines.iter().find_map(|line| line.strip_prefix("error: "));
        error.map(str::to_string).ok_or(format!("`{command}` did not fail: {lines:#?}"))
    }

    /// Like [`Dialogue::run`], for a command that must not fail.
    ///
    /// # Errors
    ///
    /// When the command fails, or the kernel ends.
    pub fn works(&mut self, command: &str) -> Result<Vec<String>, String> {
        let lines = self.run(command)?;
        match lines.iter().any(|line| line.starts_with("error: ")) {
            true => Err(format!("`{command}` failed: {lines:#?}")),
            false => Ok(lines),
        }
    }

    /// Types the command that ends the kernel.
    ///
    /// # Errors
    ///
    /// When the port is closed.
    pub fn end(&mut self, command: &str) -> Result<(), String> {
        self.send(format!("{command}\r").as_bytes())
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// When the port is closed.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = self.port.write_all(bytes).and_then(|()| self.port.flush());
        sent.map_err(|error| format!("the serial port is closed: {error}"))
    }

    /// Waits for the line `wanted`; skips the lines before it.
    ///
    /// # Errors
    ///
    /// When the kernel ends before.
    pub fn wait_for(&mut self, wanted: &str) -> Result<(), String> {
        self.wait_for_line(wanted, |line| line == wanted)
    }

    /// Waits for a line that contains `part`, unless there was one before.
    ///
    /// # Errors
    ///
    /// When the kernel ends before.
    pub fn expect_part(&mut self, part: &str) -> Result<(), String> {
        match self.screen.lines[..self.done].iter().any(|line| line.contains(part)) {
            true => Ok(()),
            false => self.wait_for_line(part, |line| line.contains(part)),
        }
    }

    fn wait_for_line(&mut self, what: &str, is_wanted: impl Fn(&str) -> bool) -> Result<(), String> {
        loop {
            while let Some(line) = self.screen.lines.get(self.done) {
                self.done += 1;
                if is_wanted(line) {
                    return Ok(());
                }
            }
            self.receive(what)?;
        }
    }

    /// Waits for the line `wanted`, unless it came before, even inside the output of a command.
    ///
    /// # Errors
    ///
    /// When the kernel ends before.
    pub fn expect_line(&mut self, wanted: &str) -> Result<(), String> {
        match self.screen.lines[..self.done].iter().any(|line| line == wanted) {
            true => Ok(()),
            false => self.wait_for(wanted),
        }
    }

    /// Waits for an empty prompt, and returns the lines before it.
    fn prompt(&mut self) -> Result<Vec<String>, String> {
        while self.screen.line != PROMPT.as_bytes() {
            self.receive("a prompt")?;
        }
        let lines = self.screen.lines[self.done..].to_vec();
        self.done = self.screen.lines.len();
        Ok(lines)
    }

    /// Waits for more output.
    fn receive(&mut self, what_for: &str) -> Result<(), String> {
        let Ok(bytes) = self.output.recv() else {
            return Err(format!("the kernel ended before {what_for:?} came"));
        };
        bytes.into_iter().for_each(|byte| self.screen.show(byte));
        Ok(())
    }
}
