//! Memory maps: the repairs one by one, and arbitrary maps against a model that treats each page separately.

use firmware::PAGE_BYTES;
use firmware::memmap::{Kind, MAX_REGIONS, MapReport, MemoryMap, Region};
use proptest::prelude::*;

const fn region(start: u64, end: u64, kind: Kind) -> Region {
    Region { start, end, kind }
}

fn sanitise(input: &[Region]) -> (MemoryMap, MapReport) {
    MemoryMap::sanitise(input.iter().copied(), 46)
}

/// Regions of a PC with 256 MiB, as QEMU's firmware reports them.
const PC: [Region; 6] = [
    region(0, 0x9_fc00, Kind::Usable),
    region(0x9_fc00, 0xa_0000, Kind::Reserved),
    region(0xf_0000, 0x10_0000, Kind::Reserved),
    region(0x10_0000, 0xffe_0000, Kind::Usable),
    region(0xffe_0000, 0x1000_0000, Kind::Reserved),
    region(0xfffc_0000, 0x1_0000_0000, Kind::Reserved),
];

#[test]
fn a_pcs_map_loses_only_the_page_that_is_half_reserved() {
    let (map, report) = sanitise(&PC);
    let usable: Vec<_> = map.usable().collect();
    assert_eq!(usable, [0..0x9_f000, 0x10_0000..0xffe_0000]);
    assert_eq!(map.kind_at(0x9_f000), Some(Kind::Reserved), "half a page reserved");
    assert_eq!(map.kind_at(0xb_0000), None);
    assert_eq!(map.total_usable_bytes(), 0x9_f000 + 0xffe_0000 - 0x10_0000);
    assert_eq!(map.highest_usable_end(), 0xffe_0000);
    assert!(map.contains(0x10_0000..0xffe_0000));
    assert!(!map.contains(0x9_e000..0xa_0000));
    assert!(!map.contains(0x10_0000..0xffe_0001));
    assert_eq!(report.to_string(), "memory map: 6 regions in, 6 out, 2 unaligned");
}

#[test]
fn a_clean_map_is_reported_clean() {
    let (map, report) = sanitise(&[
        region(0x1000, 0x2000, Kind::Usable),
        region(0x2000, 0x3000, Kind::Usable),
        region(0x4000, 0x5000, Kind::AcpiNvs),
    ]);
    assert!(report.is_clean());
    assert_eq!(report.to_string(), "memory map: 3 regions in, 2 out");
    assert_eq!(
        map.regions(),
        [region(0x1000, 0x3000, Kind::Usable), region(0x4000, 0x5000, Kind::AcpiNvs)],
        "neighbours of one kind are merged"
    );
}

#[test]
fn each_defect_is_counted() {
    let (map, report) = sanitise(&[
        region(0x10_0000, 0x20_0000, Kind::Usable),
        region(0x18_0000, 0x19_0000, Kind::Reserved),
        region(0x8_0000, 0x8_0800, Kind::Usable),
        region(0x5000, 0x5000, Kind::Usable),
        region(0x7000, 0x6000, Kind::Bad),
        region(u64::MAX - 10, u64::MAX, Kind::Reserved),
    ]);
    let usable: Vec<_> = map.usable().collect();
    assert_eq!(usable, [0x10_0000..0x18_0000, 0x19_0000..0x20_0000]);
    assert_eq!(
        report,
        MapReport {
            input: 6,
            output: 3,
            unsorted: 2,
            overlapping: 1,
            unaligned: 1,
            zero_length: 1,
            inverted: 1,
            clipped: 1,
            dropped: 0,
            fused: 0,
            lost_bytes: 0,
        }
    );
    assert!(!report.is_clean());
}

#[test]
fn the_more_restrictive_kind_stays_in_either_order() {
    let kinds = [Kind::Usable, Kind::AcpiReclaimable, Kind::AcpiNvs, Kind::Reserved, Kind::Bad];
    for (weak_index, &weak) in kinds.iter().enumerate() {
        for &strong in &kinds[weak_index + 1..] {
            let outer = region(0x1000, 0x9000, weak);
            let inner = region(0x3000, 0x5000, strong);
            for input in [[outer, inner], [inner, outer]] {
                let (map, _) = sanitise(&input);
                assert_eq!(
                    map.regions(),
                    [region(0x1000, 0x3000, weak), inner, region(0x5000, 0x9000, weak)]
                );
            }
        }
    }
}

