//! The two serial ports. A missing or broken port is not an error: what would
//! go there is dropped.

use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use protocol::record::Record;
use shell::ring::Ring;
use shell::screen::Screen;
use uart::port::{ON_DATA, ON_TRANSMITTER_FREE};
use x86_64::instructions::interrupts;

use super::line::LineBuf;
use super::wire::{Step, Wire};
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::vector;
use crate::arch::{apic, cpu, percpu, tsc};

const COM1: u16 = 0x3f8;
const COM2: u16 = 0x2f8;

/// Bytes that wait for a reader. When there are more, they wait in the port, and then with the sender.
const INPUT_BYTES: usize = 1024;
/// The longest unfinished line that is shown.
pub const LINE_BYTES: usize = 256;
/// Parts of a FIFO's size that a writer with interrupts off sends at most: a line's worth. The rest is the flusher's.
const PARTS_WITHOUT_INTERRUPTS: usize = 64;

/// The port for people: the log, and a line that is being typed.
struct LogPort {
    wire: Wire,
    /// The line below the log that is not finished.
    line: Screen<LINE_BYTES>,
    input: Ring<INPUT_BYTES>,
    /// Somebody reads; what comes before is nobody's.
    is_read: bool,
    /// Times that bytes came faster than they were taken.
    overruns: u64,
}

/// The port for programs.
struct RecordPort {
    wire: Wire,
    /// The record that ends the run is queued: no notice comes after it.
    has_end: bool,
}

static LOG_PORT: IrqSpinLock<LogPort> = IrqSpinLock::of(
    LockClass::SERIAL_PORT,
    LogPort { wire: Wire::new(), line: Screen::new(), input: Ring::new(), is_read: false, overruns: 0 },
);
static RECORD_PORT: IrqSpinLock<RecordPort> =
    IrqSpinLock::of(LockClass::SERIAL_PORT, RecordPort { wire: Wire::new(), has_end: false });

/// There is a thread that sends what writers had to leave.
static HAS_FLUSHER: AtomicBool = AtomicBool::new(false);
/// That thread was called, and has not found everything sent since.
static IS_FLUSHING: AtomicBool = AtomicBool::new(false);

/// Probes and configures both ports.
pub fn init() {
    // SAFETY: COM1 and COM2 are 16550s or nothing on every PC, and this module alone drives them (invariant 16).
    unsafe {
        LOG_PORT.lock().wire.open(COM1);
        RECORD_PORT.lock().wire.open(COM2);
    }
}

/// What both ports have in common.
trait Port {
    const LINE_END: &'static [u8];
    fn wire(&mut self) -> &mut Wire;

    /// Sends a part, and looks after the other direction: what comes in during a long line would overrun the port.
    fn step(&mut self) -> Step {
        self.wire().step()
    }

    /// Gets the port into a state from which it can be used, after the CPU that used it was stopped.
    fn seize(&mut self) {
        self.wire().seize(Self::LINE_END);
    }

    /// Queues a line that tells of `lost` others.
    fn put_notice(&mut self, lost: u64) -> Option<u64>;

    /// Tells of lines that were lost, once there is room and somebody may hear it.
    fn tell_lost(&mut self) {
        let lost = self.wire().out.untold();
        if lost > 0 && self.put_notice(lost).is_some() {
            self.wire().out.note_told();
        }
    }
}

impl Port for LogPort {
    const LINE_END: &'static [u8] = b"\r\n";

    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn step(&mut self) -> Step {
        let step = self.wire.step();
        self.receive();
        step
    }

    fn seize(&mut self) {
        // Nobody types here any more; the line that was being typed is ended.
        self.is_read = false;
        let is_typing = !core::mem::take(&mut self.line).is_empty();
        self.wire.seize(Self::LINE_END);
        if is_typing {
            // Where it finds no room, so does nothing else.
            let _ = self.wire.out.put(tsc::now_ns(), |send| send(Self::LINE_END));
        }
    }

    fn put_notice(&mut self, lost: u64) -> Option<u64> {
        let mut notice = LineBuf::<64>::new();
        let _ = write!(notice, "console: {lost} lines lost");
        self.put_line(notice.as_str())
    }
}

impl Port for RecordPort {
    const LINE_END: &'static [u8] = b"\n";

    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn put_notice(&mut self, lost: u64) -> Option<u64> {
        if self.has_end {
            return None;
        }
        let mut what = LineBuf::<64>::new();
        let _ = write!(what, "console: {lost} records lost");
        let t_ns = tsc::now_ns();
        let mut buffer = [0; 256];
        let line = Record::Warning { t_ns, what: what.as_str() }.to_line(&mut buffer).ok()?;
        self.wire.out.put(t_ns, |send| send(line))
    }
}

/// Sends one line to the log port; no other CPU's line can mix with it
/// (invariant 10). A line that is being typed makes room and comes back below.
pub fn write_log_line(line: &str) {
    write(&LOG_PORT, |port| port.put_line(line));
}

