//! Which page frames are what: the input of memory map init.

use alloc::vec::Vec;
use core::ops::Range;

use firmware::memmap::MemoryMap;
use firmware::nodes::Nodes;
use frames::Pfn;

/// Pages of a section: the least that one thread initialises at a time.
pub const SECTION_PAGES: u64 = 1 << 15;
/// Most pages between a zone's first and its last: 8 TiB. Links between free
/// blocks have 32 bits; a node with more has several zones.
const ZONE_WINDOW_PAGES: u64 = 1 << 31;

/// Pages that are alike.
#[derive(Debug, Clone)]
pub struct PageExtent {
    /// Which.
    pub pages: Range<Pfn>,
    /// The zone that they belong to.
    pub zone: u16,
    /// Whether they go to the page allocator; else they were handed out before
    /// there was one.
    pub is_free: bool,
}

impl PageExtent {
    /// Number of pages.
    pub fn len(&self) -> u64 {
        self.pages.end - self.pages.start
    }
}

/// Where a zone is.
#[derive(Debug, Clone)]
pub struct ZoneExtent {
    /// The node that its memory is of.
    pub node: usize,
    /// From its first page to its last; other zones' pages may lie between.
    pub pages: Range<Pfn>,
    /// Pages that go to the allocator.
    pub free_pages: u64,
}

/// The machine's memory, page by page.
#[derive(Debug)]
pub struct Layout {
    /// Sorted and disjoint.
    extents: Vec<PageExtent>,
    /// By zone id.
    zones: Vec<ZoneExtent>,
}

impl Layout {
    /// What `map` lists as usable, of which `free` (bytes, sorted) goes to the
    /// allocator.
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

    /// Adds pages of one node and one zone's window.
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

    /// One past the highest page.
    pub fn end(&self) -> Pfn {
        self.extents.last().map_or(Pfn(0), |extent| extent.pages.end)
    }

    /// The zones, by id.
    pub fn zones(&self) -> &[ZoneExtent] {
        &self.zones
    }

    /// The parts of extents that lie in `pages`.
    pub fn extents_in(&self, pages: Range<Pfn>) -> impl Iterator<Item = PageExtent> + '_ {
        let first = self.extents.partition_point(|extent| extent.pages.end <= pages.start);
        self.extents[first..].iter().map_while(move |extent| {
            Some(PageExtent { pages: intersect(&extent.pages, &pages)?, ..extent.clone() })
        })
    }

    /// Number of pages that have a descriptor of their own.
    pub fn described_pages(&self) -> u64 {
        self.extents.iter().map(PageExtent::len).sum()
    }

    /// Number of pages that go to the allocator.
    pub fn free_pages(&self) -> u64 {
        self.zones.iter().map(|zone| zone.free_pages).sum()
    }

    /// Runs of sections that hold memory, each with the node of the first memory
    /// in it: by section number, sorted and disjoint.
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
