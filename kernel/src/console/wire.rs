//! A serial port and the lines that wait for it.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use uart::outbox::Outbox;
use uart::port::{FIFO_BYTES, Registers, Uart};

use crate::arch::tsc;

/// Bytes that wait for a port: six seconds' worth at 115 200 baud.
const OUTBOX_BYTES: usize = 64 << 10;

/// A port's registers, by port I/O.
pub struct PortIo {
    base: u16,
}

impl Registers for PortIo {
    fn read(&mut self, offset: u8) -> u8 {
        let value: u8;
        // SAFETY: `Wire::open` was promised the 8 ports from `base` on; `offset` is one of the 8 registers. Not `nomem`:
        // `Wire::step` notes in memory that it is sending, before and after.
        unsafe {
            core::arch::asm!("in al, dx", out("al") value, in("dx") self.base + u16::from(offset & 7),
                options(nostack, preserves_flags));
        }
        value
    }

    fn write(&mut self, offset: u8, value: u8) {
        // SAFETY: as for `read`.
        unsafe {
            core::arch::asm!("out dx, al", in("al") value, in("dx") self.base + u16::from(offset & 7),
                options(nostack, preserves_flags));
        }
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
        self.uart = Uart::open(PortIo { base });
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