/// Sends one record, its newline included, to the record port; atomic as well.
pub fn write_record_line(line: &[u8]) {
    write(&RECORD_PORT, |port| port.wire.out.put(tsc::now_ns(), |send| send(line)));
}

/// Whether a writer may wait for a port. Not with interrupts off: unless nobody else would send what it leaves,
/// which is so before there are threads, and in a panic.
fn may_wait() -> bool {
    interrupts::are_enabled() || !HAS_FLUSHER.load(SeqCst)
}

/// Queues what `put` puts, whole, and sends until it is out, or the port does not move.
///
/// The lock is taken for each part of a FIFO's size anew: in between interrupts come through, if the caller has them on,
/// and the thread can lose the CPU. What finds no room, and none comes by waiting, is lost and counted.
fn write<P: Port>(port: &IrqSpinLock<P>, mut put: impl FnMut(&mut P) -> Option<u64>) {
    let may_wait = may_wait();
    let end = loop {
        let port = &mut *port.lock();
        port.tell_lost();
        if let Some(end) = put(port) {
            break end;
        }
        match port.step() {
            Step::Moved => {}
            Step::Blocked if may_wait => cpu::relax(),
            // Nor is there room where nothing waits: it is longer than all that can.
            Step::Blocked | Step::Stuck | Step::Empty => {
                port.wire().out.lose();
                return call_flusher();
            }
        }
    };
    for part in 0.. {
        {
            let port = &mut *port.lock();
            if port.wire().out.taken() >= end {
                return;
            }
            match port.step() {
                Step::Empty => return,
                Step::Moved if may_wait || part < PARTS_WITHOUT_INTERRUPTS => continue,
                Step::Blocked if may_wait => {}
                _ => break,
            }
        }
        cpu::relax();
    }
    call_flusher();
}

/// Has the flusher send the rest. By an interrupt to this CPU: the caller may hold any lock.
fn call_flusher() {
    if HAS_FLUSHER.load(SeqCst) && !IS_FLUSHING.swap(true, SeqCst) {
        apic::local().send_ipi(percpu::this_cpu().apic_id(), vector::CONSOLE);
    }
}

/// From now on a thread calls [`flush_step`] whenever [`vector::CONSOLE`] comes, until that returns `None`.
pub fn start_flushing() {
    HAS_FLUSHER.store(true, SeqCst);
}

/// How long to sleep until a busy port may have room in its FIFO, and until a stuck one is looked at again.
const BUSY_NS: u64 = 1_000_000;
const STUCK_NS: u64 = 100_000_000;

/// Sends a part of what waits; returns when to come back, `None` when nothing waits.
pub fn flush_step() -> Option<u64> {
    fn step<P: Port>(port: &IrqSpinLock<P>) -> Option<u64> {
        let port = &mut *port.lock();
        port.tell_lost();
        match port.step() {
            Step::Empty => None,
            Step::Moved => Some(0),
            Step::Blocked => Some(BUSY_NS),
            Step::Stuck => Some(STUCK_NS),
        }
    }
    // SeqCst: cleared before looking; a writer queues before it sets. One of us sees the other.
    IS_FLUSHING.store(false, SeqCst);
    let (log, records) = (step(&LOG_PORT), step(&RECORD_PORT));
    let sleep = [log, records].into_iter().flatten().min();
    if sleep.is_some() {
        IS_FLUSHING.store(true, SeqCst);
    }
    sleep
}

/// Lines of the log and records that were ever lost.
pub fn lost() -> [u64; 2] {
    // One lock at a time.
    let lines = LOG_PORT.lock().wire.out.lost();
    let records = RECORD_PORT.lock().wire.out.lost();
    [lines, records]
}

/// Has the terminal show `text` as its unfinished line, with the cursor at `cursor`.
pub fn show_line(text: &str, cursor: usize) {
    change_line(|line, send| line.show(text.as_bytes(), cursor, send));
}

/// Ends the terminal's unfinished line.
pub fn finish_line() {
    change_line(|line, send| line.finish(send));
}

/// What finds no room leaves the line as the terminal has it.
fn change_line(change: impl Fn(&mut Screen<LINE_BYTES>, &mut dyn FnMut(&[u8]))) {
    write(&LOG_PORT, |port| {
        let mut line = port.line.clone();
        let end = port.wire.out.put(tsc::now_ns(), |send| change(&mut line, send))?;
        port.line = line;
        Some(end)
    });
}

impl LogPort {
    fn put_line(&mut self, text: &str) -> Option<u64> {
        let Self { wire, line, .. } = self;
        wire.out.put(tsc::now_ns(), |send| {
            line.step_aside(send);
            send(text.as_bytes());
            send(Self::LINE_END);
            line.step_back(send);
        })
    }

    /// Takes what the port holds, as far as there is room.
    ///
    /// Bytes may be taken here, and their interrupt come later and find none: so the interrupt wakes the reader
    /// whenever there is input, not only when it brought some. When there is no room the port is to interrupt no more, for a
    /// level that nobody takes away would do so for ever; [`take_input`] lets it again.
    fn receive(&mut self) {
        let Some(uart) = self.wire.uart.as_mut().filter(|_| self.is_read) else { return };
        while uart.has_input() {
            if self.input.is_full() {
                uart.disable(ON_DATA);
                return;
            }
            let input = uart.receive();
            self.overruns += u64::from(input.is_overrun);
            if let Some(byte) = input.byte {
                self.input.push(byte);
            }
        }
    }
}

