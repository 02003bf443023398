//! What belongs to a page frame number: descriptor, zone, node and address.

use frames::{PageDesc, PageState, Pfn};
use spin::Once;

use super::layout::Layout;
use super::zones::{NodeZone, ZoneSet};
use crate::arch::paging::phys_to_virt;

struct MemMap {
    zones: ZoneSet<'static>,
    descs: &'static [PageDesc],
}

static MEM_MAP: Once<MemMap> = Once::new();

/// Makes the machine's zones, with no page in them. `descs` describe the whole
/// machine, by page frame number.
pub fn init(layout: &Layout, descs: &'static [PageDesc]) -> &'static ZoneSet<'static> {
    &MEM_MAP.call_once(|| MemMap { zones: ZoneSet::new(layout, descs), descs }).zones
}

fn mem_map() -> &'static MemMap {
    MEM_MAP.get().expect("the page allocator is used before it exists")
}

/// Returns all zones.
///
/// # Panics
/// Before [`init`]: a kernel bug.
pub fn zones() -> &'static ZoneSet<'static> {
    &mem_map().zones
}

/// Returns the zone with this id; `None` also before [`init`].
pub fn zone_with_id(id: u16) -> Option<&'static NodeZone<'static>> {
    MEM_MAP.get()?.zones.get(id)
}

/// Returns all descriptors, by page frame number.
///
/// # Panics
/// Before [`init`]: a kernel bug.
pub fn descs() -> &'static [PageDesc] {
    mem_map().descs
}

/// Returns the descriptor of a page frame; `None` above the highest page.
pub fn desc(pfn: Pfn) -> Option<&'static PageDesc> {
    descs().get(pfn.0 as usize)
}

/// Returns the zone that the page's descriptor names: zone 0 for a hole.
pub fn zone_of(pfn: Pfn) -> Option<&'static NodeZone<'static>> {
    zone_with_id(desc(pfn)?.zone_id())
}

/// Returns the node of the page frame; `None` where there is no memory.
pub fn node_of(pfn: Pfn) -> Option<usize> {
    let desc = desc(pfn)?;
    if desc.state() == PageState::Hole {
        return None;
    }
    zone_with_id(desc.zone_id()).map(|zone| zone.node)
}

/// Returns the address of the frame in the physical map.
pub fn virt(pfn: Pfn) -> *mut u8 {
    phys_to_virt(pfn.address()) as *mut u8
}
