//! Threads that turn what QEMU says into lines with a time.

use crate::qemu::Channels;
use std::io::{BufRead, BufReader, Read};
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Sees bytes as they come.
pub type Output = Box<dyn FnMut(&[u8]) + Send>;

/// The other end of the guest's first serial port, for runs in which someone types.
pub struct Console {
    /// Sees what the port sends as it comes, also lines that are not finished.
    pub output: Output,
    /// Gets what the port receives, on a thread of its own.
    pub input: Box<dyn FnOnce(ChildStdin) + Send>,
    /// Set to end the run.
    pub left: Arc<AtomicBool>,
}

/// Which channel a line came from.
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
    /// When it was read.
    pub(super) at: Instant,
}

/// Listens to all channels, and lets `console` hear and speak too. The receiver is disconnected when all of them are
/// closed.
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

/// Keeps the listeners from reading for a while.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    closed: Arc<Mutex<()>>,
    was_used: Arc<AtomicBool>,
}

impl Gate {
    /// Closes the gate until what is returned is dropped. A read that has begun ends.
    pub(super) fn close(&self) -> MutexGuard<'_, ()> {
        self.was_used.store(true, Ordering::SeqCst);
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the gate has been closed before.
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

/// Shows what is read from `input` to `output`.
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
        // The end of the input, and a receiver that has gone, both end the thread.
        while input.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let line = clean(&bytes);
            if sender.send(Event { source, line, at: Instant::now() }).is_err() {
                break;
            }
            bytes.clear();
        }
    });
}

/// Bytes of a serial line as text: no line end, and nothing that would act on our terminal.
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\n', '\r']);
    text.chars().filter(|&c| c == '\t' || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one_and_the_last_one_even_without_its_end() {
        let (sender, receiver) = channel();
        listen(Source::Log, std::io::Cursor::new(b"one\r\ntwo\n\nthree"), sender);
        let lines: Vec<_> = receiver.iter().map(|event| event.line).collect();
        assert_eq!(lines, ["one", "two", "", "three"]);
    }

    #[test]
    fn a_console_hears_an_unfinished_line_at_once() {
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
    fn rubbish_on_the_wire_stays_harmless() {
        assert_eq!(clean(b"\x1b[2Ja\x07\xffb\tc\r\n"), "[2Ja\u{fffd}b\tc");
    }
}
