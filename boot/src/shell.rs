//! The shell: connects the user's terminal with the guest's first serial port.

use crate::run::Console;
use nix::sys::termios::{LocalFlags, OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use protocol::shell::PROMPT;
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::process::ChildStdin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Explanation of the escape keys, for the user.
pub const ESCAPE_HELP: &str = "Ctrl-A x ends the machine at once; Ctrl-A Ctrl-A sends a Ctrl-A";

/// Ctrl-A, as in QEMU's own terminal.
const ESCAPE: u8 = 0x01;
/// Ctrl-D: no more input.
const END_OF_INPUT: u8 = 0x04;

/// Connects standard input and output with the guest's first serial port.
///
/// Input is sent only after the shell's first prompt: the guest would lose it while it sets its port up.
pub fn console() -> Console {
    let left = Arc::new(AtomicBool::new(false));
    let (ready, is_ready) = channel();
    let (typed, to_send) = channel();
    let has_escape_keys = std::io::stdin().is_terminal();
    let wants_end = Arc::clone(&left);
    std::thread::spawn(move || read(std::io::stdin(), has_escape_keys, &typed, &wants_end));
    let mut screen = Screen::new(std::io::stdout(), !std::io::stdout().is_terminal(), ready);
    Console {
        output: Box::new(move |bytes| screen.take(bytes)),
        input: Box::new(move |port| forward(port, &is_ready, &to_send)),
        left,
    }
}

/// Reads input until its end, or until the user quits.
fn read(mut input: impl Read, has_escape_keys: bool, typed: &Sender<Vec<u8>>, wants_end: &AtomicBool) {
    let mut keys = Keys { is_escaped: false, has_escape_keys };
    let mut buffer = [0; 4096];
    let mut last = b'\n';
    loop {
        let bytes = match input.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => &buffer[..count],
        };
        let Some(for_guest) = keys.take(bytes) else {
            // Relaxed: the flag carries no data, like every flag that ends a run.
            return wants_end.store(true, Ordering::Relaxed);
        };
        last = *for_guest.last().unwrap_or(&last);
        if typed.send(for_guest).is_err() {
            return;
        }
    }
    // Completes an unfinished last line.
    let end: &[u8] = if matches!(last, b'\n' | b'\r') { &[END_OF_INPUT] } else { &[b'\n', END_OF_INPUT] };
    // Fails only if the guest has ended.
    let _ = typed.send(end.to_vec());
}

/// Separates escape keys from the guest's input.
struct Keys {
    is_escaped: bool,
    /// Input comes from a terminal; in a pipe every byte is the guest's.
    has_escape_keys: bool,
}

impl Keys {
    /// Returns the guest's bytes; `None` if the user quits.
    fn take(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut for_guest = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            match (self.is_escaped, byte) {
                (true, b'x' | b'X') => return None,
                (false, ESCAPE) if self.has_escape_keys => {
                    self.is_escaped = true;
                    continue;
                }
                _ => for_guest.push(byte),
            }
            self.is_escaped = false;
        }
        Some(for_guest)
    }
}

/// Sends input to the guest once the shell is ready.
fn forward(mut port: ChildStdin, is_ready: &Receiver<()>, to_send: &Receiver<Vec<u8>>) {
    if is_ready.recv().is_err() {
        return;
    }
    for bytes in to_send {
        if port.write_all(&bytes).and_then(|()| port.flush()).is_err() {
            return;
        }
    }
}

/// Prints the guest's output.
struct Screen<W> {
    output: W,
    /// Removes carriage returns, for files and pipes.
    is_plain: bool,
    /// Notified of the first prompt.
    ready: Option<Sender<()>>,
    /// The last bytes before the first prompt.
    tail: Vec<u8>,
}

impl<W: Write> Screen<W> {
    const fn new(output: W, is_plain: bool, ready: Sender<()>) -> Self {
        Self { output, is_plain, ready: Some(ready), tail: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8]) {
        // A closed standard output does not end the guest.
        let _ = if self.is_plain {
            let plain: Vec<u8> = bytes.iter().copied().filter(|&byte| byte != b'\r').collect();
            self.output.write_all(&plain)
        } else {
            self.output.write_all(bytes)
        };
        let _ = self.output.flush();
        if self.ready.is_none() {
            return;
        }
        self.tail.extend(bytes);
        if self.tail.ends_with(PROMPT.as_bytes())
            && let Some(ready) = self.ready.take()
        {
            // Fails only if the receiver has ended.
            let _ = ready.send(());
        }
        let surplus = self.tail.len().saturating_sub(PROMPT.len());
        self.tail.drain(..surplus);
    }
}

/// A terminal that passes every key on unchanged, until this value is dropped.
#[derive(Debug)]
pub struct RawMode<F: AsFd> {
    terminal: F,
    before: Termios,
}

impl<F: AsFd> RawMode<F> {
    /// Switches `terminal` to raw mode; `None` if it is no terminal.
    pub fn enter(terminal: F) -> Option<Self> {
        let before = tcgetattr(&terminal).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        // Our own lines still end with a carriage return.
        raw.output_flags |= before.output_flags & OutputFlags::OPOST;
        debug_assert!(!raw.local_flags.contains(LocalFlags::ISIG), "Ctrl-C is the guest's");
        tcsetattr(&terminal, SetArg::TCSADRAIN, &raw).ok()?;
        Some(Self { terminal, before })
    }
}

impl<F: AsFd> Drop for RawMode<F> {
    fn drop(&mut self) {
        // Discards unread input: it is not for the user's shell.
        let _ = tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

#[cfg(test)]
mod tests;
