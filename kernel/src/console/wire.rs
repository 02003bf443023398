//! A serial port and its output queue.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use uart::outbox::Outbox;
use uart::port::{FIFO_BYTES, Registers, Uart};
use uart_16550::Uart16550;
use uart_16550::backend::{Backend, PioBackend};
use uart_16550::spec::NUM_REGISTERS;

use crate::arch::tsc;

/// Capacity of the output queue: six seconds at 115 200 baud.
const OUTBOX_BYTES: usize = 64 << 10;

/// A port's registers, by port I/O.
pub struct PortIo(PioBackend);

impl PortIo {
    /// Returns the registers from port `base` on, `None` if they would end beyond the last port. Accesses none of them.
    ///
    /// # Safety
    /// The 8 ports from `base` on are a 16550 or absent, and no other code uses them.
    unsafe fn new(base: u16) -> Option<Self> {
        // SAFETY: the library requires what the caller promises: a 16550 or nothing, and no other user.
        let port = unsafe { Uart16550::new_port(base) }.ok()?;
        Some(Self(*port.backend()))
    }
}

/// Returns the register that `offset` selects: its low bits, as on the chip's address lines.
const fn register(offset: u8) -> u8 {
    const { assert!(NUM_REGISTERS == 8) };
    offset & 7
}

// The library's port instructions are not `nomem`, so the stores to `is_sending` in `Wire::step` stay on their sides of
// them.
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

/// Result of [`Wire::step`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The queue is empty.
    Empty,
    /// The port took at least one byte.
    Moved,
    /// The port is busy: it took nothing.
    Blocked,
    /// The port has been busy for longer than the timeout.
    Stuck,
}

/// A port and its output queue. A missing port takes everything.
pub struct Wire {
    /// The port, if present.
    pub uart: Option<Uart<PortIo>>,
    /// Lines that wait to be sent.
    pub out: Outbox<OUTBOX_BYTES>,
    /// Set while bytes go to the port and the queue does not know yet that they are out.
    is_sending: AtomicBool,
}

impl Wire {
    /// Returns an empty queue without a port.
    pub const fn new() -> Self {
        Self { uart: None, out: Outbox::new(), is_sending: AtomicBool::new(false) }
    }

    /// Finds and sets up the port at `base`.
    ///
    /// # Safety
    /// The 8 ports from `base` on are a 16550 or absent, and no other code uses them.
    pub unsafe fn open(&mut self, base: u16) {
        // SAFETY: the caller promises the same.
        self.uart = unsafe { PortIo::new(base) }.and_then(Uart::open);
    }

    /// Sends what the port takes at once, at most a FIFO's size. Never waits.
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

    /// Ends a line that a stopped CPU left half sent.
    pub fn seize(&mut self, line_end: &[u8]) {
        let is_torn = self.is_sending.swap(false, SeqCst);
        if self.out.seize(is_torn) {
            self.end_line(line_end);
        }
    }

    /// Drops all queued lines, and ends a line that is partly sent.
    pub fn discard(&mut self, line_end: &[u8]) {
        if self.out.discard() {
            self.end_line(line_end);
        }
    }

    /// Puts a line end in front of the queue.
    fn end_line(&mut self, line_end: &[u8]) {
        self.out.put_first(line_end);
    }
}
