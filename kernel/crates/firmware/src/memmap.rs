//! The firmware's memory map, repaired.
//!
//! Firmware may pass regions in any order, overlapping, with odd ends or beyond the CPU's physical addresses (Linux's
//! `e820__update_table` exists for the same reason). [`MemoryMap::sanitise`] paints the regions one by one onto a sorted,
//! disjoint list; where two overlap, the more restrictive kind stays. Memory in no region is not usable.

mod region;
mod report;

pub use region::{Kind, Region};
pub use report::MapReport;

use core::ops::Range;

use crate::PAGE_BYTES;

/// Most regions in a [`MemoryMap`]. A big server reports about 100; maps of 312 were seen.
pub const MAX_REGIONS: usize = 1024;

/// Most physical address bits of the x86_64 architecture.
const ARCH_PHYS_ADDR_BITS: u8 = 52;

/// Sorted, disjoint, page-aligned regions; neighbours of one kind are merged.
///
/// About 24 KiB: too large for a kernel's stack.
#[derive(Clone)]
pub struct MemoryMap {
    regions: [Region; MAX_REGIONS],
    len: usize,
}

impl MemoryMap {
    /// A map without regions: no memory is usable.
    pub const EMPTY: Self = Self { regions: [Region::EMPTY; MAX_REGIONS], len: 0 };

    /// Makes a valid map of any `input`.
    ///
    /// `phys_addr_bits` is the width of the CPU's physical addresses (CPUID
    /// leaf 0x8000_0008), clamped to 12..=52.
    ///
    /// * Usable regions shrink to whole 4 KiB pages, others grow to them.
    /// * Where regions overlap, the more restrictive [`Kind`] stays.
    /// * Regions without length and inverted ones are ignored; what lies beyond
    ///   the physical address space is cut off.
    /// * When more than [`MAX_REGIONS`] are needed, the cheapest loss is taken: the smallest usable region is dropped, or
    ///   the two non-usable regions with the smallest gap between them become one. Memory that any input calls non-usable
    ///   never becomes usable this way.
    pub fn sanitise(input: impl IntoIterator<Item = Region>, phys_addr_bits: u8) -> (Self, MapReport) {
        let mut map = Self::EMPTY;
        let report = map.fill(input, phys_addr_bits);
        (map, report)
    }

    /// Makes the map of `input` as [`sanitise`](Self::sanitise), in place of the old content.
    pub fn fill(&mut self, input: impl IntoIterator<Item = Region>, phys_addr_bits: u8) -> MapReport {
        let limit = 1_u64 << phys_addr_bits.clamp(12, ARCH_PHYS_ADDR_BITS);
        self.len = 0;
        let mut report = MapReport::default();
        let mut last_start = 0;
        for region in input {
            report.input += 1;
            if region.start < last_start {
                report.unsorted += 1;
            }
            last_start = region.start;
            if let Some(region) = fit(region, limit, &mut report) {
                self.paint(region, &mut report);
            }
        }
        report.output = self.len;
        report
    }

    /// Makes `range` reserved, widened to whole pages. Returns how many of its bytes were usable.
    pub fn withhold(&mut self, range: Range<u64>) -> u64 {
        let mut report = MapReport::default();
        let region = Region { start: range.start, end: range.end, kind: Kind::Reserved };
        let usable_before = self.total_usable_bytes();
        if let Some(region) = fit(region, 1 << ARCH_PHYS_ADDR_BITS, &mut report) {
            self.paint(region, &mut report);
        }
        // The difference of totals: a full map may have dropped more than the range.
        usable_before - self.total_usable_bytes()
    }

