//! Pages that come as they are touched.

use trace::{Event, EventClass};
use x86_64::instructions::interrupts;
use x86_64::registers::control::Cr2;

use super::{WINDOW_BYTES, WINDOW_TABLE, WINDOWS};
use crate::arch::paging::HUGE_FILES_BASE;
use crate::arch::tracepoint;
use crate::arch::trap_frame::TrapFrame;
use crate::mm::huge_pool;

/// The hook for page faults: provides the page, if the address is a file's.
/// False: the fault is nobody's, or the page is not to be had.
pub fn page_fault(frame: &TrapFrame) -> bool {
    const PRESENT: u64 = 1 << 0;
    let address = Cr2::read_raw();
    let files = HUGE_FILES_BASE..HUGE_FILES_BASE + WINDOWS as u64 * WINDOW_BYTES;
    // Who cannot be interrupted cannot wait for a page either.
    if frame.error_code & PRESENT != 0 || !files.contains(&address) || !frame.was_interruptible() {
        return false;
    }
    tracepoint::event_irqs_off(EventClass::Fault, || Event::PageFault { address });
    interrupts::enable();
    let is_mended = provide_at(address - HUGE_FILES_BASE);
    interrupts::disable();
    is_mended
}

fn provide_at(offset: u64) -> bool {
    let window = &WINDOW_TABLE[(offset / WINDOW_BYTES) as usize];
    let Some(file) = window.file.lock().upgrade() else { return false };
    let index = offset % WINDOW_BYTES / file.size.bytes();
    if index >= file.slots.len() as u64 {
        return false;
    }
    let provided = file.provide(index);
    if let Err(error) = provided {
        log::error!("huge-page file: page {index}: {error}; {}", huge_pool::pool(file.size).count());
    }
    provided.is_ok()
}
