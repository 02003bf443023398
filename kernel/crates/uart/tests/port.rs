//! Ports of all kinds, and buses without a port.

use std::collections::VecDeque;
use uart::port::{FIFO_BYTES, ON_DATA, ON_TRANSMITTER_FREE, Registers, Uart, is_present};

/// How a port differs from a sound 16550.
#[derive(Clone, Copy, Default)]
struct Kind {
    /// Modem signals do not come back in loopback: the register always reads 0xb0.
    no_loopback: bool,
    no_scratch: bool,
    no_fifo: bool,
    is_busy: bool,
    /// A free transmitter interrupts only after a byte, not when its interrupt is enabled: so in Cloud Hypervisor and
    /// Firecracker.
    needs_byte: bool,
}

#[derive(Default)]
struct Fake {
    kind: Kind,
    enable: u8,
    fifo: u8,
    line: u8,
    modem: u8,
    scratch: u8,
    sent: Vec<u8>,
    input: VecDeque<u8>,
    is_overrun: bool,
    /// Interrupts of a free transmitter.
    interrupts: u32,
}

impl Fake {
    fn new(kind: Kind) -> Self {
        // As firmware may leave it: divisor latch open, interrupts enabled.
        Self { kind, line: 0x83, enable: 0x05, ..Self::default() }
    }
}

impl Registers for &mut Fake {
    fn read(&mut self, offset: u8) -> u8 {
        let is_divisor = self.line & 0x80 != 0;
        match offset {
            0 if is_divisor => 1,
            0 => self.input.pop_front().unwrap_or(0),
            1 if is_divisor => 0,
            1 => self.enable,
            2 => 1 | if self.fifo & 1 != 0 && !self.kind.no_fifo { 0xc0 } else { 0 },
            3 => self.line,
            4 => self.modem,
            5 => {
                let overrun = u8::from(std::mem::take(&mut self.is_overrun)) << 1;
                let free = if self.kind.is_busy { 0 } else { 0x60 };
                free | overrun | u8::from(!self.input.is_empty())
            }
            6 if self.modem & 0x10 == 0 || self.kind.no_loopback => 0xb0,
            6 => self.modem << 4,
            _ if self.kind.no_scratch => 0,
            _ => self.scratch,
        }
    }

    fn write(&mut self, offset: u8, value: u8) {
        let is_divisor = self.line & 0x80 != 0;
        match offset {
            0 if is_divisor => {}
            0 => {
                self.sent.push(value);
                self.interrupts += u32::from(self.enable & 2 != 0);
            }
            1 if is_divisor => {}
            1 => {
                let is_new = !self.enable & value & 2 != 0;
                self.interrupts += u32::from(is_new && !self.kind.needs_byte);
                self.enable = value & 0x0f;
            }
            2 => self.fifo = value,
            3 => self.line = value,
            4 => self.modem = value,
            7 => self.scratch = value,
            _ => {}
        }
    }
}

/// A bus without a port: it reads as a constant, or as the last byte on the bus.
struct Nothing {
    constant: Option<u8>,
    last: u8,
}

impl Registers for Nothing {
    fn read(&mut self, _: u8) -> u8 {
        self.constant.unwrap_or(self.last)
    }
    fn write(&mut self, _: u8, value: u8) {
        self.last = value;
    }
}

#[test]
fn ports_of_all_kinds_are_found() {
    for no_loopback in [false, true] {
        for (no_scratch, no_fifo) in [(false, false), (true, false), (true, true)] {
            for is_busy in [false, true] {
                let mut fake =
                    Fake::new(Kind { no_loopback, no_scratch, no_fifo, is_busy, needs_byte: false });
                assert!(is_present(&mut &mut fake), "loopback {no_loopback} scratch {no_scratch}");
                assert_eq!(fake.enable, 0, "an interrupt is left on");
            }
        }
    }
}

#[test]
fn a_bus_without_a_port_is_not_found() {
    for constant in 0..=0xff {
        assert!(!is_present(&mut Nothing { constant: Some(constant), last: 0 }), "{constant:#x}");
    }
    for last in 0..=0xff {
        assert!(!is_present(&mut Nothing { constant: None, last }), "a bus that keeps {last:#x}");
    }
}

