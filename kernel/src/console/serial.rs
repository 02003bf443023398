//! Output through the two serial ports: writers, the flusher thread, and the end of a run.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use shell::screen::Screen;
use x86_64::instructions::interrupts;

use super::ports::{LINE_BYTES, LOG_PORT, Port, RECORD_PORT, RecordPort};
use super::wire::Step;
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::vector;
use crate::arch::{apic, cpu, percpu, tsc};

/// FIFO-sized parts that a writer with interrupts off sends at most: one line's worth. The flusher sends the rest.
const PARTS_WITHOUT_INTERRUPTS: usize = 64;

/// Whether the flusher, a thread that sends what writers left queued, is running.
static HAS_FLUSHER: AtomicBool = AtomicBool::new(false);
/// Whether the flusher was called and has not found both queues empty since.
static IS_FLUSHING: AtomicBool = AtomicBool::new(false);

/// Sends one line to the log port, never mixed with another CPU's (invariant 10). The input line is redrawn below it.
pub fn write_log_line(line: &str) {
    write(&LOG_PORT, |port| port.put_line(line));
}

/// Sends one record, with its newline, to the record port; atomic like a log line.
pub fn write_record_line(line: &[u8]) {
    write(&RECORD_PORT, |port| port.wire.out.put(tsc::now_ns(), |send| send(line)));
}

/// Returns whether a writer may wait for a port. With interrupts off it may not, unless there is no flusher to send the
/// rest: before threads run, and in a panic.
fn may_wait() -> bool {
    interrupts::are_enabled() || !HAS_FLUSHER.load(SeqCst)
}

