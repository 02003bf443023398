//! The two serial ports. A missing or broken port is not an error: its lines are dropped.

use core::fmt::Write;

use protocol::record::Record;
use shell::ring::Ring;
use shell::screen::Screen;
use uart::port::ON_DATA;

use super::line::LineBuf;
use super::wire::{Step, Wire};
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::tsc;

const COM1: u16 = 0x3f8;
const COM2: u16 = 0x2f8;

/// Capacity for input that waits for a reader. Further bytes wait in the port's FIFO, then at the sender.
const INPUT_BYTES: usize = 1024;
/// Longest input line that the terminal shows.
pub const LINE_BYTES: usize = 256;

/// Port for people: the log, and below it the input line.
pub struct LogPort {
    /// Port and output queue.
    pub wire: Wire,
    /// Input line below the log.
    pub line: Screen<LINE_BYTES>,
    /// Input that waits for the reader.
    pub input: Ring<INPUT_BYTES>,
    /// Whether a reader has started; earlier input stays in the port.
    pub is_read: bool,
    /// Overruns: times that the port's FIFO was full and a byte was lost.
    pub overruns: u64,
}

/// Port for programs: records.
pub struct RecordPort {
    pub wire: Wire,
    /// Whether the record that ends the run is queued; no notice follows it.
    pub has_end: bool,
}

/// The first serial port.
pub static LOG_PORT: IrqSpinLock<LogPort> = IrqSpinLock::of(
    LockClass::SERIAL_PORT,
    LogPort { wire: Wire::new(), line: Screen::new(), input: Ring::new(), is_read: false, overruns: 0 },
);
/// The second serial port.
pub static RECORD_PORT: IrqSpinLock<RecordPort> =
    IrqSpinLock::of(LockClass::SERIAL_PORT, RecordPort { wire: Wire::new(), has_end: false });

/// Probes and configures both ports.
pub fn init() {
    // SAFETY: COM1 and COM2 are 16550s or nothing on every PC, and this module alone drives them (invariant 16).
    unsafe {
        LOG_PORT.lock().wire.open(COM1);
        RECORD_PORT.lock().wire.open(COM2);
    }
}

/// Operations common to both ports.
pub trait Port {
    /// Bytes that end a line.
    const LINE_END: &'static [u8];

    /// Returns the port's output queue and registers.
    fn wire(&mut self) -> &mut Wire;

    /// Sends a part of the queued bytes. The log port also takes input, which would overrun its FIFO during a long line.
    fn step(&mut self) -> Step {
        self.wire().step()
    }

    /// Makes the port usable after the CPU that used it was stopped.
    fn seize(&mut self) {
        self.wire().seize(Self::LINE_END);
    }

    /// Queues a notice that `lost` lines were lost. Returns the end of the notice as a count of queued bytes, `None` if it
    /// does not fit.
    fn put_notice(&mut self, lost: u64) -> Option<u64>;

    /// Queues a notice of lost lines, once the port moves and the notice fits.
    fn report_lost(&mut self) {
        let lost = self.wire().out.unreported();
        if lost > 0 && self.put_notice(lost).is_some() {
            self.wire().out.note_reported();
        }
    }
}

impl Port for LogPort {
    const LINE_END: &'static [u8] = b"\r\n";

    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn step(&mut self) -> Step {
        let step = self.wire.step();
        self.receive();
        step
    }

    fn seize(&mut self) {
        // No reader runs any more, so the input line is ended.
        self.is_read = false;
        let is_typing = !core::mem::take(&mut self.line).is_empty();
        self.wire.seize(Self::LINE_END);
        if is_typing {
            // If this does not fit, the report does not fit either.
            let _ = self.wire.out.put(tsc::now_ns(), |send| send(Self::LINE_END));
        }
    }

    fn put_notice(&mut self, lost: u64) -> Option<u64> {
        let mut notice = LineBuf::<64>::new();
        let _ = write!(notice, "console: {lost} lines lost");
        self.put_line(notice.as_str())
    }
}

impl Port for RecordPort {
    const LINE_END: &'static [u8] = b"\n";

    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn put_notice(&mut self, lost: u64) -> Option<u64> {
        if self.has_end {
            return None;
        }
        let mut what = LineBuf::<64>::new();
        let _ = write!(what, "console: {lost} records lost");
        let t_ns = tsc::now_ns();
        let mut buffer = [0; 256];
        let line = Record::Warning { t_ns, what: what.as_str() }.to_line(&mut buffer).ok()?;
        self.wire.out.put(t_ns, |send| send(line))
    }
}

impl LogPort {
    /// Queues a log line above the input line. Returns its end as a count of queued bytes, `None` if it does not fit.
    pub fn put_line(&mut self, text: &str) -> Option<u64> {
        let Self { wire, line, .. } = self;
        wire.out.put(tsc::now_ns(), |send| {
            line.step_aside(send);
            send(text.as_bytes());
            send(Self::LINE_END);
            line.step_back(send);
        })
    }

    /// Moves bytes from the port's FIFO to `input`, until `input` is full.
    ///
    /// An interrupt may find no byte, because an earlier call took it. The interrupt handler therefore wakes the reader
    /// even if it took nothing itself. When `input` is full, the data interrupt is disabled: its level would stay
    /// asserted and interrupt for ever. [`input::take`](super::input::take) enables it again.
    pub fn receive(&mut self) {
        let Some(uart) = self.wire.uart.as_mut().filter(|_| self.is_read) else { return };
        while uart.has_input() {
            if self.input.is_full() {
                uart.disable(ON_DATA);
                return;
            }
            let input = uart.receive();
            self.overruns += u64::from(input.is_overrun);
            if let Some(byte) = input.byte {
                self.input.push(byte);
            }
        }
    }
}
