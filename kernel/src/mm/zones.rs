//! The zones of a set of page descriptors: one for each node, several for a node
//! of more than 8 TiB. Each zone has a lock.

use alloc::boxed::Box;
use core::ops::Range;

use frames::{FreeError, InitKind, PageDesc, Pfn, Span, Watermarks, Zone};

use super::layout::{Layout, SECTION_PAGES};
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;
use crate::platform::nodes;

/// A zone, with what can be read without its lock.
#[repr(align(128))]
pub struct NodeZone<'a> {
    /// The node of its memory.
    pub node: usize,
    /// The watermarks.
    pub marks: Watermarks,
    /// Free pages of the zone when all are initialised and none is allocated.
    pub managed_pages: u64,
    /// The allocator.
    pub allocator: IrqSpinLock<Zone<'a>>,
    span: Span<'a>,
}

/// The zones of a machine, by id.
pub struct ZoneSet<'a> {
    zones: Box<[NodeZone<'a>]>,
    /// For each node, the ids of all zones from near to far.
    from_node: Box<[Box<[u16]>]>,
}

impl<'a> ZoneSet<'a> {
    /// Returns zones with no page in them; `descs` describe pages 0 to `layout.end()`.
    pub fn new(layout: &Layout, descs: &'a [PageDesc]) -> Self {
        let zones: Box<[NodeZone<'a>]> = (layout.zones().iter().enumerate())
            .map(|(id, zone)| {
                let Range { start, end } = zone.pages;
                let span = Span::new(&descs[start.0 as usize..end.0 as usize], start, id as u16)
                    .unwrap_or_else(|error| panic!("descriptors of zone {id}: {error}"));
                NodeZone {
                    node: zone.node,
                    marks: Watermarks::of_zone(zone.free_pages),
                    managed_pages: zone.free_pages,
                    allocator: IrqSpinLock::of(LockClass::ZONE, Zone::from_span(span)),
                    span,
                }
            })
            .collect();
        let zones_of = |node: usize| {
            (0..zones.len() as u16).filter(move |id| layout.zones()[usize::from(*id)].node == node)
        };
        let from_node = (0..nodes::nodes().len())
            .map(|from| nodes::near(from).into_iter().flat_map(zones_of).collect())
            .collect();
        Self { zones, from_node }
    }

    /// Returns the zones, by id.
    pub fn iter(&self) -> core::slice::Iter<'_, NodeZone<'a>> {
        self.zones.iter()
    }

    /// Returns the zone with this id.
    pub fn get(&self, id: u16) -> Option<&NodeZone<'a>> {
        self.zones.get(usize::from(id))
    }

    /// Returns all zones, the nearest to `node` first.
    pub fn near(&self, node: usize) -> impl Iterator<Item = &NodeZone<'a>> {
        let ids = self.from_node.get(node).map_or(&[][..], |ids| ids);
        ids.iter().map(|id| &self.zones[usize::from(*id)])
    }

    /// Returns the first zone of `node`; `None` when the node has no memory.
    pub fn home_of(&self, node: usize) -> Option<u16> {
        self.zones.iter().position(|zone| zone.node == node).map(|id| id as u16)
    }

    /// Marks the first page of every section as not free: a merge at the end of the
    /// section before it then finds no free block there.
    pub fn mark_section_heads(&self, layout: &Layout) {
        for extent in layout.extents_in(Pfn(0)..layout.end()) {
            let mut head = Pfn(extent.pages.start.0.next_multiple_of(SECTION_PAGES));
            while head < extent.pages.end {
                self.init_descs(extent.zone, head..head + 1, InitKind::Reserved);
                head = head + SECTION_PAGES;
            }
        }
    }

    /// Initialises the descriptors of section number `section`, and frees its free
    /// pages into their zones. Threads may initialise different sections at once.
    pub fn init_section(&self, layout: &Layout, section: u64) -> Result<(), FreeError> {
        let pages = Pfn(section * SECTION_PAGES)..Pfn((section + 1) * SECTION_PAGES);
        for extent in layout.extents_in(pages.clone()) {
            let kind = if extent.is_free { InitKind::Usable } else { InitKind::Reserved };
            self.init_descs(extent.zone, extent.pages, kind);
        }
        for extent in layout.extents_in(pages).filter(|extent| extent.is_free) {
            self.zones[usize::from(extent.zone)].allocator.lock().free_initial(extent.pages)?;
        }
        Ok(())
    }

    fn init_descs(&self, zone: u16, pages: Range<Pfn>, kind: InitKind) {
        let span = &self.zones[usize::from(zone)].span;
        span.init_range(pages, kind).expect("an extent of the layout lies in its zone");
    }
}