#[test]
fn a_busy_port_is_opened_and_not_waited_for() {
    let mut fake = Fake::new(Kind { is_busy: true, ..Kind::default() });
    let mut uart = Uart::open(&mut fake).unwrap();
    assert_eq!(uart.send(b"abc"), 0);
    assert!(!uart.is_drained());
    assert!(fake.sent.is_empty());
}

#[test]
fn an_interrupt_comes_from_every_kind_of_free_transmitter() {
    for needs_byte in [false, true] {
        let mut fake = Fake::new(Kind { needs_byte, ..Kind::default() });
        let mut uart = Uart::open(&mut fake).unwrap();
        uart.provoke_interrupt();
        uart.disable(ON_TRANSMITTER_FREE);
        assert!(fake.interrupts > 0, "needs a byte: {needs_byte}");
        assert_eq!(fake.sent, b"\r");
    }
}

#[test]
fn as_much_is_sent_as_the_transmitter_takes() {
    let text = [b'x'; 3 * FIFO_BYTES];
    let mut fake = Fake::new(Kind::default());
    assert_eq!(Uart::open(&mut fake).unwrap().send(&text), FIFO_BYTES);
    assert_eq!(fake.sent.len(), FIFO_BYTES);
    let mut fake = Fake::new(Kind { no_fifo: true, ..Kind::default() });
    assert_eq!(Uart::open(&mut fake).unwrap().send(&text), 1);
    assert_eq!(Uart::open(&mut fake).unwrap().send(b""), 0);
}

#[test]
fn an_overrun_that_a_sender_sees_is_reported_to_the_reader() {
    let mut fake = Fake::new(Kind::default());
    let mut uart = Uart::open(Overrun(&mut fake)).unwrap();
    assert_eq!((uart.receive().byte, uart.has_input()), (None, false));
    uart.enable(ON_DATA);
    assert_eq!(uart.enabled(), ON_DATA);
    uart.send(b"x");
    let input = uart.receive();
    assert_eq!((input.byte, input.is_overrun), (Some(b'k'), true));
    assert!(!uart.receive().is_overrun, "told twice");
}

/// A port that overruns at the moment when its interrupt is enabled.
struct Overrun<'a>(&'a mut Fake);

impl Registers for Overrun<'_> {
    fn read(&mut self, offset: u8) -> u8 {
        (&mut *self.0).read(offset)
    }
    fn write(&mut self, offset: u8, value: u8) {
        (&mut *self.0).write(offset, value);
        if (offset, value) == (1, ON_DATA) {
            self.0.is_overrun = true;
            self.0.input.extend(b"k");
        }
    }
}

#[test]
fn a_port_is_set_up_as_the_host_expects_it() {
    let mut fake = Fake::new(Kind::default());
    let mut divisor = [0xff; 2];
    Uart::open(Divisor(&mut fake, &mut divisor)).unwrap();
    assert_eq!(divisor, [1, 0], "115 200 baud at 1.8432 MHz");
    assert_eq!(fake.line, 0b11, "8 bits, no parity, one stop bit, divisor out of the way");
    assert_eq!(fake.fifo, 0b111, "FIFOs on and emptied, a trigger level of one byte");
    assert_eq!(fake.modem, 0b1011, "ready, request to send, interrupt gate; no loopback");
    assert_eq!(fake.enable, 0, "no interrupts");
    assert!(fake.sent.is_empty(), "something was sent");
}

/// A port that keeps the divisor that is written.
struct Divisor<'a>(&'a mut Fake, &'a mut [u8; 2]);

impl Registers for Divisor<'_> {
    fn read(&mut self, offset: u8) -> u8 {
        (&mut *self.0).read(offset)
    }
    fn write(&mut self, offset: u8, value: u8) {
        if self.0.line & 0x80 != 0 && offset < 2 {
            self.1[usize::from(offset)] = value;
        }
        (&mut *self.0).write(offset, value);
    }
}
