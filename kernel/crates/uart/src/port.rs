//! A 16550, or what behaves nearly like one.
//!
//! Registers and their bits are those of the crate `uart_16550`. Its driver is not used: its set-up waits for a busy
//! transmitter without bound, and its probe relies on the scratch register (decision 62).
//!
//! Presence is decided by registers that every relative of the 8250 has: interrupt enable, interrupt identification, line
//! status. The scratch register is only one more sign (the 8250 has none), and loopback is not used at all: some
//! emulated ports have none.

use uart_16550::BaudRate;
use uart_16550::spec::registers::{FCR, FifoTriggerLevel, IER, ISR, LCR, LSR, MCR, WordLength, offsets};
use uart_16550::spec::{CLK_FREQUENCY_HZ, FIFO_SIZE, calc_divisor};

/// Most bytes that the transmitter's FIFO holds.
pub const FIFO_BYTES: usize = FIFO_SIZE;

/// Access to a port's 8 registers.
///
/// The safe counterpart of the library's `Backend`, whose methods are unsafe.
pub trait Registers {
    /// Reads register `offset`.
    fn read(&mut self, offset: u8) -> u8;
    /// Writes register `offset`.
    fn write(&mut self, offset: u8, value: u8);
}

/// What an empty bus reads as.
const NO_DEVICE: u8 = 0xff;
const BAUD_RATE: BaudRate = BaudRate::Baud115200;
/// No parity, one stop bit; the divisor is out of the way.
const EIGHT_BITS: LCR = LCR::empty().set_word_length(WordLength::EightBits);
/// FIFOs on and emptied; interrupts from the first byte on.
const FIFO_ON: FCR = FCR::FIFO_ENABLE
    .union(FCR::RX_FIFO_RESET)
    .union(FCR::TX_FIFO_RESET)
    .set_fifo_trigger_level(FifoTriggerLevel::One);
/// Ready, request to send, and the gate of the interrupt line.
const MODEM_READY: MCR = MCR::DTR.union(MCR::RTS).union(MCR::OUT_2_INT_ENABLE);

/// In [`Uart::enable`]: an interrupt for bytes that came in.
pub const ON_DATA: u8 = IER::DATA_READY.bits();
/// In [`Uart::enable`]: an interrupt for a free transmitter.
pub const ON_TRANSMITTER_FREE: u8 = IER::THR_EMPTY.bits();
/// Those that every relative of the 8250 has.
const ALL_INTERRUPTS: u8 =
    IER::DATA_READY.union(IER::THR_EMPTY).union(IER::RECEIVER_LINE_STATUS).union(IER::MODEM_STATUS).bits();

/// Reads the register at one of the library's `offsets`.
fn read(registers: &mut impl Registers, offset: usize) -> u8 {
    registers.read(offset as u8)
}

/// Writes the register at one of the library's `offsets`.
fn write(registers: &mut impl Registers, offset: usize, value: u8) {
    registers.write(offset as u8, value);
}

/// Whether a port answers. Leaves it with interrupts off.
pub fn is_present(registers: &mut impl Registers) -> bool {
    // Firmware may have left the divisor in the way, and the interrupt line open.
    write(registers, offsets::LCR, EIGHT_BITS.bits());
    write(registers, offsets::MCR, MCR::empty().bits());
    let keeps = |registers: &mut _, offset, mask: u8, values: [u8; 2]| {
        values.into_iter().all(|value| keeps(registers, offset, mask, value))
    };
    let has_enable = keeps(registers, offsets::IER, ALL_INTERRUPTS, [ALL_INTERRUPTS, 0]);
    let has_scratch = keeps(registers, offsets::SPR, 0xff, [0x42, 0x73]);
    write(registers, offsets::IER, IER::empty().bits());
    let identification = ISR::from_bits_retain(read(registers, offsets::ISR));
    let is_plausible = identification.bits() != NO_DEVICE
        && !identification.has_pending_interrupt()
        && read(registers, offsets::LSR) != NO_DEVICE;
    (has_enable || has_scratch) && is_plausible
}

/// Whether register `offset` keeps `value`, as far as `mask` goes. So does a floating bus that holds the last byte that was on
/// it; but on that one an interrupt waits, right after interrupts were switched off.
fn keeps(registers: &mut impl Registers, offset: usize, mask: u8, value: u8) -> bool {
    write(registers, offset, value);
    read(registers, offset) & mask == value
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
        let port = &mut registers;
        // Both are constants that divide evenly.
        let divisor = calc_divisor(CLK_FREQUENCY_HZ, BAUD_RATE.to_integer(), None).ok()?;
        let [divisor_low, divisor_high] = divisor.to_le_bytes();
        write(port, offsets::LCR, (EIGHT_BITS | LCR::DLAB).bits());
        write(port, offsets::DLL, divisor_low);
        write(port, offsets::DLM, divisor_high);
        write(port, offsets::LCR, EIGHT_BITS.bits());
        write(port, offsets::FCR, FIFO_ON.bits());
        write(port, offsets::MCR, MODEM_READY.bits());
        let has_fifo = ISR::from_bits_retain(read(port, offsets::ISR)).fifo_enabled();
        // Reading clears what is left from before.
        read(port, offsets::LSR);
        read(port, offsets::MSR);
        let fifo_bytes = if has_fifo { FIFO_BYTES } else { 1 };
        Some(Self { registers, fifo_bytes, interrupts: 0, is_overrun: false })
    }

    /// Sends the first of `bytes`, as many as the transmitter takes at once: none while it is busy. Never waits.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        if bytes.is_empty() || !self.status().contains(LSR::THR_EMPTY) {
            return 0;
        }
        let part = &bytes[..bytes.len().min(self.fifo_bytes)];
        for byte in part {
            write(&mut self.registers, offsets::DATA, *byte);
        }
        part.len()
    }

    /// Whether all that was sent is on the line.
    pub fn is_drained(&mut self) -> bool {
        self.status().contains(LSR::TRANSMITTER_EMPTY)
    }

    /// Whether a byte waits to be taken.
    pub fn has_input(&mut self) -> bool {
        self.status().contains(LSR::DATA_READY)
    }

    /// Takes a byte that came in.
    pub fn receive(&mut self) -> Input {
        let has_byte = self.has_input();
        let is_overrun = core::mem::take(&mut self.is_overrun);
        Input { byte: has_byte.then(|| read(&mut self.registers, offsets::DATA)), is_overrun }
    }

    /// Has the port interrupt for `causes` too.
    pub fn enable(&mut self, causes: u8) {
        self.interrupts |= causes;
        write(&mut self.registers, offsets::IER, self.interrupts);
    }

    /// Has the port no longer interrupt for `causes`.
    pub fn disable(&mut self, causes: u8) {
        self.interrupts &= !causes;
        write(&mut self.registers, offsets::IER, self.interrupts);
    }

    /// What the port interrupts for.
    pub const fn enabled(&self) -> u8 {
        self.interrupts
    }

    fn status(&mut self) -> LSR {
        let status = LSR::from_bits_retain(read(&mut self.registers, offsets::LSR));
        self.is_overrun |= status.contains(LSR::OVERRUN_ERROR);
        status
    }
}