#[test]
fn no_region_lies_beyond_the_physical_address_space() {
    let everything = [region(0, u64::MAX, Kind::Usable)];
    for (bits, end) in [(36, 1 << 36), (52, 1 << 52), (64, 1 << 52), (0, 1 << 12)] {
        let (map, report) = MemoryMap::sanitise(everything, bits);
        assert_eq!(map.highest_usable_end(), end, "{bits} bits");
        assert_eq!(report.clipped, 1);
    }
}

#[test]
fn an_empty_map_has_no_memory() {
    let (map, report) = sanitise(&[]);
    assert!(map.regions().is_empty() && report.is_clean());
    assert_eq!((map.total_usable_bytes(), map.highest_usable_end()), (0, 0));
    assert!(!map.contains(0..1));
    assert!(map.contains(5..5));
    assert_eq!(map.kind_at(0), None);
}

#[test]
fn a_full_map_drops_its_smallest_usable_regions() {
    let large = region(1 << 32, 1 << 33, Kind::Usable);
    let small = (0..1400).map(|i| region(i * 0x2000, i * 0x2000 + 0x1000, Kind::Usable));
    for input in
        [small.clone().chain([large]).collect::<Vec<_>>(), [large].into_iter().chain(small).collect()]
    {
        let (map, report) = sanitise(&input);
        assert_eq!(map.regions().len(), MAX_REGIONS);
        assert!(map.contains(large.start..large.end));
        assert_eq!(report.dropped, 1401 - MAX_REGIONS);
        assert_eq!(report.lost_bytes, report.dropped as u64 * PAGE_BYTES);
    }
}

#[test]
fn a_full_map_of_reserved_regions_still_takes_the_memory() {
    let reserved = (0..1400).map(|i| region(i * 0x2000, i * 0x2000 + 0x1000, Kind::Reserved));
    let memory = region(0, 1 << 32, Kind::Usable);
    let (map, report) = sanitise(&reserved.chain([memory]).collect::<Vec<_>>());
    assert!(report.fused > 0);
    assert!(map.total_usable_bytes() >= memory.end - 2800 * PAGE_BYTES);
    for i in 0..1400 {
        assert_eq!(map.kind_at(i * 0x2000), Some(Kind::Reserved));
    }
}

/// The map of a real machine, with 313 entries: small ones first, and all but 13 MiB of the memory after the 256th.
#[test]
fn a_long_map_keeps_every_entry() {
    let low = [region(0, 0x9_f000, Kind::Usable), region(0x10_0000, 0xcf_0000, Kind::Usable)];
    let pairs = (0..154).flat_map(|i| {
        let at = 0xcf_0000 + i * 0x2000;
        [region(at, at + 0x1000, Kind::Usable), region(at + 0x1000, at + 0x2000, Kind::Reserved)]
    });
    let high = [
        region(0x100_0000, 0x1fe0_0000, Kind::Usable),
        region(0x1fe0_0000, 0x1ff0_0000, Kind::AcpiReclaimable),
    ];
    let input: Vec<_> = low.into_iter().chain(pairs).chain(high).collect();
    let (map, report) = sanitise(&input);
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.input, report.output), (312, 311), "the last pair's gap is one with nothing");
    let usable = 0x9_f000 + (0xcf_0000 - 0x10_0000) + 154 * 0x1000 + (0x1fe0_0000 - 0x100_0000);
    assert_eq!(map.total_usable_bytes(), usable);
}

#[test]
fn kinds_convert_to_e820_types_and_back() {
    for kind in [Kind::Usable, Kind::AcpiReclaimable, Kind::AcpiNvs, Kind::Reserved, Kind::Bad] {
        assert_eq!(Kind::from_e820(kind.to_e820()), kind);
    }
    for unknown in [0, 6, 7, 12, u32::MAX] {
        assert_eq!(Kind::from_e820(unknown), Kind::Reserved);
    }
}

#[test]
fn withheld_memory_is_not_usable() {
    let (mut map, _) = sanitise(&PC);
    assert_eq!(map.withhold(0xfee0_0000..0xfee0_1000), 0, "no memory");
    assert_eq!(map.kind_at(0xfee0_0000), Some(Kind::Reserved));
    assert_eq!(map.withhold(0x20_0800..0x20_0801), PAGE_BYTES);
    assert_eq!(map.kind_at(0x20_0000), Some(Kind::Reserved));
    assert!(map.contains(0x10_0000..0x20_0000) && map.contains(0x20_1000..0xffe_0000));
    assert_eq!(map.withhold(0x20_0000..0x20_1000), 0, "it is already");
    assert_eq!(map.withhold(5..5), 0);
    check_shape(&map, 1 << 46);
}

