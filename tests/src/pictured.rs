//! Boots the kernel on a machine with a screen, and takes pictures of the screen.

use crate::lab::Lab;
use crate::shape::Shape;
use display::ink::Rgb;
use ktask_boot::qemu::{Wiring, end_with_us};
use libtest_mimic::Failed;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A machine that is silent for so long hangs.
const HANG: Duration = Duration::from_secs(120);

/// Time after which the log is looked at again.
const TICK: Duration = Duration::from_millis(100);

/// What the kernel's first line contains.
const FIRST_LINE: &str = "entered by ";

/// A picture of a screen.
#[derive(Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows of pixels.
    pub height: usize,
    /// The pixels, row by row.
    pub pixels: Vec<Rgb>,
}

/// A run with its pictures.
#[derive(Debug)]
pub struct Pictured {
    /// The kernel's lines on the serial port.
    pub log: Vec<String>,
    /// The screen when the kernel's first line came.
    pub first: Picture,
    /// The screen when the kernel had powered the machine off.
    pub last: Picture,
}

/// Boots `shape`, and takes a picture of the screen at the kernel's first line and one at the end.
///
/// # Errors
///
/// When the image cannot be made, QEMU cannot be started, or the kernel does not power the machine off.
pub fn run(lab: &Lab, shape: &Shape, command_line: &str) -> Result<Pictured, Failed> {
    // Without the exit device the kernel powers off by ACPI, and QEMU keeps the screen.
    let shape = Shape { exit_device: false, ..*shape };
    let mut machine = lab.machine(&shape, command_line)?;
    machine.extra.extend(["-vga", "std", "-action", "shutdown=pause"].map(String::from));
    let _guard = lab.lock_boots();
    let directory = tempfile::Builder::new().prefix("ktask-screen-").tempdir()?;
    let (records, control) = (directory.path().join("records"), directory.path().join("control"));
    let listener = UnixListener::bind(&control)?;
    let wiring = Wiring::Channels { records: &records, control: &control };
    let mut qemu = Qemu::start(Command::new(&machine.qemu.path).args(machine.arguments(wiring)))?;
    let lines = qemu.lines()?;
    let mut control = Control::accept(&listener, &mut qemu)?;
    let mut log = vec![first_line(&lines)?];
    let first = control.picture(&directory.path().join("first"))?;
    control.wait_for_power_off(&lines, &mut log).map_err(|reason| {
        let (log, command) = (log.join("\n"), machine.shell_line());
        format!("{reason}; the log so far:\n{log}\nthe command: {command}")
    })?;
    let last = control.picture(&directory.path().join("last"))?;
    control.ask(&json!({"execute": "quit"}))?;
    // Until QEMU ends, which it was told to do.
    while let Ok(line) = lines.recv_timeout(HANG) {
        log.push(line);
    }
    Ok(Pictured { log, first, last })
}

fn first_line(lines: &Receiver<String>) -> Result<String, Failed> {
    loop {
        match lines.recv_timeout(HANG) {
            // Before it there may be text of the loader, which ends with a carriage return.
            Ok(line) if line.contains(FIRST_LINE) => {
                return Ok(line.rsplit('\r').next().unwrap_or_default().to_string());
            }
            Ok(_) => {}
            Err(_) => return Err("the kernel prints no first line".into()),
        }
    }
}

/// A process that ends with this value.
struct Qemu(Child);

