//! Driver for a 16550 or a close relative.
//!
//! The crate `uart_16550` defines registers and bits. Its driver is not used: its set-up waits for a busy transmitter
//! without bound, and its probe relies on the scratch register (decision 62).
//!
//! Detection uses registers that every relative of the 8250 has: interrupt enable, interrupt identification, line status.
//! The scratch register is an additional sign, as the 8250 has none. Loopback is not used, as some emulated ports have none.

use uart_16550::BaudRate;
use uart_16550::spec::registers::{FCR, FifoTriggerLevel, IER, ISR, LCR, LSR, MCR, WordLength, offsets};
use uart_16550::spec::{CLK_FREQUENCY_HZ, FIFO_SIZE, calc_divisor};

/// Capacity of the transmitter's FIFO.
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

/// Value that an empty bus reads as.
const NO_DEVICE: u8 = 0xff;
const BAUD_RATE: BaudRate = BaudRate::Baud115200;
/// 8 bits, no parity, one stop bit, and the divisor latch closed.
const EIGHT_BITS: LCR = LCR::empty().set_word_length(WordLength::EightBits);
/// FIFOs enabled and emptied, with an interrupt from the first byte on.
const FIFO_ON: FCR = FCR::FIFO_ENABLE
    .union(FCR::RX_FIFO_RESET)
    .union(FCR::TX_FIFO_RESET)
    .set_fifo_trigger_level(FifoTriggerLevel::One);
/// Data terminal ready, request to send, and the gate of the interrupt line.
const MODEM_READY: MCR = MCR::DTR.union(MCR::RTS).union(MCR::OUT_2_INT_ENABLE);

/// For [`Uart::enable`]: interrupt when a byte has arrived.
pub const ON_DATA: u8 = IER::DATA_READY.bits();
/// For [`Uart::enable`]: interrupt when the transmitter is free.
pub const ON_TRANSMITTER_FREE: u8 = IER::THR_EMPTY.bits();
/// Interrupts that every relative of the 8250 has.
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

/// Returns whether a port answers. Leaves its interrupts disabled.
pub fn is_present(registers: &mut impl Registers) -> bool {
    // Firmware may have left the divisor latch open and the interrupt line enabled.
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

/// Returns whether register `offset` keeps the bits of `value` in `mask`. A floating bus that holds its last byte does so
/// too. There, an interrupt seems to be pending right after interrupts were disabled, which [`is_present`] checks.
fn keeps(registers: &mut impl Registers, offset: usize, mask: u8, value: u8) -> bool {
    write(registers, offset, value);
    read(registers, offset) & mask == value
}

/// Result of [`Uart::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// The oldest byte; `None` if no byte has arrived.
    pub byte: Option<u8>,
    /// Whether bytes before it were lost because the FIFO was full.
    pub is_overrun: bool,
}

/// A port that was detected and set up.
#[derive(Debug)]
pub struct Uart<R> {
    registers: R,
    fifo_bytes: usize,
    interrupts: u8,
    /// An overrun seen when the line status was read for another reason: reading clears it.
    is_overrun: bool,
}

impl<R: Registers> Uart<R> {
    /// Detects and sets up the port: 115 200 baud, 8 bits, FIFOs if they work, no interrupts. `None` if no port answers.
    pub fn open(mut registers: R) -> Option<Self> {
        if !is_present(&mut registers) {
            return None;
        }
        let port = &mut registers;
        // Clock and rate are constants that divide evenly.
        let divisor = calc_divisor(CLK_FREQUENCY_HZ, BAUD_RATE.to_integer(), None).ok()?;
        let [divisor_low, divisor_high] = divisor.to_le_bytes();
        write(port, offsets::LCR, (EIGHT_BITS | LCR::DLAB).bits());
        write(port, offsets::DLL, divisor_low);
        write(port, offsets::DLM, divisor_high);
        write(port, offsets::LCR, EIGHT_BITS.bits());
        write(port, offsets::FCR, FIFO_ON.bits());
        write(port, offsets::MCR, MODEM_READY.bits());
        let has_fifo = ISR::from_bits_retain(read(port, offsets::ISR)).fifo_enabled();
        // Reading clears old status.
        read(port, offsets::LSR);
        read(port, offsets::MSR);
        let fifo_bytes = if has_fifo { FIFO_BYTES } else { 1 };
        Some(Self { registers, fifo_bytes, interrupts: 0, is_overrun: false })
    }

    /// Sends the first of `bytes`, as many as the transmitter takes at once: none while it is busy. Returns their number.
    /// Never waits.
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

    /// Returns whether all bytes have left the transmitter.
    pub fn is_drained(&mut self) -> bool {
        self.status().contains(LSR::TRANSMITTER_EMPTY)
    }

    /// Returns whether a byte has arrived.
    pub fn has_input(&mut self) -> bool {
        self.status().contains(LSR::DATA_READY)
    }

    /// Takes the oldest byte that has arrived.
    pub fn receive(&mut self) -> Input {
        let has_byte = self.has_input();
        let is_overrun = core::mem::take(&mut self.is_overrun);
        Input { byte: has_byte.then(|| read(&mut self.registers, offsets::DATA)), is_overrun }
    }

    /// Enables interrupts for `causes`.
    pub fn enable(&mut self, causes: u8) {
        self.interrupts |= causes;
        write(&mut self.registers, offsets::IER, self.interrupts);
    }

    /// Enables the interrupt for a free transmitter, and has the port raise it. A 16550 does so at once. The ports of some
    /// virtual machines do so only after a byte; they get a carriage return, which changes nothing at the start of a line.
    pub fn provoke_interrupt(&mut self) {
        self.enable(ON_TRANSMITTER_FREE);
        self.send(b"\r");
    }

    /// Disables interrupts for `causes`.
    pub fn disable(&mut self, causes: u8) {
        self.interrupts &= !causes;
        write(&mut self.registers, offsets::IER, self.interrupts);
    }

    /// Returns the causes for which interrupts are enabled.
    pub const fn enabled(&self) -> u8 {
        self.interrupts
    }

    fn status(&mut self) -> LSR {
        let status = LSR::from_bits_retain(read(&mut self.registers, offsets::LSR));
        self.is_overrun |= status.contains(LSR::OVERRUN_ERROR);
        status
    }
}