#[test]
fn filling_again_drops_the_old_content() {
    let (mut map, _) = sanitise(&PC);
    let report = map.fill([region(0x1000, 0x2000, Kind::Usable)], 46);
    assert_eq!((map.regions(), report.input), (&[region(0x1000, 0x2000, Kind::Usable)][..], 1));
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        3 => Just(Kind::Usable),
        1 => Just(Kind::AcpiReclaimable),
        1 => Just(Kind::AcpiNvs),
        1 => Just(Kind::Reserved),
        1 => Just(Kind::Bad),
    ]
}

/// Returns an address in or a little beyond a space of `pages`; sometimes any address.
fn any_address(pages: u64) -> impl Strategy<Value = u64> {
    let page = 0..pages + 4;
    prop_oneof![
        6 => page.clone().prop_map(|page| page * PAGE_BYTES),
        6 => (page, 0..PAGE_BYTES).prop_map(|(page, byte)| page * PAGE_BYTES + byte),
        1 => any::<u64>(),
        1 => Just(u64::MAX),
    ]
}

fn any_region(pages: u64) -> impl Strategy<Value = Region> {
    (any_address(pages), any_address(pages), any_kind(), 0..8_u8).prop_map(|(a, b, kind, keep_inverted)| {
        if keep_inverted == 0 { region(a, b, kind) } else { region(a.min(b), a.max(b), kind) }
    })
}

/// Returns the right kind of `page`, from the input alone.
fn model_kind(input: &[Region], page: u64) -> Option<Kind> {
    let (first, end) = (page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    input
        .iter()
        .filter(|region| region.start < region.end)
        .filter(|region| match region.kind {
            Kind::Usable => region.start <= first && end <= region.end,
            _ => region.start < end && first < region.end,
        })
        .map(|region| region.kind)
        .max()
}

fn check_shape(map: &MemoryMap, limit: u64) {
    for region in map.regions() {
        assert!(region.start < region.end && region.end <= limit);
        assert!(region.start % PAGE_BYTES == 0 && region.end % PAGE_BYTES == 0);
    }
    for pair in map.regions().windows(2) {
        assert!(pair[0].end <= pair[1].start, "sorted and disjoint");
        assert!(pair[0].end < pair[1].start || pair[0].kind != pair[1].kind, "merged");
    }
}

proptest! {
    #[test]
    fn every_page_has_the_models_kind(input in prop::collection::vec(any_region(64), 0..24)) {
        let (map, report) = MemoryMap::sanitise(input.iter().copied(), 18);
        check_shape(&map, 64 * PAGE_BYTES);
        for page in 0..64 {
            let kind = model_kind(&input, page);
            for byte in [0, 1, PAGE_BYTES - 1] {
                prop_assert_eq!(map.kind_at(page * PAGE_BYTES + byte), kind, "page {}", page);
            }
            let range = page * PAGE_BYTES..(page + 1) * PAGE_BYTES;
            prop_assert_eq!(map.contains(range), kind == Some(Kind::Usable));
        }
        prop_assert_eq!(report.input, input.len());
        prop_assert_eq!(report.output, map.regions().len());
        prop_assert_eq!(report.dropped + report.fused, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_full_map_is_never_wrong_only_smaller(
        input in prop::collection::vec((0_u64..16384, 1_u64..4, any_kind()), 2500..6000)
    ) {
        let input: Vec<_> = input
            .into_iter()
            .map(|(page, len, kind)| region(page * PAGE_BYTES, (page + len) * PAGE_BYTES, kind))
            .collect();
        let (map, report) = MemoryMap::sanitise(input.iter().copied(), 26);
        check_shape(&map, 16384 * PAGE_BYTES);
        prop_assert!(report.dropped + report.fused > 0, "the input should be too much");
        let mut missing_bytes = 0;
        for page in 0..16384 {
            let model = model_kind(&input, page);
            let kind = map.kind_at(page * PAGE_BYTES);
            match model {
                Some(Kind::Usable) if kind != model => missing_bytes += PAGE_BYTES,
                Some(Kind::Usable) => {}
                // No gap becomes usable, and non-usable memory stays listed.
                None => prop_assert_ne!(kind, Some(Kind::Usable)),
                Some(_) => prop_assert!(kind >= model, "page {}: {:?}", page, kind),
            }
        }
        prop_assert!(missing_bytes <= report.lost_bytes);
    }
}
