//! QEMU as a process of ours: it ends when we do.

use super::{Machine, Wiring};
use crate::failure::Failure;
use std::io::ErrorKind;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long QEMU may take from its start to the connection of its sockets.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A running QEMU. Dropping it ends it.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    control: UnixListener,
    /// Holds the sockets; removed with us.
    _directory: TempDir,
}

/// What QEMU says.
#[derive(Debug)]
pub struct Channels {
    /// The first serial port.
    pub log: ChildStdout,
    /// The second serial port.
    pub records: UnixStream,
    /// QEMU's own messages.
    pub messages: ChildStderr,
}

impl Child {
    /// Starts QEMU.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or ends before it connects its sockets: the message holds what it said.
    pub fn start(machine: &Machine) -> Result<(Self, Channels), Failure> {
        let directory = socket_directory()?;
        let (records_path, control_path) =
            (directory.path().join("records"), directory.path().join("control"));
        let listen = |path: &std::path::Path| {
            UnixListener::bind(path)
                .map_err(|error| Failure::qemu(format!("cannot listen on {}: {error}", path.display())))
        };
        let (records, control) = (listen(&records_path)?, listen(&control_path)?);
        let wiring = Wiring::Sockets { records: &records_path, control: &control_path };
        let mut command = Command::new(&machine.qemu);
        command
            .args(machine.arguments(wiring))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C is for us, who then end QEMU in good order.
            .process_group(0);
        end_with_us(&mut command);
        let mut process = command
            .spawn()
            .map_err(|error| Failure::qemu(format!("cannot start {}: {error}", machine.qemu.display())))?;
        let log = process.stdout.take().expect("standard output was just piped");
        let messages = process.stderr.take().expect("standard error was just piped");
        let mut child = Self { process, control, _directory: directory };
        let connected = accept(&records, CONNECT_TIMEOUT, || child.exit_status().is_none());
        match connected {
            Some(records) => Ok((child, Channels { log, records, messages })),
            None => Err(child.never_connected(messages)),
        }
    }

    /// The exit status, if QEMU has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Ends QEMU now.
    pub fn end(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// QEMU's control channel; `None` when QEMU does not answer.
    pub(super) fn control(&mut self) -> Option<UnixStream> {
        let connected = self.control.try_clone().ok()?;
        accept(&connected, CONNECT_TIMEOUT, || self.exit_status().is_none())
    }

    fn never_connected(&mut self, mut messages: ChildStderr) -> Failure {
        self.end();
        let mut said = String::new();
        // What cannot be read cannot be shown.
        let _ = std::io::Read::read_to_string(&mut messages, &mut said);
        let said = said.trim();
        Failure::qemu(match said.is_empty() {
            true => "QEMU ended before it connected its serial ports, and said nothing".to_string(),
            false => said.to_string(),
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// A directory for sockets, whose paths have to be shorter than 108 bytes.
fn socket_directory() -> Result<TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("ktask-");
    let is_short = std::env::temp_dir().as_os_str().len() < 80;
    let made = if is_short { builder.tempdir() } else { builder.tempdir_in("/tmp") };
    made.map_err(|error| Failure::qemu(format!("cannot make a temporary directory for sockets: {error}")))
}

/// Waits for a connection as long as `is_alive` says that there may be one.
fn accept(
    listener: &UnixListener,
    timeout: Duration,
    mut is_alive: impl FnMut() -> bool,
) -> Option<UnixStream> {
    listener.set_nonblocking(true).ok()?;
    let start = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => return stream.set_nonblocking(false).is_ok().then_some(stream),
            Err(error) if error.kind() != ErrorKind::WouldBlock => return None,
            Err(_) if !is_alive() || start.elapsed() > timeout => return None,
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Lets the kernel of the host end the process when the thread that starts it ends, however that comes about.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "there is no safe way to run code in a process that is being started")]
fn end_with_us(command: &mut Command) {
    use nix::sys::{prctl, signal::Signal};
    let parent = nix::unistd::getpid();
    let hook = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // We may have ended before that call: then nobody would send the signal any more.
        if nix::unistd::getppid() != parent {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        Ok(())
    };
    // SAFETY: the hook runs between fork and exec, where only async-signal-safe calls are sound. It makes two
    // system calls, prctl and getppid, and constructs errors from a number and from a constant: no allocation, no lock.
    unsafe { command.pre_exec(hook) };
}

/// Elsewhere only [`Drop`] ends it.
#[cfg(not(target_os = "linux"))]
fn end_with_us(_command: &mut Command) {}
