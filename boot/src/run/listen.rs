//! Threads that split QEMU's output into lines with timestamps.

use crate::qemu::Channels;
use std::io::{BufRead, BufReader, Read};
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Receives bytes as they arrive.
pub type Output = Box<dyn FnMut(&[u8]) + Send>;

/// The user's end of the guest's first serial port.
pub struct Console {
    /// Receives the port's output as it arrives, including unfinished lines.
    pub output: Output,
    /// Writes the port's input, on a separate thread.
    pub input: Box<dyn FnOnce(ChildStdin) + Send>,
    /// Set to end the run.
    pub left: Arc<AtomicBool>,
}

/// The channel of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The first serial port.
    Log,
    /// The second serial port.
    Records,
    /// QEMU's standard error.
    Qemu,
}

/// A line, without its end.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) source: Source,
    pub(super) line: String,
    /// Time at which the line was read.
    pub(super) at: Instant,
}

/// Listens to all channels and connects `console`. The receiver is disconnected when all channels are closed.
pub(super) fn start(channels: Channels, console: Option<Console>, gate: &Gate) -> Receiver<Event> {
    let (sender, receiver) = channel();
    match console {
        None => listen(Source::Log, Gated { input: channels.log, gate: gate.clone() }, sender.clone()),
        Some(Console { output, input, .. }) => {
            listen(Source::Log, Tee { input: channels.log, output }, sender.clone());
            std::thread::spawn(move || input(channels.input));
        }
    }
    listen(Source::Records, Gated { input: channels.records, gate: gate.clone() }, sender.clone());
    listen(Source::Qemu, channels.messages, sender);
    receiver
}

/// Blocks the listeners while it is closed.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    closed: Arc<Mutex<()>>,
    was_used: Arc<AtomicBool>,
}

impl Gate {
    /// Closes the gate until the guard is dropped. A read that has begun completes.
    pub(super) fn close(&self) -> MutexGuard<'_, ()> {
        self.was_used.store(true, Ordering::SeqCst);
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the gate has been closed before.
    pub(super) fn was_used(&self) -> bool {
        self.was_used.load(Ordering::SeqCst)
    }
}

/// Reads through a gate.
struct Gated<R> {
    input: R,
    gate: Gate,
}

impl<R: Read> Read for Gated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        drop(self.gate.closed.lock().unwrap_or_else(PoisonError::into_inner));
        self.input.read(buffer)
    }
}

/// Copies everything read from `input` to `output`.
struct Tee<R, W> {
    input: R,
    output: W,
}

impl<R: Read, W: FnMut(&[u8])> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        (self.output)(&buffer[..count]);
        Ok(count)
    }
}

fn listen(source: Source, input: impl Read + Send + 'static, sender: Sender<Event>) {
    std::thread::spawn(move || {
        let mut input = BufReader::new(input);
        let mut bytes = Vec::new();
        // The end of the input and a dropped receiver both end the thread.
        while input.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let line = clean(&bytes);
            if sender.send(Event { source, line, at: Instant::now() }).is_err() {
                break;
            }
            bytes.clear();
        }
    });
}

/// Returns the bytes of a serial line as text, without the line end, and without characters and sequences that control a
/// terminal.
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    // A loader's text may end with a carriage return alone: a terminal shows what comes after it.
    let mut rest = text.trim_end_matches(['\n', '\r']).rsplit('\r').next().unwrap_or_default();
    let mut cleaned = String::new();
    while let Some(c) = rest.chars().next() {
        rest = without_sequence(rest).unwrap_or(&rest[c.len_utf8()..]);
        if c == '\t' || !c.is_control() {
            cleaned.push(c);
        }
    }
    cleaned
}

/// Returns the text after the control sequence (ECMA-48) with which `text` begins; `None` if it begins otherwise.
fn without_sequence(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c| !matches!(c, ' '..='?'))?;
    matches!(parameters[end..].chars().next(), Some('@'..='~')).then(|| &parameters[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_arrive_one_by_one_and_the_last_even_without_its_end() {
        let (sender, receiver) = channel();
        listen(Source::Log, std::io::Cursor::new(b"one\r\ntwo\n\nthree"), sender);
        let lines: Vec<_> = receiver.iter().map(|event| event.line).collect();
        assert_eq!(lines, ["one", "two", "", "three"]);
    }

    #[test]
    fn console_receives_an_unfinished_line_at_once() {
        let (sender, receiver) = channel();
        let (heard, hears) = channel();
        let (theirs, mut ours) = std::os::unix::net::UnixStream::pair().unwrap();
        listen(
            Source::Log,
            Tee { input: theirs, output: move |bytes: &[u8]| heard.send(bytes.to_vec()).unwrap() },
            sender,
        );
        std::io::Write::write_all(&mut ours, b"ktask> ").unwrap();
        assert_eq!(hears.recv().unwrap(), b"ktask> ");
        std::io::Write::write_all(&mut ours, b"ps\n").unwrap();
        assert_eq!(receiver.recv().unwrap().line, "ktask> ps");
    }

    #[test]
    fn control_characters_are_removed() {
        assert_eq!(clean(b"\x1b[2Ja\x07\xffb\tc\r\n"), "a\u{fffd}b\tc");
        assert_eq!(clean(b"Booting\r[0.1]\r\n"), "[0.1]");
        assert_eq!(clean(b"\x1b[=3h\x1b[01;01H[1]\x1b[0m.\x1b(B"), "[1].(B");
        // Cut, or not closed by a final byte.
        for (bytes, text) in [(&b"\x1b[01;"[..], "[01;"), (b"\x1b", ""), (b"\x1b[1\xff", "[1\u{fffd}")] {
            assert_eq!(clean(bytes), text);
        }
    }
}
