//! Backtraces: return addresses along the chain of frame pointers. The host turns them into names.

use protocol::record::Addresses;

use crate::arch::paging::{PAGE_BYTES, PageTables};

/// Size of a frame pointer and a return address, as the ABI lays them out.
const FRAME_BYTES: u64 = 16;

/// Collects return addresses, innermost first: `rip` unless it is 0, then those of the frames from `rbp` on. Never
/// faults: it reads a frame only where the page tables map a page.
pub fn collect(rip: u64, mut rbp: u64) -> Addresses {
    let tables = PageTables::active();
    let mut addresses = Addresses::new();
    if rip != 0 {
        addresses.push(rip);
    }
    while rbp.is_multiple_of(8) && is_mapped(&tables, rbp) {
        // SAFETY: both words are aligned. Both are mapped: `is_mapped` checked each end, so they may lie in two pages.
        // Any bits are a valid `u64`.
        let (next, return_address) =
            unsafe { ((rbp as *const u64).read(), (rbp as *const u64).add(1).read()) };
        // A chain that does not go upwards is broken. Return address 0 marks a thread's first frame.
        if return_address == 0 || !addresses.push(return_address) || next <= rbp {
            break;
        }
        rbp = next;
    }
    addresses
}

fn is_mapped(tables: &PageTables, frame: u64) -> bool {
    let last = frame.saturating_add(FRAME_BYTES - 8);
    let is_kernel_address = frame >= 1 << 63;
    is_kernel_address
        && tables.translate(frame).is_some()
        && (frame / PAGE_BYTES == last / PAGE_BYTES || tables.translate(last).is_some())
}

/// Returns the frame pointer of the function that this is inlined into.
#[inline(always)]
pub fn frame_pointer() -> u64 {
    let rbp: u64;
    // SAFETY: it reads a register and changes nothing.
    unsafe { core::arch::asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags)) };
    rbp
}
