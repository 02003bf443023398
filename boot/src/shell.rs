//! The shell: what is typed here goes to the guest's first serial port, and what comes from there is shown as it comes.

use crate::run::Console;
use nix::sys::termios::{LocalFlags, OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use protocol::shell::PROMPT;
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::process::ChildStdin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// How to leave without the guest's help, for people.
pub const WAY_OUT: &str = "Ctrl-A x ends the machine at once; Ctrl-A Ctrl-A sends a Ctrl-A";

/// Ctrl-A, as in QEMU's own terminal.
const ESCAPE: u8 = 0x01;
/// Ctrl-D: no more input.
const END_OF_INPUT: u8 = 0x04;

/// Connects our standard input and output with the guest's first serial port.
///
/// Nothing is sent before the shell's first prompt: what arrives while the guest sets its port up would be lost.
pub fn console() -> Console {
    let left = Arc::new(AtomicBool::new(false));
    let (ready, is_ready) = channel();
    let (typed, to_send) = channel();
    let keys_mean_something = std::io::stdin().is_terminal();
    let wants_end = Arc::clone(&left);
    std::thread::spawn(move || read(std::io::stdin(), keys_mean_something, &typed, &wants_end));
    let mut screen = Screen::new(std::io::stdout(), !std::io::stdout().is_terminal(), ready);
    Console {
        output: Box::new(move |bytes| screen.take(bytes)),
        input: Box::new(move |port| forward(port, &is_ready, &to_send)),
        left,
    }
}

/// Reads what is typed, until its end or until the user leaves.
fn read(mut input: impl Read, keys_mean_something: bool, typed: &Sender<Vec<u8>>, wants_end: &AtomicBool) {
    let mut keys = Keys { is_escaped: false, keys_mean_something };
    let mut buffer = [0; 4096];
    let mut last = b'\n';
    loop {
        let bytes = match input.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => &buffer[..count],
        };
        let Some(meant) = keys.take(bytes) else {
            // Relaxed: as every flag that ends a run, it carries no data.
            return wants_end.store(true, Ordering::Relaxed);
        };
        last = *meant.last().unwrap_or(&last);
        if typed.send(meant).is_err() {
            return;
        }
    }
    // A last line without its end is a line as well.
    let end: &[u8] = if matches!(last, b'\n' | b'\r') { &[END_OF_INPUT] } else { &[b'\n', END_OF_INPUT] };
    // The guest may be gone by now.
    let _ = typed.send(end.to_vec());
}

/// What of the typed bytes is for us, and what for the guest.
struct Keys {
    is_escaped: bool,
    /// A person types; in a pipe every byte is for the guest.
    keys_mean_something: bool,
}

impl Keys {
    /// The bytes that are the guest's; `None` to leave.
    fn take(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut meant = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            match (self.is_escaped, byte) {
                (true, b'x' | b'X') => return None,
                (false, ESCAPE) if self.keys_mean_something => {
                    self.is_escaped = true;
                    continue;
                }
                _ => meant.push(byte),
            }
            self.is_escaped = false;
        }
        Some(meant)
    }
}

/// Sends what was typed, once the shell is ready for it.
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

/// Where the guest's output goes.
struct Screen<W> {
    output: W,
    /// Line ends without carriage returns: for files and pipes.
    is_plain: bool,
    /// Told of the first prompt.
    ready: Option<Sender<()>>,
    /// The last bytes before the first prompt.
    tail: Vec<u8>,
}

impl<W: Write> Screen<W> {
    const fn new(output: W, is_plain: bool, ready: Sender<()>) -> Self {
        Self { output, is_plain, ready: Some(ready), tail: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8]) {
        // A reader that has gone is no reason to end the guest.
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
            // Who waits for it may have ended already.
            let _ = ready.send(());
        }
        let surplus = self.tail.len().saturating_sub(PROMPT.len());
        self.tail.drain(..surplus);
    }
}

/// A terminal that passes every key on as it is, until this is dropped.
#[derive(Debug)]
pub struct RawMode<F: AsFd> {
    terminal: F,
    before: Termios,
}

impl<F: AsFd> RawMode<F> {
    /// Switches `terminal` over; `None` if it is none.
    pub fn enter(terminal: F) -> Option<Self> {
        let before = tcgetattr(&terminal).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        // What we print ourselves still ends its lines properly.
        raw.output_flags |= before.output_flags & OutputFlags::OPOST;
        debug_assert!(!raw.local_flags.contains(LocalFlags::ISIG), "Ctrl-C is the guest's");
        tcsetattr(&terminal, SetArg::TCSADRAIN, &raw).ok()?;
        Some(Self { terminal, before })
    }
}

impl<F: AsFd> Drop for RawMode<F> {
    fn drop(&mut self) {
        // What was typed and not read is not for the shell that comes after us.
        let _ = tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

#[cfg(test)]
mod tests;
