//! The two serial ports. A missing or broken port is not an error: what would
//! go there is dropped.

use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::LSR;
use uart_16550::{BaudRate, Config, Uart16550};

use crate::arch::irq::IrqLock;
use crate::arch::lock_class::LockClass;
use crate::arch::{cpu, tsc};

type Port = Option<Uart16550<PioBackend>>;

const COM1: u16 = 0x3f8;
const COM2: u16 = 0x2f8;

static LOG_PORT: IrqLock<Port> = IrqLock::of(LockClass::SERIAL_PORT, None);
static RECORD_PORT: IrqLock<Port> = IrqLock::of(LockClass::SERIAL_PORT, None);

/// Probes and configures both ports.
pub fn init() {
    *LOG_PORT.lock() = open(COM1);
    *RECORD_PORT.lock() = open(COM2);
}

fn open(base_port: u16) -> Port {
    // SAFETY: COM1 and COM2 are 16550s or nothing on every PC, and this module alone drives them (invariant 16).
    let mut uart = unsafe { Uart16550::new_port(base_port) }.ok()?;
    let config = Config { baud_rate: BaudRate::Baud115200, ..Config::DEFAULT };
    uart.init(config).ok()?;
    // A floating bus can pass the scratch register test; nothing there loops a byte back.
    uart.test_loopback().ok()?;
    Some(uart)
}

/// Sends one line to the log port; no other CPU's line can mix with it
/// (invariant 10).
pub fn write_log_line(line: &str) {
    send_line(&mut LOG_PORT.lock(), line.as_bytes(), b"\r\n");
}

/// Sends one record, its newline included, to the record port; atomic as well.
pub fn write_record_line(line: &[u8]) {
    send_line(&mut RECORD_PORT.lock(), line, b"");
}

fn send_line(port: &mut Port, line: &[u8], end: &[u8]) {
    if let Some(uart) = port {
        uart.send_bytes_exact(line);
        uart.send_bytes_exact(end);
    }
}

/// Waits until both ports have sent all they hold, but no longer than a slow line
/// needs for a full FIFO: the machine is about to go off.
pub fn drain() {
    const MOST_NS: u64 = 10_000_000;
    let start_ns = tsc::now_ns();
    for port in [&LOG_PORT, &RECORD_PORT] {
        if let Some(uart) = port.lock().as_mut() {
            while !uart.lsr().contains(LSR::TRANSMITTER_EMPTY) && tsc::now_ns() - start_ns < MOST_NS {
                cpu::relax();
            }
        }
    }
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
    send_line(&mut LOG_PORT.lock(), b"", b"\r\n");
    send_line(&mut RECORD_PORT.lock(), b"", b"\n");
}
