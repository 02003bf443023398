//! The two serial ports. A missing or broken port is not an error: what would
//! go there is dropped.

use shell::ring::Ring;
use shell::screen::Screen;
use uart_16550::backend::{Backend, PioBackend};
use uart_16550::spec::FIFO_SIZE;
use uart_16550::spec::registers::{FifoTriggerLevel, IER, LSR, MCR, MSR, offsets};
use uart_16550::{BaudRate, Config, Uart16550};

use crate::arch::irq::IrqLock;
use crate::arch::lock_class::LockClass;
use crate::arch::{cpu, tsc};

type Port = Option<Uart16550<PioBackend>>;

const COM1: u16 = 0x3f8;
const COM2: u16 = 0x2f8;

/// Bytes that wait for a reader. When there are more, they wait in the port, and then with the sender.
const INPUT_BYTES: usize = 1024;
/// The longest unfinished line that is shown.
pub const LINE_BYTES: usize = 256;

/// The port for people: the log, and a line that is being typed.
struct LogPort {
    uart: Port,
    /// The line below the log that is not finished.
    line: Screen<LINE_BYTES>,
    input: Ring<INPUT_BYTES>,
    /// Somebody reads; what comes before is nobody's.
    is_read: bool,
    /// Times that bytes came faster than they were taken.
    overruns: u64,
}

static LOG_PORT: IrqLock<LogPort> = IrqLock::of(
    LockClass::SERIAL_PORT,
    LogPort { uart: None, line: Screen::new(), input: Ring::new(), is_read: false, overruns: 0 },
);
static RECORD_PORT: IrqLock<Port> = IrqLock::of(LockClass::SERIAL_PORT, None);

/// Probes and configures both ports.
pub fn init() {
    LOG_PORT.lock().uart = open(COM1);
    *RECORD_PORT.lock() = open(COM2);
}

fn open(base_port: u16) -> Port {
    // SAFETY: COM1 and COM2 are 16550s or nothing on every PC, and this module alone drives them (invariant 16).
    let mut uart = unsafe { Uart16550::new_port(base_port) }.ok()?;
    let config = Config {
        baud_rate: BaudRate::Baud115200,
        // Whoever takes the last byte off the FIFO without having been interrupted misses nothing: see `receive`.
        fifo_trigger_level: Some(FifoTriggerLevel::One),
        ..Config::DEFAULT
    };
    uart.init(config).ok()?;
    // A floating bus can pass the scratch register test; nothing there loops signals back.
    loops_signals_back(&mut uart).then_some(uart)
}

/// Whether the port's modem signals come back in loopback mode. Not a byte, as the driver's own test has it: what
/// somebody is sending already would be taken for it, and a port that is in use for a broken one.
fn loops_signals_back(uart: &mut Uart16550<PioBackend>) -> bool {
    let before = uart.mcr();
    // What goes out comes in: request to send as clear to send, the second output as carrier.
    let mut echo = |out: MCR| {
        // SAFETY: the modem control register is one of the port's 8.
        unsafe { uart.backend_mut().write(offsets::MCR as u8, (out | MCR::LOOP_BACK).bits()) };
        uart.msr() & (MSR::CTS | MSR::DSR | MSR::RI | MSR::CD)
    };
    let both = echo(MCR::RTS | MCR::OUT_2_INT_ENABLE);
    let none = echo(MCR::empty());
    // SAFETY: as above.
    unsafe { uart.backend_mut().write(offsets::MCR as u8, before.bits()) };
    both == MSR::CTS | MSR::CD && none.is_empty()
}

/// Sends one line to the log port; no other CPU's line can mix with it
/// (invariant 10). A line that is being typed makes room and comes back below.
pub fn write_log_line(line: &str) {
    let port = &mut *LOG_PORT.lock();
    let typed = core::mem::take(&mut port.line);
    typed.step_aside(&mut |bytes| port.send(bytes));
    port.send(line.as_bytes());
    port.send(b"\r\n");
    typed.step_back(&mut |bytes| port.send(bytes));
    port.line = typed;
}

/// Sends one record, its newline included, to the record port; atomic as well.
pub fn write_record_line(line: &[u8]) {
    send(&mut RECORD_PORT.lock(), line);
}

fn send(port: &mut Port, bytes: &[u8]) {
    if let Some(uart) = port {
        uart.send_bytes_exact(bytes);
    }
}

/// Has the terminal show `text` as its unfinished line, with the cursor at `cursor`.
pub fn show_line(text: &str, cursor: usize) {
    let port = &mut *LOG_PORT.lock();
    let mut line = core::mem::take(&mut port.line);
    line.show(text.as_bytes(), cursor, &mut |bytes| port.send(bytes));
    port.line = line;
}

