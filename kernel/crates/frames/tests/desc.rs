//! The descriptor's bits, on which writers by wide stores rely.

use frames::{
    InitKind, MAX_ORDER, ORDERS, PAGE_SIZE, PageDesc, PageState, Pfn, Span, SpanError, Zone, init_pattern,
    init_run, order_for_pages, order_pages,
};

#[test]
fn the_patterns_are_those_documented() {
    assert_eq!(init_pattern(InitKind::Usable, 0), 0x2);
    assert_eq!(init_pattern(InitKind::Reserved, 0), 0x1);
    assert_eq!(init_pattern(InitKind::Usable, 0xabcd), 0xabcd_0002);
}

#[test]
fn zero_is_a_hole() {
    let desc = PageDesc::new();
    assert_eq!(desc.state(), PageState::Hole);
    assert_eq!(desc.zone_id(), 0);
    assert!(desc.owner_word().is_none());
    assert!(!desc.matches_init(InitKind::Usable, 0));
}

#[test]
fn a_run_is_initialised_and_nothing_around_it() {
    let descs: Vec<PageDesc> = (0..100).map(|_| PageDesc::new()).collect();
    init_run(&descs[10..90], InitKind::Usable, 7);
    init_run(&descs[40..41], InitKind::Reserved, 7);
    for (index, desc) in descs.iter().enumerate() {
        let state = match index {
            40 => PageState::Reserved,
            10..90 => PageState::Tail,
            _ => PageState::Hole,
        };
        assert_eq!(desc.state(), state, "descriptor {index}");
        assert_eq!(desc.matches_init(InitKind::Usable, 7), state == PageState::Tail);
        assert_eq!(desc.matches_init(InitKind::Reserved, 7), state == PageState::Reserved);
        assert!(!desc.matches_init(InitKind::Usable, 8));
    }
}

#[test]
fn an_initialised_page_that_was_used_no_longer_matches() {
    let descs: Vec<PageDesc> = (0..2).map(|_| PageDesc::new()).collect();
    let mut zone = Zone::new(&descs, Pfn(0), 3).unwrap();
    zone.init_range(Pfn(0)..Pfn(2), InitKind::Usable).unwrap();
    assert!(descs[0].matches_init(InitKind::Usable, 3));
    zone.free_initial(Pfn(0)..Pfn(2)).unwrap();
    assert!(!descs[0].matches_init(InitKind::Usable, 3), "a free head");
    assert!(descs[1].matches_init(InitKind::Usable, 3), "its tail");
}

#[test]
fn orders_count_pages() {
    assert_eq!(order_pages(0), 1);
    assert_eq!(order_pages(9) * PAGE_SIZE, 2 << 20);
    assert_eq!(order_pages(MAX_ORDER) * PAGE_SIZE, 1 << 30);
    assert_eq!(ORDERS, 19);
    assert_eq!(order_for_pages(0), None);
    assert_eq!(order_for_pages(1), Some(0));
    assert_eq!(order_for_pages(3), Some(2));
    assert_eq!(order_for_pages(512), Some(9));
    assert_eq!(order_for_pages(1 << 18), Some(18));
    assert_eq!(order_for_pages((1 << 18) + 1), None);
    assert_eq!(order_for_pages(u64::MAX), None);
}

#[test]
fn page_frame_numbers_are_addresses_in_pages() {
    assert_eq!(Pfn::containing(0x1fff), Pfn(1));
    assert_eq!(Pfn::at_or_after(0x1001), Pfn(2));
    assert_eq!(Pfn::at_or_after(0x1000), Pfn(1));
    assert_eq!(Pfn(3).address(), 0x3000);
    assert_eq!(Pfn::whole_pages(&(0x1001..0x4fff)), Pfn(2)..Pfn(4));
    assert!(Pfn::whole_pages(&(0x1001..0x1fff)).is_empty());
    assert!(Pfn(512).is_aligned(9) && !Pfn(512).is_aligned(10));
    assert_eq!(Pfn(512).buddy(9), Pfn(0));
    assert_eq!(Pfn(0).buddy(9), Pfn(512));
}

#[test]
fn a_span_knows_its_pages() {
    let descs: Vec<PageDesc> = (0..8).map(|_| PageDesc::new()).collect();
    let span = Span::new(&descs, Pfn(100), 1).unwrap();
    assert_eq!(span.pages(), Pfn(100)..Pfn(108));
    assert!(span.desc(Pfn(99)).is_none() && span.desc(Pfn(108)).is_none());
    assert!(std::ptr::eq(span.desc(Pfn(107)).unwrap(), &raw const descs[7]));
    assert_eq!(span.descs_of(Pfn(108)..Pfn(108)).unwrap().len(), 0);
    for (start, end) in [(99, 101), (107, 109), (104, 103), (0, u64::MAX)] {
        assert_eq!(
            span.init_range(Pfn(start)..Pfn(end), InitKind::Usable),
            Err(SpanError::OutOfRange { start: Pfn(start), end: Pfn(end) })
        );
    }
    assert!(descs.iter().all(|desc| desc.state() == PageState::Hole));
}

#[test]
fn a_span_ends_with_the_address_space() {
    const LAST: u64 = (1 << 40) - 1;
    let descs: Vec<PageDesc> = (0..2).map(|_| PageDesc::new()).collect();
    assert!(Span::new(&descs[..1], Pfn(LAST), 0).is_ok());
    for base in [LAST, u64::MAX] {
        assert_eq!(
            Span::new(&descs, Pfn(base), 0).unwrap_err(),
            SpanError::BeyondAddressSpace { start: Pfn(base), len_pages: 2 }
        );
    }
}

#[test]
fn a_descriptor_prints_its_state_and_zone() {
    let desc = PageDesc::new();
    assert_eq!(format!("{desc:?}"), "PageDesc { state: Hole, zone_id: 0, links: 0x0 }");
    init_run(core::slice::from_ref(&desc), InitKind::Reserved, 7);
    assert_eq!(format!("{desc:?}"), "PageDesc { state: Reserved, zone_id: 7, links: 0x0 }");
}

#[test]
fn errors_of_spans_say_what_would_be_right() {
    let said = |error: SpanError| error.to_string();
    assert_eq!(
        said(SpanError::TooLong { len_pages: 1 << 32 }),
        "span of 4294967296 pages, should be at most 4294967295"
    );
    assert_eq!(
        said(SpanError::BeyondAddressSpace { start: Pfn(1 << 40), len_pages: 2 }),
        format!("span of 2 pages from {}, should end at or below page 0x10000000000", Pfn(1 << 40))
    );
    let range = SpanError::OutOfRange { start: Pfn(5), end: Pfn(9) };
    assert_eq!(said(range), format!("pages {}..{}, should lie in the span", Pfn(5), Pfn(9)));
}