    /// Returns all regions, sorted.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions[..self.len]
    }

    /// Returns the usable regions as byte ranges, sorted.
    pub fn usable(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.regions()
            .iter()
            .filter(|region| region.kind == Kind::Usable)
            .map(|region| region.start..region.end)
    }

    /// Returns the number of usable bytes.
    #[must_use]
    pub fn total_usable_bytes(&self) -> u64 {
        self.usable().map(|range| range.end - range.start).sum()
    }

    /// Returns the address one past the last usable byte; 0 if no memory is usable.
    #[must_use]
    pub fn highest_usable_end(&self) -> u64 {
        self.usable().last().map_or(0, |range| range.end)
    }

    /// Returns whether every byte of `range` is usable; true for an empty range.
    #[must_use]
    pub fn contains(&self, range: Range<u64>) -> bool {
        // Neighbours of one kind are merged, so one region must hold the whole range.
        range.is_empty() || self.usable().any(|usable| usable.start <= range.start && range.end <= usable.end)
    }

    /// Returns the kind of the byte at `address`; `None` if no region covers it.
    #[must_use]
    pub fn kind_at(&self, address: u64) -> Option<Kind> {
        let after = self.regions().partition_point(|region| region.end <= address);
        let region = self.regions().get(after)?;
        (region.start <= address).then_some(region.kind)
    }

    /// Adds `region`; where another region overlaps, the more restrictive kind stays.
    fn paint(&mut self, region: Region, report: &mut MapReport) {
        let mut cursor = region.start;
        let mut overlapped = false;
        while cursor < region.end {
            // An insertion into a full map may move regions, so the index is searched again in each round.
            let at = self.regions().partition_point(|old| old.end <= cursor);
            let old = self.regions().get(at).copied();
            match old {
                Some(old) if old.start <= cursor => {
                    overlapped = true;
                    let end = old.end.min(region.end);
                    if region.kind > old.kind {
                        self.recolour(at, cursor..end, region.kind, report);
                    }
                    cursor = end;
                }
                _ => {
                    let gap_end = old.map_or(region.end, |old| old.start.min(region.end));
                    let piece = Region { start: cursor, end: gap_end, kind: region.kind };
                    self.insert(at, piece, report);
                    cursor = gap_end;
                }
            }
        }
        if overlapped {
            report.overlapping += 1;
        }
    }

    /// Changes the kind of `part` of the region at `at`.
    fn recolour(&mut self, at: usize, part: Range<u64>, kind: Kind, report: &mut MapReport) {
        let old = self.regions[at];
        self.remove(at);
        let pieces = [(old.start..part.start, old.kind), (part.clone(), kind), (part.end..old.end, old.kind)];
        for (range, kind) in pieces {
            if !range.is_empty() {
                let place = self.regions().partition_point(|other| other.start < range.start);
                let piece = Region { start: range.start, end: range.end, kind };
                self.insert(place, piece, report);
            }
        }
    }

    /// Inserts `piece`, which overlaps no region, at index `at`; merges it with adjacent neighbours of its kind.
    fn insert(&mut self, at: usize, piece: Region, report: &mut MapReport) {
        let joins_left = at > 0 && {
            let left = self.regions[at - 1];
            left.end == piece.start && left.kind == piece.kind
        };
        let joins_right = at < self.len && {
            let right = self.regions[at];
            piece.end == right.start && right.kind == piece.kind
        };
        match (joins_left, joins_right) {
            (true, true) => {
                self.regions[at - 1].end = self.regions[at].end;
                self.remove(at);
            }
            (true, false) => self.regions[at - 1].end = piece.end,
            (false, true) => self.regions[at].start = piece.start,
            (false, false) if self.len < MAX_REGIONS => {
                self.regions.copy_within(at..self.len, at + 1);
                self.regions[at] = piece;
                self.len += 1;
            }
            (false, false) => self.insert_into_full(piece, report),
        }
    }

    /// Frees one entry at the lowest cost, then inserts `piece`; or drops `piece` if that costs least.
    fn insert_into_full(&mut self, piece: Region, report: &mut MapReport) {
        let smallest_usable = self
            .regions()
            .iter()
            .enumerate()
            .filter(|(_, region)| region.kind == Kind::Usable)
            .map(|(index, region)| (region.len_bytes(), index))
            .min();
        // A gap that holds `piece` cannot be closed.
        let closest_pair = self
            .regions()
            .windows(2)
            .enumerate()
            .filter(|(_, pair)| pair.iter().all(|region| region.kind != Kind::Usable))
            .filter(|(_, pair)| !(pair[0].end <= piece.start && piece.end <= pair[1].start))
            .map(|(index, pair)| (pair[1].start - pair[0].end, index))
            .min();

        let piece_cost = (piece.kind == Kind::Usable).then(|| piece.len_bytes());
        let drop_cost = smallest_usable.map(|(bytes, _)| bytes);
        let cheapest_drop = [piece_cost, drop_cost].into_iter().flatten().min();
        if let Some((gap_bytes, left)) = closest_pair
            && cheapest_drop.is_none_or(|bytes| gap_bytes <= bytes)
        {
            self.fuse(left);
            report.fused += 1;
            report.lost_bytes += gap_bytes;
        } else if piece_cost.is_some() && piece_cost == cheapest_drop {
            report.dropped += 1;
            report.lost_bytes += piece.len_bytes();
            return;
        } else if let Some((bytes, index)) = smallest_usable {
            self.remove(index);
            report.dropped += 1;
            report.lost_bytes += bytes;
        }
        let place = self.regions().partition_point(|other| other.start < piece.start);
        self.insert(place, piece, report);
    }

    /// Merges the regions at `left` and `left + 1`, with the gap between them, to the more restrictive kind.
    fn fuse(&mut self, left: usize) {
        let right = self.regions[left + 1];
        let fused = &mut self.regions[left];
        fused.end = right.end;
        fused.kind = fused.kind.max(right.kind);
        self.remove(left + 1);
    }

    fn remove(&mut self, at: usize) {
        self.regions.copy_within(at + 1..self.len, at);
        self.len -= 1;
    }
}

/// Cuts `region` to whole pages below `limit`; `None` if it becomes empty.
fn fit(region: Region, limit: u64, report: &mut MapReport) -> Option<Region> {
    let Region { start, end, kind } = region;
    if start > end {
        report.inverted += 1;
        return None;
    }
    if start == end {
        report.zero_length += 1;
        return None;
    }
    if end > limit {
        report.clipped += 1;
    }
    let (start, end) = (start.min(limit), end.min(limit));
    if !start.is_multiple_of(PAGE_BYTES) || !end.is_multiple_of(PAGE_BYTES) {
        report.unaligned += 1;
    }
    // `limit` is a multiple of the page, so rounding up stays within it.
    let floor = |address: u64| address - address % PAGE_BYTES;
    let ceil = |address: u64| address.next_multiple_of(PAGE_BYTES);
    let (start, end) = match kind {
        Kind::Usable => (ceil(start), floor(end)),
        _ => (floor(start), ceil(end)),
    };
    (start < end).then_some(Region { start, end, kind })
}
