//! The two serial ports. A missing or broken port is not an error: what would
//! go there is dropped.

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

/// Bytes that wait for a reader. When there are more, they wait in the port, and then with the sender.
const INPUT_BYTES: usize = 1024;
/// The longest unfinished line that is shown.
pub const LINE_BYTES: usize = 256;
/// The port for people: the log, and a line that is being typed.
pub struct LogPort {
    pub wire: Wire,
    /// The line below the log that is not finished.
    pub line: Screen<LINE_BYTES>,
    pub input: Ring<INPUT_BYTES>,
    /// Somebody reads; what comes before is nobody's.
    pub is_read: bool,
    /// Times that bytes came faster than they were taken.
    pub overruns: u64,
}

/// The port for programs.
pub struct RecordPort {
    pub wire: Wire,
    /// The record that ends the run is queued: no notice comes after it.
    pub has_end: bool,
}

pub static LOG_PORT: IrqSpinLock<LogPort> = IrqSpinLock::of(
    LockClass::SERIAL_PORT,
    LogPort { wire: Wire::new(), line: Screen::new(), input: Ring::new(), is_read: false, overruns: 0 },
);
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

/// What both ports have in common.
pub trait Port {
    const LINE_END: &'static [u8];
    fn wire(&mut self) -> &mut Wire;

    /// Sends a part, and looks after the other direction: what comes in during a long line would overrun the port.
    fn step(&mut self) -> Step {
        self.wire().step()
    }

    /// Gets the port into a state from which it can be used, after the CPU that used it was stopped.
    fn seize(&mut self) {
        self.wire().seize(Self::LINE_END);
    }

    /// Queues a line that tells of `lost` others.
    fn put_notice(&mut self, lost: u64) -> Option<u64>;

    /// Tells of lines that were lost, once there is room and somebody may hear it.
    fn tell_lost(&mut self) {
        let lost = self.wire().out.untold();
        if lost > 0 && self.put_notice(lost).is_some() {
            self.wire().out.note_told();
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
        // Nobody types here any more; the line that was being typed is ended.
        self.is_read = false;
        let is_typing = !core::mem::take(&mut self.line).is_empty();
        self.wire.seize(Self::LINE_END);
        if is_typing {
            // Where it finds no room, so does nothing else.
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
    pub fn put_line(&mut self, text: &str) -> Option<u64> {
        let Self { wire, line, .. } = self;
        wire.out.put(tsc::now_ns(), |send| {
            line.step_aside(send);
            send(text.as_bytes());
            send(Self::LINE_END);
            line.step_back(send);
        })
    }

    /// Takes what the port holds, as far as there is room.
    ///
    /// Bytes may be taken here, and their interrupt come later and find none: so the interrupt wakes the reader
    /// whenever there is input, not only when it brought some. When there is no room the port is to interrupt no more, for a
    /// level that nobody takes away would do so for ever; [`input::take`](super::input::take) lets it again.
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
