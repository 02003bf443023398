//! QEMU's control channel: the states of virtual CPUs, and the reason of a shutdown.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Time that QEMU may take to answer. Its CPUs may hang; its control channel should not.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// State of a virtual CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuState {
    /// The CPU's number.
    pub cpu: u32,
    /// The instruction pointer.
    pub rip: u64,
    /// Whether the CPU waits for an interrupt.
    pub halted: bool,
    /// Whether interrupts are enabled.
    pub interrupts_on: bool,
}

/// QEMU's reason for the end of a machine without a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// The guest powered the machine off.
    PowerOff,
    /// The guest or a triple fault reset the machine.
    Reset,
    /// Another reason: the host, a panic device.
    Other,
}

/// A conversation in the QEMU Machine Protocol.
#[derive(Debug)]
pub(super) struct Control {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
    /// Number of commands sent; a command's number is its identifier.
    sent: u64,
}

impl Control {
    /// Starts the conversation; from then on QEMU reports events too.
    pub(super) fn open(stream: UnixStream) -> std::io::Result<Self> {
        let mut control = Self::new(stream)?;
        // Not waiting for the answer: QEMU reads the command only when its machine is complete.
        control.send(json!({"execute": "qmp_capabilities"}))?;
        Ok(control)
    }

    fn new(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let lines = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, lines, sent: 0 })
    }

    /// Stops the guest and returns the state of every CPU.
    pub(super) fn cpu_states(&mut self) -> Result<Vec<CpuState>, String> {
        let mut ask =
            |command: Value| self.ask(command).map_err(|error| format!("QEMU does not answer: {error}"));
        // Stops first, so that all registers are of the same moment.
        ask(json!({"execute": "stop"}))?;
        let arguments = json!({"command-line": "info registers -a"});
        let registers = ask(json!({"execute": "human-monitor-command", "arguments": arguments}))?;
        let states = parse_registers(registers.as_str().unwrap_or_default());
        if states.is_empty() { Err("QEMU names no registers".to_string()) } else { Ok(states) }
    }

    /// Lets a stopped guest run on, and interrupts all its CPUs by NMI.
    pub(super) fn interrupt_by_nmi(&mut self) -> Result<(), String> {
        for command in ["cont", "inject-nmi"] {
            self.ask(json!({"execute": command}))
                .map_err(|error| format!("QEMU does not {command}: {error}"))?;
        }
        Ok(())
    }

    /// Reads to the end; returns the reason of the last shutdown event.
    pub(super) fn shutdown(&mut self) -> Option<Shutdown> {
        let mut reason = None;
        let mut line = String::new();
        while self.lines.read_line(&mut line).is_ok_and(|count| count > 0) {
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["event"] == "SHUTDOWN" {
                reason = Some(match event["data"]["reason"].as_str() {
                    Some("guest-shutdown") => Shutdown::PowerOff,
                    Some("guest-reset") => Shutdown::Reset,
                    _ => Shutdown::Other,
                });
            }
            line.clear();
        }
        reason
    }

    /// Sends a command; returns the identifier of its answer.
    fn send(&mut self, mut command: Value) -> std::io::Result<u64> {
        self.sent += 1;
        command["id"] = self.sent.into();
        // In one write: QEMU may obey before the line's end, and be gone.
        self.stream.write_all(format!("{command}\n").as_bytes())?;
        Ok(self.sent)
    }

    /// Sends a command and waits for its answer; skips the greeting, events and earlier answers.
    fn ask(&mut self, command: Value) -> std::io::Result<Value> {
        let id = self.send(command)?;
        let mut line = String::new();
        loop {
            line.clear();
            if self.lines.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let mut answer: Value = serde_json::from_str(&line)?;
            if answer["id"] != id {
                continue;
            }
            if let Some(error) = answer.get("error") {
                return Err(std::io::Error::other(error.to_string()));
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }
}

/// Parses the output of `info registers -a`: for each CPU a line `CPU#n`, and below it `RIP=`, `RFL=` and `HLT=`.
fn parse_registers(text: &str) -> Vec<CpuState> {
    let mut states: Vec<CpuState> = Vec::new();
    for word in text.split_whitespace() {
        if let Some(number) = word.strip_prefix("CPU#") {
            let cpu = number.parse().unwrap_or(states.len() as u32);
            states.push(CpuState { cpu, rip: 0, halted: false, interrupts_on: false });
        }
        let Some(state) = states.last_mut() else {
            continue;
        };
        let hexadecimal = |digits| u64::from_str_radix(digits, 16).ok();
        match word.split_once('=') {
            Some(("RIP" | "EIP", digits)) => state.rip = hexadecimal(digits).unwrap_or_default(),
            Some(("RFL" | "EFL", digits)) => {
                state.interrupts_on = hexadecimal(digits).is_some_and(|flags| flags & 0x200 != 0);
            }
            Some(("HLT", digit)) => state.halted = digit == "1",
            _ => {}
        }
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output of QEMU 7.2 for two CPUs, shortened.
    const REGISTERS: &str = "\r
CPU#0\r
RAX=0000000000000000 RBX=0000000000000001 RCX=0 RDX=0\r
RIP=ffffffff80012345 RFL=00000202 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0\r
ES =0000 0000000000000000 00000000 00000000\r
\r
CPU#1\r
EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=1\r
";

    #[test]
    fn registers_of_every_cpu_are_parsed() {
        assert_eq!(
            parse_registers(REGISTERS),
            [
                CpuState { cpu: 0, rip: 0xffff_ffff_8001_2345, halted: false, interrupts_on: true },
                CpuState { cpu: 1, rip: 0xfff0, halted: true, interrupts_on: false },
            ]
        );
        assert_eq!(parse_registers("RIP=1 without a CPU"), []);
    }

    #[test]
    fn last_shutdown_counts() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut control = Control::new(ours).unwrap();
        for event in [
            json!({"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}),
            json!({"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}),
            json!({"event": "STOP"}),
        ] {
            writeln!(theirs, "{event}").unwrap();
        }
        drop(theirs);
        assert_eq!(control.shutdown(), Some(Shutdown::PowerOff));
        assert_eq!(control.shutdown(), None);
    }

    #[test]
    fn answers_differ_from_greeting_and_events() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut theirs_writer = theirs.try_clone().unwrap();
        writeln!(theirs_writer, "{}", json!({"QMP": {"version": {}}})).unwrap();
        writeln!(theirs_writer, "{}", json!({"event": "STOP"})).unwrap();
        writeln!(theirs_writer, "{}", json!({"return": "of an earlier command", "id": 0})).unwrap();
        writeln!(theirs_writer, "{}", json!({"return": "text", "id": 1})).unwrap();
        writeln!(theirs_writer, "{}", json!({"error": {"desc": "no such command"}, "id": 2})).unwrap();
        let mut control = Control::new(ours).unwrap();
        assert_eq!(control.ask(json!({"execute": "stop"})).unwrap(), "text");
        let error = control.ask(json!({"execute": "nonsense"})).unwrap_err();
        assert!(error.to_string().contains("no such command"), "{error}");
        let mut sent = String::new();
        BufReader::new(theirs).read_line(&mut sent).unwrap();
        assert_eq!(sent.trim(), r#"{"execute":"stop","id":1}"#);
    }
}