impl Qemu {
    fn start(command: &mut Command) -> Result<Self, Failed> {
        end_with_us(command);
        Ok(Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).spawn()?))
    }

    /// Reads the log's lines on a separate thread.
    fn lines(&mut self) -> Result<Receiver<String>, Failed> {
        let log: ChildStdout = self.0.stdout.take().ok_or("QEMU's output is read already")?;
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut log = BufReader::new(log);
            let mut line = Vec::new();
            while log.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_string();
                if sender.send(text).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Ok(receiver)
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // Both fail only if QEMU has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A conversation with QEMU that keeps no event but the one it waits for.
struct Control {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
    is_off: bool,
}

impl Control {
    fn accept(listener: &UnixListener, qemu: &mut Qemu) -> Result<Self, Failed> {
        listener.set_nonblocking(true)?;
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(status) = qemu.0.try_wait()? {
                return Err(format!("QEMU ended with {status} before it opened its channel").into());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(HANG))?;
        let mut control = Self { lines: BufReader::new(stream.try_clone()?), stream, is_off: false };
        control.ask(&json!({"execute": "qmp_capabilities"}))?;
        Ok(control)
    }

    /// Returns QEMU's next message. Notes the end of the machine.
    fn next(&mut self) -> Result<Value, Failed> {
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            return Err("QEMU ended".into());
        }
        let message: Value = serde_json::from_str(&line)?;
        // The end of QEMU itself is a second such event.
        if message["event"] == "SHUTDOWN" && !self.is_off {
            let reason = &message["data"]["reason"];
            if reason != "guest-shutdown" {
                return Err(format!("the machine ended by {reason}, not by power-off").into());
            }
            self.is_off = true;
        }
        Ok(message)
    }

    fn ask(&mut self, command: &Value) -> Result<(), Failed> {
        // In one write: QEMU may obey before the line's end, and be gone.
        self.stream.write_all(format!("{command}\n").as_bytes())?;
        loop {
            let message = self.next()?;
            if let Some(error) = message.get("error") {
                return Err(format!("QEMU refuses {command}: {error}").into());
            }
            if message.get("return").is_some() {
                return Ok(());
            }
        }
    }

    /// Waits for the end of the machine, and moves its `lines` to `log`. A machine that is silent for [`HANG`] hangs; a tick
    /// during which this process did not run counts once.
    fn wait_for_power_off(&mut self, lines: &Receiver<String>, log: &mut Vec<String>) -> Result<(), String> {
        let mut silence = Duration::ZERO;
        while !self.is_off {
            self.stream.set_read_timeout(Some(TICK)).map_err(|error| error.to_string())?;
            let waited = self.lines.fill_buf().map(|_| ());
            self.stream.set_read_timeout(Some(HANG)).map_err(|error| error.to_string())?;
            match waited {
                Ok(()) => {
                    self.next().map_err(|failed| failed.message().unwrap_or_default().to_string())?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => silence += TICK,
                Err(error) => return Err(error.to_string()),
            }
            let known = log.len();
            log.extend(lines.try_iter());
            if log.len() > known {
                silence = Duration::ZERO;
            }
            if silence >= HANG {
                return Err(format!("the machine was silent for {HANG:?}"));
            }
        }
        Ok(())
    }

    fn picture(&mut self, path: &Path) -> Result<Picture, Failed> {
        self.ask(&json!({"execute": "screendump", "arguments": {"filename": path.to_string_lossy()}}))?;
        Ok(parse(&std::fs::read(path)?)?)
    }
}

/// Parses a portable pixmap: `P6`, width, height and the highest intensity, each with a space or line end after it, then
/// three bytes for each pixel.
fn parse(bytes: &[u8]) -> Result<Picture, String> {
    let mut parts = bytes.splitn(5, u8::is_ascii_whitespace);
    let mut word = || std::str::from_utf8(parts.next()?).ok();
    let kind = word();
    let [width, height, highest] = [(); 3].map(|()| word().and_then(|word| word.parse::<usize>().ok()));
    let pixels: Vec<Rgb> = parts.next().unwrap_or_default().as_chunks().0.to_vec();
    match (kind, width, height, highest) {
        (Some("P6"), Some(width), Some(height), Some(255)) if pixels.len() == width * height => {
            Ok(Picture { width, height, pixels })
        }
        header => Err(format!("no portable pixmap: {header:?} and {} pixels", pixels.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixmaps_are_parsed() {
        let picture = parse(b"P6\n2 1\n255\nabc\n\n\n").unwrap();
        assert_eq!(picture, Picture { width: 2, height: 1, pixels: vec![*b"abc", *b"\n\n\n"] });
        for bad in [&b"P5\n2 1\n255\nabcdef"[..], b"P6\n2 1\n255\nabc", b"P6\n2 x\n255\nabcdef", b""] {
            assert!(parse(bad).is_err());
        }
    }
}
