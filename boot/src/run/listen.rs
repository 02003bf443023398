//! Threads that turn what QEMU says into lines with a time.

use crate::qemu::Channels;
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

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

/// Listens to all channels. The receiver is disconnected when all of them are closed.
pub(super) fn start(channels: Channels) -> Receiver<Event> {
    let (sender, receiver) = channel();
    listen(Source::Log, channels.log, sender.clone());
    listen(Source::Records, channels.records, sender.clone());
    listen(Source::Qemu, channels.messages, sender);
    receiver
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
    fn rubbish_on_the_wire_stays_harmless() {
        assert_eq!(clean(b"\x1b[2Ja\x07\xffb\tc\r\n"), "[2Ja\u{fffd}b\tc");
    }
}
