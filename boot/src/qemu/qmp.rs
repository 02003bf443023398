//! QEMU's control channel: where every virtual CPU stands when nothing moves any more.

use super::Child;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long QEMU may take to answer. Its CPUs may be stuck; its control channel should not be.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a virtual CPU stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuState {
    /// Its number.
    pub cpu: u32,
    /// The instruction pointer.
    pub rip: u64,
    /// Whether it waits for an interrupt.
    pub halted: bool,
    /// Whether it takes interrupts.
    pub interrupts_on: bool,
}

impl Child {
    /// Stops the guest and asks where every CPU stands.
    ///
    /// # Errors
    ///
    /// A message when QEMU does not answer.
    pub fn cpu_states(&mut self) -> Result<Vec<CpuState>, String> {
        let stream = self.control.take().ok_or("QEMU's control channel was used before")?;
        let mut control = Control::new(stream).map_err(|error| format!("QEMU's control channel: {error}"))?;
        let mut ask =
            |command: Value| control.ask(&command).map_err(|error| format!("QEMU does not answer: {error}"));
        ask(json!({"execute": "qmp_capabilities"}))?;
        // So that all registers are of the same moment.
        ask(json!({"execute": "stop"}))?;
        let arguments = json!({"command-line": "info registers -a"});
        let registers = ask(json!({"execute": "human-monitor-command", "arguments": arguments}))?;
        let states = parse_registers(registers.as_str().unwrap_or_default());
        if states.is_empty() { Err("QEMU names no registers".to_string()) } else { Ok(states) }
    }
}

/// A conversation in the QEMU Machine Protocol.
struct Control {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Control {
    fn new(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let lines = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, lines })
    }

    /// Sends a command and waits for its answer; the greeting and events in between are skipped.
    fn ask(&mut self, command: &Value) -> std::io::Result<Value> {
        writeln!(self.stream, "{command}")?;
        let mut line = String::new();
        loop {
            line.clear();
            if self.lines.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let mut answer: Value = serde_json::from_str(&line)?;
            if let Some(error) = answer.get("error") {
                return Err(std::io::Error::other(error.to_string()));
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }
}

/// Reads what `info registers -a` prints: per CPU a line `CPU#n`, and somewhere below it `RIP=`, `RFL=` and `HLT=`.
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

    /// Two CPUs as QEMU 7.2 prints them, shortened.
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
    fn registers_are_read_for_every_cpu() {
        assert_eq!(
            parse_registers(REGISTERS),
            [
                CpuState { cpu: 0, rip: 0xffff_ffff_8001_2345, halted: false, interrupts_on: true },
                CpuState { cpu: 1, rip: 0xfff0, halted: true, interrupts_on: false },
            ]
        );
        assert_eq!(parse_registers("RIP=1 of nobody"), []);
    }

    #[test]
    fn answers_are_told_from_greeting_and_events() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut theirs_writer = theirs.try_clone().unwrap();
        writeln!(theirs_writer, "{}", json!({"QMP": {"version": {}}})).unwrap();
        writeln!(theirs_writer, "{}", json!({"event": "STOP"})).unwrap();
        writeln!(theirs_writer, "{}", json!({"return": "text"})).unwrap();
        writeln!(theirs_writer, "{}", json!({"error": {"desc": "no such command"}})).unwrap();
        let mut control = Control::new(ours).unwrap();
        assert_eq!(control.ask(&json!({"execute": "stop"})).unwrap(), "text");
        let error = control.ask(&json!({"execute": "nonsense"})).unwrap_err();
        assert!(error.to_string().contains("no such command"), "{error}");
        let mut sent = String::new();
        BufReader::new(theirs).read_line(&mut sent).unwrap();
        assert_eq!(sent.trim(), r#"{"execute":"stop"}"#);
    }
}
