//! Pages that are provided on first access.

use trace::{Event, EventClass};
use x86_64::instructions::interrupts;
use x86_64::registers::control::Cr2;

use super::file::file_in;
use super::window::{WINDOW_BYTES, WINDOWS};
use crate::arch::paging::HUGE_FILES_BASE;
use crate::arch::tracepoint;
use crate::arch::trap_frame::TrapFrame;
use crate::mm::huge_pool;

/// Handles page faults: provides the page if the address is in a file. Returns false if the address is in no file, or if the
/// page is not available.
pub fn page_fault(frame: &TrapFrame) -> bool {
    const PRESENT: u64 = 1 << 0;
    let address = Cr2::read_raw();
    let files = HUGE_FILES_BASE..HUGE_FILES_BASE + WINDOWS as u64 * WINDOW_BYTES;
    // Code that runs with interrupts off must not wait for a page.
    if frame.error_code & PRESENT != 0 || !files.contains(&address) || !frame.was_interruptible() {
        return false;
    }
    tracepoint::event_irqs_off(EventClass::Fault, || Event::PageFault { address });
    interrupts::enable();
    let is_provided = provide_at(address - HUGE_FILES_BASE);
    interrupts::disable();
    is_provided
}

fn provide_at(offset: u64) -> bool {
    let Some(file) = file_in((offset / WINDOW_BYTES) as usize) else { return false };
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
