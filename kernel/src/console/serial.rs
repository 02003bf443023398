//! Lines on their way out through the two serial ports.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use shell::screen::Screen;
use x86_64::instructions::interrupts;

use super::ports::{LINE_BYTES, LOG_PORT, Port, RECORD_PORT, RecordPort};
use super::wire::Step;
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::vector::VECTOR_CONSOLE;
use crate::arch::{apic, cpu, percpu, tsc};

/// Parts of a FIFO's size that a writer with interrupts off sends at most: a line's worth. The rest is the flusher's.
const PARTS_WITHOUT_INTERRUPTS: usize = 64;

/// There is a thread that sends what writers had to leave.
static HAS_FLUSHER: AtomicBool = AtomicBool::new(false);
/// That thread was called, and has not found everything sent since.
static IS_FLUSHING: AtomicBool = AtomicBool::new(false);

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
        apic::local().send_ipi(percpu::this_cpu().apic_id(), VECTOR_CONSOLE);
    }
}

/// From now on a thread calls [`flush_step`] whenever [`VECTOR_CONSOLE`] comes, until that returns `None`.
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
