//! QEMU as a child process: it ends when this process does.

use super::machine::{Machine, Wiring};
use super::qmp::{Control, CpuState, Shutdown};
use crate::failure::Failure;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Time that QEMU may take from its start to the opening of its channels.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A running QEMU. Dropping it ends it.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    control: Option<Control>,
    /// Contains the named pipe and the socket; removed on drop.
    _directory: TempDir,
}

/// QEMU's output, and the input of its guest.
#[derive(Debug)]
pub struct Channels {
    /// Input of the first serial port. Dropping it ends the input.
    pub input: ChildStdin,
    /// Output of the first serial port.
    pub log: ChildStdout,
    /// Output of the second serial port.
    pub records: File,
    /// QEMU's own messages.
    pub messages: ChildStderr,
}

impl Channels {
    /// Shrinks the pipes to their smallest capacity, so that QEMU soon blocks if nothing reads them.
    pub fn shrink_pipes(&self) {
        #[cfg(target_os = "linux")]
        for result in [
            fcntl(&self.log, FcntlArg::F_SETPIPE_SZ(4096)),
            fcntl(&self.records, FcntlArg::F_SETPIPE_SZ(4096)),
        ] {
            // If it fails, QEMU blocks later.
            let _ = result;
        }
    }
}

impl Child {
    /// Starts QEMU.
    ///
    /// # Errors
    ///
    /// When QEMU cannot be started, or ends before its channels are open: the message contains QEMU's.
    pub fn start(machine: &Machine) -> Result<(Self, Channels), Failure> {
        let directory = channel_directory()?;
        let (records_path, control_path) =
            (directory.path().join("records"), directory.path().join("control"));
        let cannot = |what: &Path| {
            let what = what.display().to_string();
            move |error: std::io::Error| Failure::qemu(format!("cannot open {what}: {error}"))
        };
        let records = open_pipe(&records_path).map_err(cannot(&records_path))?;
        let control = UnixListener::bind(&control_path).map_err(cannot(&control_path))?;
        let wiring = Wiring::Channels { records: &records_path, control: &control_path };
        let mut command = Command::new(&machine.qemu.path);
        command
            .args(machine.arguments(wiring))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A separate process group: Ctrl-C reaches this process alone, which then ends QEMU.
            .process_group(0);
        end_with_us(&mut command);
        let mut process = command.spawn().map_err(|error| {
            Failure::qemu(format!("cannot start {}: {error}", machine.qemu.path.display()))
        })?;
        let input = process.stdin.take().expect("standard input was just piped");
        let log = process.stdout.take().expect("standard output was just piped");
        let messages = process.stderr.take().expect("standard error was just piped");
        let mut child = Self { process, control: None, _directory: directory };
        // QEMU opens its channels in the order of its arguments: when the control channel is open, so is the pipe.
        let stream = accept(&control, CONNECT_TIMEOUT, || child.exit_status().is_none());
        child.control = stream.and_then(|stream| Control::open(stream).ok());
        if child.control.is_none() {
            return Err(child.never_connected(messages));
        }
        // From now on, a read waits for data or for QEMU's end.
        fcntl(&records, FcntlArg::F_SETFL(OFlag::empty()))
            .map_err(|error| cannot(&records_path)(error.into()))?;
        Ok((child, Channels { input, log, records, messages }))
    }

