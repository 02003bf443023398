//! A 16550, or what behaves nearly like one.
//!
//! Presence is decided by registers that every relative of the 8250 has: interrupt enable, interrupt identification, line
//! status. The scratch register is only one more sign (the 8250 has none), and loopback is not used at all: some
//! emulated ports have none.

/// Most bytes that the transmitter's FIFO holds.
pub const FIFO_BYTES: usize = 16;

/// Access to a port's 8 registers.
pub trait Registers {
    /// Reads register `offset`.
    fn read(&mut self, offset: u8) -> u8;
    /// Writes register `offset`.
    fn write(&mut self, offset: u8, value: u8);
}

const DATA: u8 = 0;
const INTERRUPT_ENABLE: u8 = 1;
/// Read: interrupt identification; write: FIFO control.
const IDENTIFICATION: u8 = 2;
const FIFO_CONTROL: u8 = 2;
const LINE_CONTROL: u8 = 3;
const MODEM_CONTROL: u8 = 4;
const LINE_STATUS: u8 = 5;
const MODEM_STATUS: u8 = 6;
const SCRATCH: u8 = 7;

/// While the divisor is accessed, [`DATA`] and [`INTERRUPT_ENABLE`] are its halves.
const DIVISOR_ACCESS: u8 = 1 << 7;
const EIGHT_BITS: u8 = 0b11;
/// 115 200 baud.
const DIVISOR: u8 = 1;
/// FIFOs on and emptied; interrupts from the first byte on.
const FIFO_ON: u8 = 0b111;
/// In [`IDENTIFICATION`]: FIFOs are on, and work.
const FIFO_WORKS: u8 = 0b11 << 6;
/// In [`IDENTIFICATION`]: no interrupt waits.
const NO_INTERRUPT: u8 = 1;
/// Ready, request to send, and the gate of the interrupt line.
const MODEM_READY: u8 = 0b1011;

const DATA_READY: u8 = 1 << 0;
const OVERRUN: u8 = 1 << 1;
const TRANSMITTER_FREE: u8 = 1 << 5;
const TRANSMITTER_EMPTY: u8 = 1 << 6;

/// In [`Uart::enable`]: an interrupt for bytes that came in.
pub const ON_DATA: u8 = 1 << 0;
/// In [`Uart::enable`]: an interrupt for a free transmitter.
pub const ON_TRANSMITTER_FREE: u8 = 1 << 1;
const ALL_INTERRUPTS: u8 = 0x0f;

/// Whether a port answers. Leaves it with interrupts off.
pub fn is_present(registers: &mut impl Registers) -> bool {
    // Firmware may have left the divisor in the way, and the interrupt line open.
    registers.write(LINE_CONTROL, EIGHT_BITS);
    registers.write(MODEM_CONTROL, 0);
    let keeps = |registers: &mut _, offset, mask: u8, values: [u8; 2]| {
        values.into_iter().all(|value| keeps(registers, offset, mask, value))
    };
    let has_enable = keeps(registers, INTERRUPT_ENABLE, ALL_INTERRUPTS, [ALL_INTERRUPTS, 0]);
    let has_scratch = keeps(registers, SCRATCH, 0xff, [0x42, 0x73]);
    registers.write(INTERRUPT_ENABLE, 0);
    let identification = registers.read(IDENTIFICATION);
    let is_plausible =
        identification != 0xff && identification & NO_INTERRUPT != 0 && registers.read(LINE_STATUS) != 0xff;
    (has_enable || has_scratch) && is_plausible
}

/// Whether register `offset` keeps `value`, as far as `mask` goes. So does a floating bus that holds the last byte that was on
/// it; but on that one an interrupt waits, right after interrupts were switched off.
fn keeps(registers: &mut impl Registers, offset: u8, mask: u8, value: u8) -> bool {
    registers.write(offset, value);
    registers.read(offset) & mask == value
}

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// The oldest byte; `None` when there is none.
    pub byte: Option<u8>,
    /// Bytes were lost before it: they came faster than they were taken.
    pub is_overrun: bool,
}

/// A port that was found and set up.
#[derive(Debug)]
pub struct Uart<R> {
    registers: R,
    fifo_bytes: usize,
    interrupts: u8,
    /// An overrun that was read along with the transmitter's state: reading clears it.
    is_overrun: bool,
}

impl<R: Registers> Uart<R> {
    /// Finds and sets up the port: 115 200 baud, 8 bits, FIFOs where they work, no interrupts. `None` when none answers.
    pub fn open(mut registers: R) -> Option<Self> {
        if !is_present(&mut registers) {
            return None;
        }
        registers.write(LINE_CONTROL, EIGHT_BITS | DIVISOR_ACCESS);
        registers.write(DATA, DIVISOR);
        registers.write(INTERRUPT_ENABLE, 0);
        registers.write(LINE_CONTROL, EIGHT_BITS);
        registers.write(FIFO_CONTROL, FIFO_ON);
        registers.write(MODEM_CONTROL, MODEM_READY);
        let has_fifo = registers.read(IDENTIFICATION) & FIFO_WORKS == FIFO_WORKS;
        // Reading clears what is left from before.
        registers.read(LINE_STATUS);
        registers.read(MODEM_STATUS);
        let fifo_bytes = if has_fifo { FIFO_BYTES } else { 1 };
        Some(Self { registers, fifo_bytes, interrupts: 0, is_overrun: false })
    }

    /// Sends the first of `bytes`, as many as the transmitter takes at once: none while it is busy. Never waits.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        if bytes.is_empty() || self.status() & TRANSMITTER_FREE == 0 {
            return 0;
        }
        let part = &bytes[..bytes.len().min(self.fifo_bytes)];
        for byte in part {
            self.registers.write(DATA, *byte);
        }
        part.len()
    }

    /// Whether all that was sent is on the line.
    pub fn is_drained(&mut self) -> bool {
        self.status() & TRANSMITTER_EMPTY != 0
    }

    /// Whether a byte waits to be taken.
    pub fn has_input(&mut self) -> bool {
        self.status() & DATA_READY != 0
    }

    /// Takes a byte that came in.
    pub fn receive(&mut self) -> Input {
        let has_byte = self.has_input();
        let is_overrun = core::mem::take(&mut self.is_overrun);
        Input { byte: has_byte.then(|| self.registers.read(DATA)), is_overrun }
    }

    /// Has the port interrupt for `causes` too.
    pub fn enable(&mut self, causes: u8) {
        self.interrupts |= causes;
        self.registers.write(INTERRUPT_ENABLE, self.interrupts);
    }

    /// Has the port no longer interrupt for `causes`.
    pub fn disable(&mut self, causes: u8) {
        self.interrupts &= !causes;
        self.registers.write(INTERRUPT_ENABLE, self.interrupts);
    }

    /// What the port interrupts for.
    pub const fn enabled(&self) -> u8 {
        self.interrupts
    }

    fn status(&mut self) -> u8 {
        let status = self.registers.read(LINE_STATUS);
        self.is_overrun |= status & OVERRUN != 0;
        status
    }
}
