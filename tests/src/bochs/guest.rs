//! A running Bochs: its process, its files, and its debugger.

use super::machine::{LOG_PORT, MESSAGES, Model, RECORD_PORT};
use super::program::Bochs;
use ktask_boot::qemu::{CpuState, end_with_us};
use object::{Object, ObjectSegment};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Name of the file with Bochs's standard output, where its debugger answers.
const TERMINAL: &str = "terminal";

/// Number of lines of the terminal that are kept.
const LAST_LINES: usize = 40;

/// Time that the debugger may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A running Bochs. Dropping it ends it.
pub(super) struct Guest {
    process: Child,
    /// Kept open: the debugger ends Bochs at the end of its input.
    _input: Option<ChildStdin>,
    start: Instant,
    log: Tail,
    records: Tail,
    /// Removed on drop.
    folder: TempDir,
}

impl Guest {
    /// Starts `model` from `iso`.
    pub(super) fn start(bochs: &Bochs, model: &Model, iso: &Path) -> Result<Self, String> {
        let program = &bochs.program;
        let cannot = |error: std::io::Error| format!("cannot start {}: {error}", program.display());
        let folder = tempfile::Builder::new().prefix("ktask-bochs-").tempdir().map_err(cannot)?;
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("bochsrc"), model.configuration(folder.path(), iso, &bochs.screen_bios))
            .map_err(cannot)?;
        // Programs with the debugger wait for a command before the first instruction.
        std::fs::write(path("commands"), "c\n").map_err(cannot)?;
        let terminal = File::create(path(TERMINAL)).map_err(cannot)?;
        let mut command = Command::new(program);
        command
            .arg("-q")
            .arg("-f")
            .arg(path("bochsrc"))
            .arg("-rc")
            .arg(path("commands"))
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stderr(terminal.try_clone().map_err(cannot)?)
            .stdout(terminal)
            .process_group(0);
        end_with_us(&mut command);
        let mut process = command.spawn().map_err(cannot)?;
        Ok(Self {
            _input: process.stdin.take(),
            process,
            start: Instant::now(),
            log: Tail::new(path(LOG_PORT)),
            records: Tail::new(path(RECORD_PORT)),
            folder,
        })
    }

    /// Returns whether Bochs has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        self.process.try_wait().ok().flatten().is_some()
    }

    /// Returns Bochs's exit status after its end; `None` after a signal.
    pub(super) fn exit_code(&mut self) -> Option<i32> {
        self.process.try_wait().ok().flatten()?.code()
    }

    /// Returns the time that Bochs had a CPU of the host; on other hosts than Linux, the time since its start.
    pub(super) fn cpu_time(&self) -> Duration {
        /// Linux counts this time for programs in hundredths of a second.
        const TICK_MS: u64 = 10;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap_or_default();
        // After the name, in parentheses: the state, ten other fields, and the ticks in user and system mode.
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
        let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
        match ticks[..] {
            [user, system] => Duration::from_millis((user + system) * TICK_MS),
            _ => self.start.elapsed(),
        }
    }

    /// Returns the new lines of both serial ports: log and records.
    pub(super) fn lines(&mut self) -> (Vec<String>, Vec<String>) {
        (self.log.lines(), self.records.lines())
    }

    /// Returns the messages about panics of Bochs, and its last words on the terminal.
    pub(super) fn messages(&self) -> String {
        let text = |name: &str| {
            let bytes = std::fs::read(self.folder.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let messages = text(MESSAGES);
        let panics = messages.lines().filter(|line| line.contains(">>PANIC<<")).map(str::to_string);
        let terminal: Vec<_> = text(TERMINAL).lines().map(str::to_string).collect();
        let last = terminal[terminal.len().saturating_sub(LAST_LINES)..].iter().cloned();
        panics.chain(last).collect::<Vec<_>>().join("\n")
    }

    /// Stops the machine and returns the state of every CPU.
    ///
    /// The debugger shows the next instruction of each CPU. A CPU after a `hlt` counts as halted; whether interrupts are
    /// on is not known.
    pub(super) fn cpu_states(&self, elf: &Path) -> Result<Vec<CpuState>, String> {
        let terminal = self.folder.path().join(TERMINAL);
        let read = || String::from_utf8_lossy(&std::fs::read(&terminal).unwrap_or_default()).into_owned();
        let before = read().len();
        let sent = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        if !sent.is_ok_and(|status| status.success()) {
            return Err("Bochs cannot be interrupted".into());
        }
        let start = Instant::now();
        while start.elapsed() < ANSWER_TIMEOUT {
            let text = read();
            let answer = text.get(before..).unwrap_or_default();
            // The prompt comes after all CPUs.
            if let Some((states, _)) = answer.rsplit_once("<bochs:") {
                // The last of each CPU: Bochs may have kept older output back.
                let positions: BTreeMap<_, _> = states.lines().filter_map(position).collect();
                return Ok(positions.into_iter().map(|(cpu, rip)| state(cpu, rip, elf)).collect());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("Bochs's debugger does not answer".into())
    }

    /// Ends Bochs now.
    pub(super) fn end(&mut self) {
        // Both fail only if Bochs has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.end();
    }
}

/// Parses a line of the debugger: `(CPU) [0xPHYSICAL] SELECTOR:ADDRESS (...): INSTRUCTION`.
fn position(line: &str) -> Option<(u32, u64)> {
    let (cpu, rest) = line.strip_prefix('(')?.split_once(") [0x")?;
    let (_, rest) = rest.split_once("] ")?;
    let (_, address) = rest.split_once(':')?;
    let digits = address.split(' ').next()?;
    Some((cpu.parse().ok()?, u64::from_str_radix(digits, 16).ok()?))
}

fn state(cpu: u32, rip: u64, elf: &Path) -> CpuState {
    const HLT: u8 = 0xf4;
    let halted = byte_at(elf, rip.wrapping_sub(1)) == Some(HLT);
    CpuState { cpu, rip, halted, interrupts_on: true }
}

/// Returns the byte at a virtual address of the kernel's image.
fn byte_at(elf: &Path, address: u64) -> Option<u8> {
    let bytes = std::fs::read(elf).ok()?;
    let file = object::File::parse(&*bytes).ok()?;
    file.segments().find_map(|segment| segment.data_range(address, 1).ok()??.first().copied())
}

/// A file that another process appends to.
struct Tail {
    path: PathBuf,
    file: Option<File>,
    partial: Vec<u8>,
}

impl Tail {
    fn new(path: PathBuf) -> Self {
        Self { path, file: None, partial: Vec::new() }
    }

    /// Returns the lines that were completed since the last call, without control characters.
    fn lines(&mut self) -> Vec<String> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        if let Some(file) = &mut self.file {
            // What cannot be read now is read by a later call.
            let _ = file.read_to_end(&mut self.partial);
        }
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        let text = String::from_utf8_lossy(&whole).into_owned();
        text.lines().map(|line| line.chars().filter(|&c| c == '\t' || !c.is_control()).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_are_taken_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("port");
        let mut tail = Tail::new(path.clone());
        assert!(tail.lines().is_empty());
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\r\ntw").unwrap();
        assert_eq!(tail.lines(), ["one"]);
        assert!(tail.lines().is_empty());
        file.write_all(b"o\nthree\n").unwrap();
        assert_eq!(tail.lines(), ["two", "three"]);
    }

    #[test]
    fn positions_of_the_debugger_are_read() {
        let line =
            "(1) [0x00000019a850] 0008:ffffffff8019a850 (unk. ctxt): mfence                    ; 0faef0";
        assert_eq!(position(line), Some((1, 0xffff_ffff_8019_a850)));
        let real_mode = "(0) [0x0000fffffff0] f000:fff0 (unk. ctxt): jmpf 0xf000:e05b          ; ea5be000f0";
        assert_eq!(position(real_mode), Some((0, 0xfff0)));
        assert_eq!(position("Next at t=1028514641"), None);
        assert_eq!(position("(0) Breakpoint 1, 0xffffffff8019a856 in ?? ()"), None);
    }
}
