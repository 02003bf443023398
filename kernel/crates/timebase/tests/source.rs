//! Which rate wins, and which difference is reported.

use timebase::source::{Choice, Known, Source, Sourced, choose};

const GUESS_HZ: u64 = 5_000_000_000;
const RIGHT: u64 = 2_600_000_000;
/// A measurement of the right rate.
const NEARLY: u64 = 2_602_000_000;
const WRONG: u64 = 2_100_000_000;

fn known(announced: &[Sourced], measured: Option<u64>) -> Known {
    let mut known = Known { measured: measured.map(|hz| (Source::PmTimer, hz)), ..Known::default() };
    for (slot, announced) in known.announced.iter_mut().zip(announced) {
        *slot = Some(*announced);
    }
    known
}

fn chosen(known: Known) -> Choice {
    choose(&known, GUESS_HZ)
}

fn quiet(source: Source, hz: u64) -> Choice {
    Choice { hz, source, contradicted: None }
}

#[test]
fn announced_rates_need_no_timer() {
    for source in [Source::Cpuid15, Source::Hypervisor, Source::KvmClock] {
        assert_eq!(chosen(known(&[(source, RIGHT)], None)), quiet(source, RIGHT));
    }
}

#[test]
fn announced_rates_win_in_order() {
    let announced =
        [(Source::Cpuid15, RIGHT), (Source::Hypervisor, RIGHT + 1), (Source::KvmClock, RIGHT + 2)];
    assert_eq!(chosen(known(&announced, None)), quiet(Source::Cpuid15, RIGHT));
    assert_eq!(chosen(known(&announced[1..], None)), quiet(Source::Hypervisor, RIGHT + 1));
}

#[test]
fn an_announced_rate_wins_if_the_measured_rate_is_equal() {
    assert_eq!(chosen(known(&[(Source::Cpuid15, RIGHT)], Some(NEARLY))), quiet(Source::Cpuid15, RIGHT));
}

#[test]
fn the_measured_rate_wins_over_what_it_contradicts() {
    let announced = (Source::Cpuid15, WRONG);
    let expected = Choice { hz: NEARLY, source: Source::PmTimer, contradicted: Some(announced) };
    assert_eq!(chosen(known(&[announced], Some(NEARLY))), expected);
}

#[test]
fn one_percent_is_the_border() {
    let measured = 1_000_000_000;
    let of = |hz| chosen(known(&[(Source::Cpuid15, hz)], Some(measured))).source;
    assert_eq!((of(1_010_000_000), of(1_010_000_001)), (Source::Cpuid15, Source::PmTimer));
    assert_eq!((of(990_099_010), of(990_000_000)), (Source::Cpuid15, Source::PmTimer));
}

#[test]
fn a_measurement_finds_the_true_announcement() {
    let (liar, honest) = ((Source::Cpuid15, WRONG), (Source::KvmClock, RIGHT));
    let expected = Choice { hz: RIGHT, source: Source::KvmClock, contradicted: Some(liar) };
    assert_eq!(chosen(known(&[liar, honest], Some(NEARLY))), expected);
    let expected = Choice { hz: WRONG, source: Source::Cpuid15, contradicted: Some(honest) };
    assert_eq!(chosen(known(&[liar, honest], None)), expected, "without a measurement the order decides");
}

#[test]
fn the_base_frequency_is_better_than_a_guess_only() {
    let base = |known| chosen(Known { base_hz: Some(WRONG), ..known });
    assert_eq!(base(known(&[], None)), quiet(Source::Cpuid16, WRONG));
    assert_eq!(base(known(&[], Some(NEARLY))), quiet(Source::PmTimer, NEARLY));
    assert_eq!(base(known(&[(Source::Hypervisor, RIGHT)], None)), quiet(Source::Hypervisor, RIGHT));
}

#[test]
fn nothing_known_is_a_guess() {
    assert_eq!(chosen(known(&[], None)), quiet(Source::Guess, GUESS_HZ));
}

#[test]
fn words_differ() {
    let mut words: Vec<_> = Source::ALL.iter().map(|source| source.word()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Source::ALL.len());
}
