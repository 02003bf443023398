//! Talking with the shell of a booted kernel, one command after the other.
//!
//! Nothing is sent before the prompt that it answers, and nothing waits for time to pass: what the kernel says is
//! what things wait for.

use ktask_boot::run::Console;
use protocol::shell::PROMPT;
use std::io::Write;
use std::process::ChildStdin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

/// The shell, as one who types sees it.
pub struct Dialogue {
    port: ChildStdin,
    output: Receiver<Vec<u8>>,
    screen: Screen,
    /// How many of the screen's finished lines are dealt with.
    done: usize,
}

/// What a terminal makes of the port's bytes.
#[derive(Default)]
struct Screen {
    /// Finished lines, without spaces at their ends.
    lines: Vec<String>,
    /// The one that is not finished, and where in it the cursor is.
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

/// A console on which `talk` types, and what becomes of it.
pub(crate) fn start(
    talk: impl FnOnce(&mut Dialogue) -> Result<(), String> + Send + 'static,
) -> (Console, Receiver<Result<(), String>>) {
    let (heard, output) = channel();
    let (tell, talked) = channel();
    let left = Arc::new(AtomicBool::new(false));
    let wants_end = Arc::clone(&left);
    let input = move |port| {
        let mut dialogue = Dialogue { port, output, screen: Screen::default(), done: 0 };
        let result = dialogue.prompt().and_then(|_| talk(&mut dialogue));
        if result.is_err() {
            // There is nothing more to learn. Relaxed: the flag carries no data.
            wants_end.store(true, Ordering::Relaxed);
        }
        // Who waits for it has gone only when QEMU did not start.
        let _ = tell.send(result);
        // The port stays open for as long as the kernel talks: its end would be the input's.
        while dialogue.output.recv().is_ok() {}
    };
    let output = move |bytes: &[u8]| {
        // The dialogue may be over already.
        let _ = heard.send(bytes.to_vec());
    };
    (Console { output: Box::new(output), input: Box::new(input), left }, talked)
}

impl Dialogue {
    /// Types `command`, and returns the lines that it prints up to the next prompt.
    ///
    /// # Errors
    ///
    /// When the kernel ends meanwhile.
    pub fn run(&mut self, command: &str) -> Result<Vec<String>, String> {
        self.send(format!("{command}\r").as_bytes())?;
        self.answer(command)
    }

    /// The lines that come after the line `command` was typed, up to the next prompt.
    ///
    /// # Errors
    ///
    /// When the kernel ends meanwhile.
    pub fn answer(&mut self, command: &str) -> Result<Vec<String>, String> {
        // What else is said meanwhile has the unfinished line shown anew; only once is it finished.
        self.wait_for(format!("{PROMPT}{command}").trim_end())?;
        self.prompt()
    }

    /// As [`Dialogue::run`], for a command that has to fail: what it says.
    ///
    /// # Errors
    ///
    /// When it does not, or the kernel ends.
    pub fn fails(&mut self, command: &str) -> Result<String, String> {
        let lines = self.run(command)?;
        let error = lines.iter().find_map(|line| line.strip_prefix("error: "));
        error.map(str::to_string).ok_or(format!("`{command}` did not fail: {lines:#?}"))
    }

    /// As [`Dialogue::run`], for a command that must not fail.
    ///
    /// # Errors
    ///
    /// When it does, or the kernel ends.
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
    /// When it cannot be typed.
    pub fn end(&mut self, command: &str) -> Result<(), String> {
        self.send(format!("{command}\r").as_bytes())
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// When nobody takes them.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = self.port.write_all(bytes).and_then(|()| self.port.flush());
        sent.map_err(|error| format!("the serial port takes nothing any more: {error}"))
    }

    /// Waits for the line `wanted`; what comes before it is skipped.
    ///
    /// # Errors
    ///
    /// When the kernel ends before.
    pub fn wait_for(&mut self, wanted: &str) -> Result<(), String> {
        self.wait_for_line(wanted, |line| line == wanted)
    }

    /// Waits for a line that holds `part`, which may have come at any time so far.
    ///
    /// # Errors
    ///
    /// When the kernel ends before.
    pub fn hears_part(&mut self, part: &str) -> Result<(), String> {
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
            self.hear(what)?;
        }
    }

    /// Waits for the line `wanted`, which may have come at any time so far, between the lines of answers too.
    ///
    /// # Errors
    ///
    /// When the kernel ends before.
    pub fn hears(&mut self, wanted: &str) -> Result<(), String> {
        match self.screen.lines[..self.done].iter().any(|line| line == wanted) {
            true => Ok(()),
            false => self.wait_for(wanted),
        }
    }

    /// Waits for a prompt with nothing behind it, and returns the lines that came before it.
    fn prompt(&mut self) -> Result<Vec<String>, String> {
        while self.screen.line != PROMPT.as_bytes() {
            self.hear("a prompt")?;
        }
        let lines = self.screen.lines[self.done..].to_vec();
        self.done = self.screen.lines.len();
        Ok(lines)
    }

    /// Waits for more.
    fn hear(&mut self, what_for: &str) -> Result<(), String> {
        let Ok(bytes) = self.output.recv() else {
            return Err(format!("the kernel ended before {what_for:?} came"));
        };
        bytes.into_iter().for_each(|byte| self.screen.show(byte));
        Ok(())
    }
}