/// Ends the terminal's unfinished line.
pub fn finish_line() {
    let port = &mut *LOG_PORT.lock();
    let mut line = core::mem::take(&mut port.line);
    line.finish(&mut |bytes| port.send(bytes));
}

impl LogPort {
    fn send(&mut self, bytes: &[u8]) {
        // In parts: what comes in during a long line would overrun the port.
        for part in bytes.chunks(FIFO_SIZE) {
            send(&mut self.uart, part);
            self.receive();
        }
    }

    /// Takes what the port holds, as far as there is room.
    ///
    /// Bytes may be taken here, and their interrupt come later and find none: so the interrupt wakes the reader
    /// whenever there is input, not only when it brought some. When there is no room the port is to interrupt no more, for a
    /// level that nobody takes away would do so for ever; [`take_input`] lets it again.
    fn receive(&mut self) {
        let Some(uart) = self.uart.as_mut().filter(|_| self.is_read) else { return };
        loop {
            let status = uart.lsr();
            self.overruns += u64::from(status.contains(LSR::OVERRUN_ERROR));
            if !status.contains(LSR::DATA_READY) {
                return;
            }
            if self.input.is_full() {
                uart.disable_interrupts(IER::DATA_READY);
                return;
            }
            if let Ok(byte) = uart.try_receive_byte() {
                self.input.push(byte);
            }
        }
    }
}

/// Begins to keep what comes in; false when there is no port.
pub fn start_input() -> bool {
    let port = &mut *LOG_PORT.lock();
    port.is_read = true;
    port.uart.is_some()
}

/// Has the port interrupt once for nothing, to see whether that works.
pub fn ask_for_interrupt() {
    if let Some(uart) = &mut LOG_PORT.lock().uart {
        uart.enable_interrupts(IER::THR_EMPTY);
    }
}

/// Has the port interrupt for what comes in, and for nothing else.
pub fn interrupt_for_input() {
    if let Some(uart) = &mut LOG_PORT.lock().uart {
        uart.disable_interrupts(IER::THR_EMPTY);
        uart.enable_interrupts(IER::DATA_READY);
    }
}

/// Has the port interrupt for nothing.
pub fn interrupt_for_nothing() {
    if let Some(uart) = &mut LOG_PORT.lock().uart {
        uart.disable_interrupts(IER::THR_EMPTY | IER::DATA_READY);
    }
}

/// The port has interrupted: takes what came. Interrupts are off.
pub fn interrupt() {
    let port = &mut *LOG_PORT.lock();
    port.receive();
    if let Some(uart) = &mut port.uart {
        uart.disable_interrupts(IER::THR_EMPTY);
    }
}

/// Whether there is input to be taken.
pub fn has_input() -> bool {
    !LOG_PORT.lock().input.is_empty()
}

/// Moves input into `buffer`; returns how much there was. `is_interrupting`: the port is to interrupt for more.
pub fn take_input(buffer: &mut [u8], is_interrupting: bool) -> usize {
    let port = &mut *LOG_PORT.lock();
    port.receive();
    let was_full = port.input.is_full();
    let taken = port.input.take_into(buffer);
    if let Some(uart) = port.uart.as_mut().filter(|_| was_full && is_interrupting) {
        uart.enable_interrupts(IER::DATA_READY);
    }
    taken
}

/// Times that input was lost, since the last call.
pub fn take_overruns() -> u64 {
    core::mem::take(&mut LOG_PORT.lock().overruns)
}

/// Waits until both ports have sent all they hold, but no longer than a slow line
/// needs for a full FIFO: the machine is about to go off.
pub fn drain() {
    const MOST_NS: u64 = 10_000_000;
    let start_ns = tsc::now_ns();
    let wait = |port: &mut Port| {
        if let Some(uart) = port {
            while !uart.lsr().contains(LSR::TRANSMITTER_EMPTY) && tsc::now_ns() - start_ns < MOST_NS {
                cpu::relax();
            }
        }
    };
    wait(&mut LOG_PORT.lock().uart);
    wait(&mut RECORD_PORT.lock());
}

/// As [`crate::console::seize`].
///
/// # Safety
/// As there.
pub unsafe fn seize() {
    // SAFETY: no holder will run again. A line may be left half written: start a new one.
    unsafe {
        LOG_PORT.force_unlock();
        RECORD_PORT.force_unlock();
    }
    let port = &mut *LOG_PORT.lock();
    // Nobody types here any more.
    (port.is_read, port.line) = (false, Screen::new());
    port.send(b"\r\n");
    send(&mut RECORD_PORT.lock(), b"\n");
}
