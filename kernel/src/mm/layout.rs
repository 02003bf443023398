//! The layout of memory: the input of memory map init.

use alloc::vec::Vec;
use core::ops::Range;

use firmware::memmap::MemoryMap;
use firmware::nodes::Nodes;
use frames::Pfn;

/// Pages of a section, the unit in which threads initialise memory.
pub const SECTION_PAGES: u64 = 1 << 15;
/// Pages of the window that a zone lies in: 8 TiB. Links between free blocks have
/// 32 bits, so a node that spans several windows has several zones.
const ZONE_WINDOW_PAGES: u64 = 1 << 31;

/// Consecutive pages of one zone and one kind.
#[derive(Debug, Clone)]
pub struct PageExtent {
    /// The pages.
    pub pages: Range<Pfn>,
    /// The zone that they belong to.
    pub zone: u16,
    /// Whether they go to the page allocator; the others were allocated early, for
    /// good.
    pub is_free: bool,
}

impl PageExtent {
    /// Returns the number of pages.
    pub fn len(&self) -> u64 {
        self.pages.end - self.pages.start
    }
}

/// The pages of a zone.
#[derive(Debug, Clone)]
pub struct ZoneExtent {
    /// The node of its memory.
    pub node: usize,
    /// From its first page to its last; pages of other zones may lie between.
    pub pages: Range<Pfn>,
    /// Pages that go to the allocator.
    pub free_pages: u64,
}

/// The extents and zones of the machine's memory.
#[derive(Debug)]
pub struct Layout {
    /// Sorted and disjoint.
    extents: Vec<PageExtent>,
    /// By zone id.
    zones: Vec<ZoneExtent>,
}

impl Layout {
    /// Returns the layout of the memory that `map` lists as usable. `free` (in
    /// bytes, sorted) goes to the allocator.
    pub fn new(map: &MemoryMap, free: impl Iterator<Item = Range<u64>>, nodes: &Nodes) -> Self {
        let free: Vec<Range<Pfn>> = free.map(|bytes| Pfn::whole_pages(&bytes)).collect();
        let mut layout = Self { extents: Vec::new(), zones: Vec::new() };
        for part in map.usable().flat_map(|memory| nodes.split(memory)) {
            let mut pages = Pfn::whole_pages(&(part.start..part.end));
            while pages.start < pages.end {
                let window_end = Pfn((pages.start.0 / ZONE_WINDOW_PAGES + 1) * ZONE_WINDOW_PAGES);
                let end = pages.end.min(window_end);
                layout.add(part.node.into(), pages.start..end, &free);
                pages.start = end;
            }
        }
        layout
    }

    /// Adds pages of one node and one window.
    fn add(&mut self, node: usize, pages: Range<Pfn>, free: &[Range<Pfn>]) {
        let window = |pfn: Pfn| pfn.0 / ZONE_WINDOW_PAGES;
        let same = |zone: &ZoneExtent| zone.node == node && window(zone.pages.start) == window(pages.start);
        let id = self.zones.iter().position(same).unwrap_or_else(|| {
            self.zones.push(ZoneExtent { node, pages: pages.clone(), free_pages: 0 });
            self.zones.len() - 1
        });
        self.zones[id].pages.end = pages.end;
        let mut from = pages.start;
        let first = free.partition_point(|range| range.end <= pages.start);
        for range in free[first..].iter().map_while(|range| intersect(range, &pages)) {
            self.push(from..range.start, id, false);
            self.push(range.clone(), id, true);
            self.zones[id].free_pages += range.end - range.start;
            from = range.end;
        }
        self.push(from..pages.end, id, false);
    }

    fn push(&mut self, pages: Range<Pfn>, zone: usize, is_free: bool) {
        if pages.start < pages.end {
            self.extents.push(PageExtent { pages, zone: zone as u16, is_free });
        }
    }

    /// Returns one past the highest page.
    pub fn end(&self) -> Pfn {
        self.extents.last().map_or(Pfn(0), |extent| extent.pages.end)
    }

    /// Returns the zones, by id.
    pub fn zones(&self) -> &[ZoneExtent] {
        &self.zones
    }

    /// Returns the extents in `pages`, cut to `pages`.
    pub fn extents_in(&self, pages: Range<Pfn>) -> impl Iterator<Item = PageExtent> + '_ {
        let first = self.extents.partition_point(|extent| extent.pages.end <= pages.start);
        self.extents[first..].iter().map_while(move |extent| {
            Some(PageExtent { pages: intersect(&extent.pages, &pages)?, ..extent.clone() })
        })
    }

    /// Returns the number of pages with memory, whose descriptors are initialised.
    pub fn described_pages(&self) -> u64 {
        self.extents.iter().map(PageExtent::len).sum()
    }

    /// Returns the number of pages that go to the allocator.
    pub fn free_pages(&self) -> u64 {
        self.zones.iter().map(|zone| zone.free_pages).sum()
    }

    /// Returns the runs of sections that hold memory, by section number, sorted and
    /// disjoint. Each comes with the node of the first memory in it.
    pub fn sections_by_node(&self) -> Vec<(Range<u64>, usize)> {
        let mut runs: Vec<(Range<u64>, usize)> = Vec::new();
        for extent in &self.extents {
            let node = self.zones[usize::from(extent.zone)].node;
            let done = runs.last().map_or(0, |(run, _)| run.end);
            let sections =
                (extent.pages.start.0 / SECTION_PAGES).max(done)..extent.pages.end.0.div_ceil(SECTION_PAGES);
            if sections.is_empty() {
                continue;
            }
            match runs.last_mut() {
                Some((run, of)) if *of == node && run.end == sections.start => run.end = sections.end,
                _ => runs.push((sections, node)),
            }
        }
        runs
    }
}

fn intersect(a: &Range<Pfn>, b: &Range<Pfn>) -> Option<Range<Pfn>> {
    let both = a.start.max(b.start)..a.end.min(b.end);
    (both.start < both.end).then_some(both)
}
