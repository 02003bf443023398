//! Reports what ends the machine before there is a console: on the first serial port, without its driver, and on port 0xe9 of
//! emulators. Then gives the verdict.

use core::fmt::{self, Write as _};

use protocol::exit::{PORT as DEBUG_EXIT_PORT, Verdict};
use x86_64::instructions::port::Port;

use super::cpu;
use super::trap_frame::TrapFrame;

const COM1: u16 = 0x3f8;
const LINE_STATUS: u16 = COM1 + 5;
const HAS_ROOM: u8 = 1 << 5;
/// Most polls of a port that takes nothing, before the byte is written anyway.
const MAX_POLLS: u32 = 100_000;
/// The debug port of QEMU and Bochs.
const DEBUG_CONSOLE: u16 = 0xe9;

/// Reports an exception that came before a handler was installed, and ends the machine.
pub fn exception(frame: &TrapFrame) -> ! {
    let address = x86_64::registers::control::Cr2::read_raw();
    let TrapFrame { rip, error_code, rsp, .. } = *frame;
    let name = frame.name();
    end(
        Verdict::Panic,
        format_args!(
            "{name} before the console was there: rip {rip:#x}, rsp {rsp:#x}, error code {error_code:#x}, cr2 {address:#x}"
        ),
    )
}

/// Reports that the kernel cannot run as it was loaded, and ends the machine.
pub fn cannot_run(why: fmt::Arguments<'_>) -> ! {
    end(Verdict::Fail, why)
}

fn end(verdict: Verdict, what: fmt::Arguments<'_>) -> ! {
    // The writer never fails.
    let _ = write!(RawPort::open(), "ktask: {what}\r\n");
    // SAFETY: port 0xf4 is the debug exit device of this project's virtual machines, and PCs do not decode it
    // (invariant 16).
    unsafe { Port::new(DEBUG_EXIT_PORT).write(verdict.code()) };
    cpu::halt_forever()
}

/// The first serial port, without its driver.
struct RawPort;

impl RawPort {
    /// Sets 115200 baud, 8 bits, no parity, no interrupts.
    fn open() -> Self {
        for (register, value) in [(1, 0), (3, 0x80_u8), (0, 1), (1, 0), (3, 3)] {
            // SAFETY: these are COM1's registers on every PC. Its driver is not in use yet, and never will be, because the
            // machine ends (invariant 16).
            unsafe { Port::new(COM1 + register).write(value) };
        }
        Self
    }
}

impl fmt::Write for RawPort {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: as in `open`. Only emulators decode the debug port.
            unsafe {
                Port::new(DEBUG_CONSOLE).write(byte);
                let has_room = || Port::<u8>::new(LINE_STATUS).read() & HAS_ROOM != 0;
                let _ = (0..MAX_POLLS).any(|_| has_room());
                Port::new(COM1).write(byte);
            }
        }
        Ok(())
    }
}
