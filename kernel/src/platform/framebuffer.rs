//! The screen that the loader left.

use firmware::framebuffer::Framebuffer;
use firmware::memmap::MemoryMap;

use crate::arch::{apic, handover, image};
use crate::console::warning;

/// Returns the loader's screen, if a driver can write to it. A screen that is described wrongly is a warning, and is not
/// used. `map` is the repaired memory map.
pub fn read(map: &MemoryMap) -> Option<Framebuffer> {
    let described = handover::get().framebuffer?;
    match described.and_then(|screen| screen.check(map)) {
        // An image in memory that the map does not list.
        Ok(screen) if image::holds_physical(&screen.range()) => {
            warning(format_args!("the loader's screen lies in the kernel image; not used"));
            None
        }
        // Outside the chipset's range only if firmware has moved them.
        Ok(screen) if screen.range().contains(&apic::xapic_physical_base()) => {
            warning(format_args!("the loader's screen covers the registers of the local apic; not used"));
            None
        }
        Ok(screen) => Some(screen),
        Err(problem) => {
            warning(format_args!("the loader's screen is not used: {problem}"));
            None
        }
    }
}