/// Queues one line by `put`, whole, and sends until the line is out or the port does not move.
///
/// The lock is released after each FIFO-sized part. Between parts, interrupts are taken and the thread may be preempted,
/// if the caller has interrupts on. A line that does not fit, even after waiting, is lost and counted.
fn write<P: Port>(port: &IrqSpinLock<P>, mut put: impl FnMut(&mut P) -> Option<u64>) {
    let may_wait = may_wait();
    let end = loop {
        let port = &mut *port.lock();
        port.report_lost();
        if let Some(end) = put(port) {
            break end;
        }
        match port.step() {
            Step::Moved => {}
            Step::Blocked if may_wait => cpu::relax(),
            // `Empty`: the line is longer than the whole queue.
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

/// Calls the flusher by an interrupt to this CPU: the caller may hold any lock, so it must not wake a thread.
fn call_flusher() {
    if HAS_FLUSHER.load(SeqCst) && !IS_FLUSHING.swap(true, SeqCst) {
        apic::local().send_ipi(percpu::this_cpu().apic_id(), vector::CONSOLE);
    }
}

/// Returns whether the flusher was called and has not found both queues empty since.
pub fn is_flusher_called() -> bool {
    IS_FLUSHING.load(SeqCst)
}

/// Announces the flusher: a thread that, at each [`vector::CONSOLE`], calls [`flush_step`] until it returns `None`.
pub fn start_flushing() {
    HAS_FLUSHER.store(true, SeqCst);
}

/// Sleep before a busy port is tried again.
const BUSY_NS: u64 = 1_000_000;
/// Sleep before a stuck port is tried again.
const STUCK_NS: u64 = 100_000_000;

/// Sends a part of what is queued. Returns how long to sleep before the next call, `None` when both queues are empty.
pub fn flush_step() -> Option<u64> {
    fn step<P: Port>(port: &IrqSpinLock<P>) -> Option<u64> {
        let port = &mut *port.lock();
        port.report_lost();
        match port.step() {
            Step::Empty => None,
            Step::Moved => Some(0),
            Step::Blocked => Some(BUSY_NS),
            Step::Stuck => Some(STUCK_NS),
        }
    }
    // Store then load, SeqCst: the flusher clears the flag, then looks at the queues; a writer queues, then sets the flag.
    // One of them sees the other.
    IS_FLUSHING.store(false, SeqCst);
    let (log, records) = (step(&LOG_PORT), step(&RECORD_PORT));
    let sleep = [log, records].into_iter().flatten().min();
    if sleep.is_some() {
        IS_FLUSHING.store(true, SeqCst);
    }
    sleep
}

/// Returns how many log lines and how many records were lost since boot.
pub fn lost() -> [u64; 2] {
    // One lock at a time.
    let lines = LOG_PORT.lock().wire.out.lost();
    let records = RECORD_PORT.lock().wire.out.lost();
    [lines, records]
}

/// Shows `text` as the terminal's input line, with the cursor at `cursor`.
pub fn show_line(text: &str, cursor: usize) {
    change_line(|line, send| line.show(text.as_bytes(), cursor, send));
}

/// Ends the terminal's input line.
pub fn finish_line() {
    change_line(|line, send| line.finish(send));
}

/// Changes the input line, on the screen and in memory; in neither if the change does not fit into the queue.
fn change_line(change: impl Fn(&mut Screen<LINE_BYTES>, &mut dyn FnMut(&[u8]))) {
    write(&LOG_PORT, |port| {
        let mut line = port.line.clone();
        let end = port.wire.out.put(tsc::now_ns(), |send| change(&mut line, send))?;
        port.line = line;
        Some(end)
    });
}

/// Sends what both ports take before the run ends, with a fresh timeout for each. A stuck record port loses its queued
/// records, so that the record that ends the run fits. A reader that comes back late then sees how the run ended.
pub fn make_room_for_end() {
    LOG_PORT.lock().wire.out.restart_timeout(tsc::now_ns());
    send_all(&LOG_PORT);
    RECORD_PORT.lock().wire.out.restart_timeout(tsc::now_ns());
    send_all(&RECORD_PORT);
    let port = &mut *RECORD_PORT.lock();
    if port.wire.out.is_stuck() {
        port.wire.discard(RecordPort::LINE_END);
        // Now the notice fits.
        port.wire.out.restart_timeout(tsc::now_ns());
        port.report_lost();
    }
}

/// Notes that the record that ends the run is queued.
pub fn note_end() {
    RECORD_PORT.lock().has_end = true;
}

/// Waits until both ports have sent everything, with a fresh timeout for each, or are stuck. Called before power-off.
pub fn drain() {
    /// Longest time that a full FIFO takes on a slow line.
    const FIFO_NS: u64 = 10_000_000;
    fn drain_port<P: Port>(port: &IrqSpinLock<P>) {
        port.lock().wire().out.restart_timeout(tsc::now_ns());
        send_all(port);
        let start_ns = tsc::now_ns();
        // A stuck port never drains.
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

/// Sends until the queue is empty or the port is stuck.
fn send_all<P: Port>(port: &IrqSpinLock<P>) {
    loop {
        {
            let port = &mut *port.lock();
            port.report_lost();
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
    // From here on this CPU alone sends.
    HAS_FLUSHER.store(false, SeqCst);
    // SAFETY: the caller's promise, passed on.
    unsafe {
        seize_port(&LOG_PORT);
        seize_port(&RECORD_PORT);
    }
}

/// Takes a port over. Queued lines go out first, so lines stay in order. A stuck port loses them to make room for the
/// report.
///
/// # Safety
/// As [`seize`].
unsafe fn seize_port<P: Port>(port: &IrqSpinLock<P>) {
    // SAFETY: by the caller's promise the code that holds the lock never continues: its CPU is stopped for good, or is this
    // one, which does not return there.
    unsafe { port.force_unlock() };
    {
        let port = &mut *port.lock();
        port.seize();
        port.wire().out.restart_timeout(tsc::now_ns());
    }
    send_all(port);
    let port = &mut *port.lock();
    if port.wire().out.is_stuck() {
        port.wire().discard(P::LINE_END);
    }
}