    /// Returns the exit status if QEMU has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Stops QEMU's process.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Continues QEMU's process after [`stop`](Self::stop).
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        // Fails only if QEMU has ended.
        let _ = kill(Pid::from_raw(self.process.id().cast_signed()), signal);
    }

    /// Returns whether QEMU's process is stopped; always false on other hosts than Linux.
    pub fn is_stopped(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap_or_default();
        // The name, in parentheses, may contain any characters.
        status.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['T', 't']))
    }

    /// Returns why the machine went off, after QEMU has ended; `None` if the kernel used the exit device.
    pub fn shutdown(&mut self) -> Option<Shutdown> {
        self.control.as_mut()?.shutdown()
    }

    /// Stops the guest and returns the state of every CPU.
    ///
    /// # Errors
    ///
    /// A message when QEMU does not answer.
    pub fn cpu_states(&mut self) -> Result<Vec<CpuState>, String> {
        self.control.as_mut().ok_or("QEMU's control channel is closed")?.cpu_states()
    }

    /// Lets a stopped guest run on, and interrupts all its CPUs by NMI.
    ///
    /// # Errors
    ///
    /// A message when QEMU does not do it.
    pub fn interrupt_by_nmi(&mut self) -> Result<(), String> {
        self.control.as_mut().ok_or("QEMU's control channel is closed")?.interrupt_by_nmi()
    }

    /// Ends QEMU now.
    pub fn end(&mut self) {
        // Both fail only if QEMU has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn never_connected(&mut self, mut messages: ChildStderr) -> Failure {
        self.end();
        let mut text = String::new();
        // If this fails, the text is what was read before.
        let _ = std::io::Read::read_to_string(&mut messages, &mut text);
        let text = text.trim();
        Failure::qemu(match text.is_empty() {
            true => "QEMU ended before it opened its channels, without a message".to_string(),
            false => text.to_string(),
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// Creates a named pipe and opens its reading end, without waiting for QEMU to open the other end.
///
/// It is not a socket: there, each byte that the guest writes occupies a packet, and a few hundred unread bytes fill the
/// buffer. The guest's last bytes could then be lost when it ends.
fn open_pipe(path: &Path) -> std::io::Result<File> {
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

/// Creates a directory for the channels. The path of a socket must be shorter than 108 bytes.
fn channel_directory() -> Result<TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("ktask-");
    let is_short = std::env::temp_dir().as_os_str().len() < 80;
    let made = if is_short { builder.tempdir() } else { builder.tempdir_in("/tmp") };
    made.map_err(|error| Failure::qemu(format!("cannot make a temporary directory: {error}")))
}

/// Waits for a connection, up to `timeout` and while `is_alive`.
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

/// Makes the host's kernel end the process when the thread that starts it ends for any reason.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "there is no safe way to run code in a process that is being started")]
pub fn end_with_us(command: &mut Command) {
    use nix::sys::prctl;
    let parent = nix::unistd::getpid();
    let hook = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have ended before that call; then no signal would come.
        if nix::unistd::getppid() != parent {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        Ok(())
    };
    // SAFETY: the hook runs between fork and exec, where only async-signal-safe calls are sound. It makes two
    // system calls, prctl and getppid, and constructs errors from a number and from a constant: no allocation, no lock.
    unsafe { command.pre_exec(hook) };
}

/// On other hosts, only [`Drop`] ends the process.
#[cfg(not(target_os = "linux"))]
pub fn end_with_us(_command: &mut Command) {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::{Accel, Boot, probe};
    use crate::size::Size;
    use crate::system::{Real, System};
    use nix::errno::Errno;
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

    /// Returns a machine that runs forever; `None` without QEMU.
    fn endless() -> Option<(Machine, tempfile::NamedTempFile)> {
        guest(&[0xeb, 0xfe]) // jmp to itself
    }

    /// Returns a machine that runs `code`; `None` without QEMU.
    fn guest(code: &[u8]) -> Option<(Machine, tempfile::NamedTempFile)> {
        let Some(qemu) = Real.find_in_path(crate::qemu::program::NAME) else {
            eprintln!("no QEMU here: not run");
            return None;
        };
        let guest = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(guest.path(), probe::image_of(code)).unwrap();
        let machine = Machine {
            qemu: crate::qemu::Program::unchecked(qemu),
            kernel: guest.path().into(),
            boot: Boot::Direct,
            cpus: 1,
            memory: Size::from_mib(64),
            nodes: 1,
            accel: Accel::Tcg,
            cpu_model: None,
            command_line: String::new(),
            debugger: false,
            exit_device: true,
            extra: Vec::new(),
        };
        Some((machine, guest))
    }

    fn pid_of(child: &Child) -> Pid {
        Pid::from_raw(child.process.id().cast_signed())
    }

    /// Waits for the end of a child process and returns its status; `StillAlive` after five seconds.
    fn wait_for_end(pid: Pid) -> Result<WaitStatus, Errno> {
        for _ in 0..500 {
            match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(10)),
                status => return status,
            }
        }
        Ok(WaitStatus::StillAlive)
    }

    #[test]
    fn slow_reader_gets_everything_that_the_guest_wrote() {
        const COUNT: u32 = 20_000;
        let mut code = vec![0xb9]; // mov ecx, COUNT
        code.extend(COUNT.to_le_bytes());
        code.extend([0x66, 0xba, 0xf8, 0x02, 0xb0, b'x']); // mov dx, 0x2f8; mov al, 'x'
        code.extend([0xee, 0xe2, 0xfd]); // out dx, al; loop to it
        code.extend([0xb0, 0x10, 0xe6, 0xf4]); // mov al, 0x10; out 0xf4, al
        let Some((machine, _guest)) = guest(&code) else { return };
        let (mut child, mut channels) = Child::start(&machine).unwrap();
        for _ in 0..1000 {
            if child.exit_status().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(child.exit_status().is_some(), "the guest waits for its reader");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut channels.records, &mut bytes).unwrap();
        assert_eq!(bytes.len(), COUNT as usize);
    }

    #[test]
    fn qemu_ends_with_its_owner() {
        let Some((machine, _guest)) = endless() else { return };
        let (child, _channels) = Child::start(&machine).unwrap();
        let (pid, sockets) = (pid_of(&child), child._directory.path().to_path_buf());
        drop(child);
        assert_eq!(wait_for_end(pid), Err(Errno::ECHILD), "the process still exists, or was not waited for");
        assert!(!sockets.exists());
    }

    #[test]
    fn qemu_ends_with_the_thread_that_started_it_even_without_drop() {
        let Some((machine, _guest)) = endless() else { return };
        let starter = std::thread::spawn(move || {
            let (child, channels) = Child::start(&machine).unwrap();
            let (pid, sockets) = (pid_of(&child), child._directory.path().to_path_buf());
            // As if this process were killed: no destructor runs.
            std::mem::forget((child, channels));
            (pid, sockets)
        });
        let (pid, sockets) = starter.join().unwrap();
        assert_eq!(wait_for_end(pid), Ok(WaitStatus::Signaled(pid, Signal::SIGKILL, false)));
        std::fs::remove_dir_all(sockets).unwrap();
    }
}