/// Begins to keep what comes in; false when there is no port.
pub fn start_input() -> bool {
    let port = &mut *LOG_PORT.lock();
    port.is_read = true;
    port.wire.uart.is_some()
}

/// Has the port interrupt once for nothing, to see whether that works.
pub fn ask_for_interrupt() {
    if let Some(uart) = &mut LOG_PORT.lock().wire.uart {
        uart.enable(ON_TRANSMITTER_FREE);
    }
}

/// Has the port interrupt for what comes in, and for nothing else.
pub fn interrupt_for_input() {
    if let Some(uart) = &mut LOG_PORT.lock().wire.uart {
        uart.disable(ON_TRANSMITTER_FREE);
        uart.enable(ON_DATA);
    }
}

/// Has the port interrupt for nothing.
pub fn interrupt_for_nothing() {
    if let Some(uart) = &mut LOG_PORT.lock().wire.uart {
        uart.disable(ON_TRANSMITTER_FREE | ON_DATA);
    }
}

/// The port has interrupted: takes what came. Interrupts are off.
pub fn interrupt() {
    let port = &mut *LOG_PORT.lock();
    port.receive();
    let uart = port.wire.uart.as_mut();
    if let Some(uart) = uart.filter(|uart| uart.enabled() & ON_TRANSMITTER_FREE != 0) {
        uart.disable(ON_TRANSMITTER_FREE);
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
    if let Some(uart) = port.wire.uart.as_mut().filter(|_| was_full && is_interrupting) {
        uart.enable(ON_DATA);
    }
    taken
}

/// Times that input was lost, since the last call.
pub fn take_overruns() -> u64 {
    core::mem::take(&mut LOG_PORT.lock().overruns)
}

/// Gives both ports their time once more before the run ends. Records that a stuck port has not taken by then make room for
/// the one that ends the run: a reader that comes back late finds how it ended.
pub fn make_room_for_end() {
    LOG_PORT.lock().wire.out.hope(tsc::now_ns());
    send_all(&LOG_PORT);
    RECORD_PORT.lock().wire.out.hope(tsc::now_ns());
    send_all(&RECORD_PORT);
    let port = &mut *RECORD_PORT.lock();
    if port.wire.out.is_stuck() {
        port.wire.discard(RecordPort::LINE_END);
        // Told now, in the room that this made.
        port.wire.out.hope(tsc::now_ns());
        port.tell_lost();
    }
}

/// The record that ends the run is queued.
pub fn note_end() {
    RECORD_PORT.lock().has_end = true;
}

/// Waits until both ports have sent all that waits, as long as they move, and each is given its time once more: the
/// machine is about to go off.
pub fn drain() {
    /// A slow line needs no longer for a full FIFO.
    const FIFO_NS: u64 = 10_000_000;
    fn drain_port<P: Port>(port: &IrqSpinLock<P>) {
        port.lock().wire().out.hope(tsc::now_ns());
        send_all(port);
        let start_ns = tsc::now_ns();
        // A port that is stuck will not be drained either.
        let is_drained = || {
            let port = &mut *port.lock();
            let wire = port.wire();
            wire.out.is_stuck() || wire.uart.as_mut().is_none_or(|uart| uart.is_drained())
        };
        while !is_drained() && tsc::since_ns(start_ns) < FIFO_NS {
            cpu::relax();
        }
    }
    drain_port(&LOG_PORT);
    drain_port(&RECORD_PORT);
}

/// Sends until nothing waits or the port is stuck.
fn send_all<P: Port>(port: &IrqSpinLock<P>) {
    loop {
        {
            let port = &mut *port.lock();
            port.tell_lost();
            match port.step() {
                Step::Empty | Step::Stuck => return,
                Step::Moved => continue,
                Step::Blocked => {}
            }
        }
        cpu::relax();
    }
}

/// As [`crate::console::seize`].
///
/// # Safety
/// As there.
pub unsafe fn seize() {
    // Nobody but this CPU sends from now on.
    HAS_FLUSHER.store(false, SeqCst);
    // SAFETY: passed on.
    unsafe {
        seize_port(&LOG_PORT);
        seize_port(&RECORD_PORT);
    }
}

/// Takes a port over. What waits goes out first, so that lines stay in order; what a stuck port does not take
/// makes room for the report.
///
/// # Safety
/// As [`seize`].
unsafe fn seize_port<P: Port>(port: &IrqSpinLock<P>) {
    // SAFETY: no holder will run again.
    unsafe { port.force_unlock() };
    {
        let port = &mut *port.lock();
        port.seize();
        port.wire().out.hope(tsc::now_ns());
    }
    send_all(port);
    let port = &mut *port.lock();
    if port.wire().out.is_stuck() {
        port.wire().discard(P::LINE_END);
    }
}
