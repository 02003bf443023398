//! Records on the second serial port, for programs.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use protocol::record::{LINE_MAX_BYTES, Record, Status, TEXT_MAX_BYTES, clip};

use super::line::LineBuf;
use super::serial;
use crate::arch::tsc;

/// Writes one record as one line. A record that is too long for the buffer is dropped, with an error in the log.
pub fn emit(record: &Record<&str>) {
    let mut buffer = [0; LINE_MAX_BYTES];
    match record.to_line(&mut buffer) {
        Ok(line) => serial::write_record_line(line),
        Err(error) => log::error!("{error}; it is dropped"),
    }
}

/// Reports a phase of the boot that took `ns` and ends now.
pub fn phase(name: &str, ns: u64) {
    log::debug!("{name}: {}.{:03} ms", ns / 1_000_000, ns / 1000 % 1000);
    emit(&Record::Phase { t_ns: tsc::now_ns(), name, ns });
}

/// Reports that `what` begins, after `done` parts of `of`.
pub fn progress(what: &str, done: usize, of: usize) {
    emit(&Record::Progress { t_ns: tsc::now_ns(), what, done: done as u32, of: of as u32 });
}

/// Reports a problem that the kernel survives.
pub fn warning(what: fmt::Arguments<'_>) {
    let mut text = LineBuf::<TEXT_MAX_BYTES>::new();
    let _ = fmt::write(&mut text, what);
    emit(&Record::Warning { t_ns: tsc::now_ns(), what: clip(text.as_str(), TEXT_MAX_BYTES) });
}

/// Lost lines and records that were reported on the other port so far.
static REPORTED: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Reports on each port what was lost on the other. A port reports its own losses only once it moves, which may be never.
pub fn report_lost() {
    let new = |port: usize, lost: u64| lost - REPORTED[port].swap(lost, SeqCst).min(lost);
    let [lines, written] = serial::lost();
    let (lines, written) = (new(0, lines), new(1, written));
    if lines > 0 {
        warning(format_args!("console: {lines} lines lost: the log port did not take them in time"));
    }
    if written > 0 {
        log::warn!("console: {written} records lost: the record port did not take them in time");
    }
}

/// Reports the end of the run, after a report of lost lines: no record follows this one.
pub fn end(status: Status, reason: &str) {
    serial::make_room_for_end();
    report_lost();
    emit(&Record::End { t_ns: tsc::now_ns(), status, reason: clip(reason, TEXT_MAX_BYTES) });
    serial::note_end();
}
