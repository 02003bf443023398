//! A serial port and the lines that wait for it.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use uart::outbox::Outbox;
use uart::port::{FIFO_BYTES, Registers, Uart};
use uart_16550::Uart16550;
use uart_16550::backend::{Backend, PioBackend};
use uart_16550::spec::NUM_REGISTERS;

use crate::arch::tsc;

/// Bytes that wait for a port: six seconds' worth at 115 200 baud.
const OUTBOX_BYTES: usize = 64 << 10;

/// A port's registers, by port I/O.
pub struct PortIo(PioBackend);

impl PortIo {
    /// Returns the registers from port `base` on; `None` where there are not as many ports. Touches none of them.
    ///
    /// # Safety
    /// The 8 ports from `base` on are a 16550 or nothing, and nobody else uses them.
    unsafe fn new(base: u16) -> Option<Self> {
        // SAFETY: the caller's promise is what the library asks for.
        let port = unsafe { Uart16550::new_port(base) }.ok()?;
        Some(Self(*port.backend()))
    }
}

/// The register that `offset` selects by its low bits, as on the chip's address lines.
const fn register(offset: u8) -> u8 {
    const { assert!(NUM_REGISTERS == 8) };
    offset & 7
}

// The library's instructions are not `nomem`: `Wire::step` notes in memory that it is sending, before and after.
impl Registers for PortIo {
    fn read(&mut self, offset: u8) -> u8 {
        // SAFETY: `register` is below `NUM_REGISTERS`; `new` was promised the ports (invariant 16).
        unsafe { self.0.read(register(offset)) }
    }

    fn write(&mut self, offset: u8, value: u8) {
        // SAFETY: as for `read`.
        unsafe { self.0.write(register(offset), value) }
    }
}

/// What a step came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing waits.
    Empty,
    /// The port took something.
    Moved,
    /// The port is busy.
    Blocked,
    /// The port has been busy for so long that it is not worth waiting for.
    Stuck,
}

/// A port and the lines that wait for it. A port that is not there takes everything.
pub struct Wire {
    pub uart: Option<Uart<PortIo>>,
    pub out: Outbox<OUTBOX_BYTES>,
    /// Between the first byte that goes to the port and the note that it is out.
    is_sending: AtomicBool,
}

impl Wire {
    pub const fn new() -> Self {
        Self { uart: None, out: Outbox::new(), is_sending: AtomicBool::new(false) }
    }

    /// Finds and sets up the port at `base`.
    ///
    /// # Safety
    /// The 8 ports from `base` on are a 16550 or nothing, and nobody else uses them.
    pub unsafe fn open(&mut self, base: u16) {
        // SAFETY: the caller promises the same.
        self.uart = unsafe { PortIo::new(base) }.and_then(Uart::open);
    }

    /// Gives the port what it takes at once, a FIFO at most. Never waits.
    pub fn step(&mut self) -> Step {
        let Some(uart) = &mut self.uart else {
            self.out.take(usize::MAX);
            return Step::Empty;
        };
        if self.out.is_empty() {
            return Step::Empty;
        }
        let front = self.out.front();
        self.is_sending.store(true, SeqCst);
        let sent = uart.send(&front[..front.len().min(FIFO_BYTES)]);
        self.out.take(sent);
        self.is_sending.store(false, SeqCst);
        match sent {
            0 if self.out.note_blocked(tsc::now_ns()) => Step::Stuck,
            0 => Step::Blocked,
            _ => Step::Moved,
        }
    }

    /// Ends what a stopped CPU left half sent.
    pub fn seize(&mut self, line_end: &[u8]) {
        let is_torn = self.is_sending.swap(false, SeqCst);
        if self.out.seize(is_torn) {
            self.end_line(line_end);
        }
    }

    /// Loses what waits, and ends what is begun.
    pub fn discard(&mut self, line_end: &[u8]) {
        if self.out.discard() {
            self.end_line(line_end);
        }
    }

    /// Before all that waits.
    fn end_line(&mut self, line_end: &[u8]) {
        self.out.put_first(line_end);
    }
}
