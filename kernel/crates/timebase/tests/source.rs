//! Which rate wins, and which difference is told.

use timebase::source::{Choice, Known, Source, Sourced, choose};

const GUESS_HZ: u64 = 5_000_000_000;
const RIGHT: u64 = 2_600_000_000;
/// As one measures it.
const NEARLY: u64 = 2_602_000_000;
const WRONG: u64 = 2_100_000_000;

fn known(told: &[Sourced], measured: Option<u64>) -> Known {
    let mut known = Known { measured: measured.map(|hz| (Source::PmTimer, hz)), ..Known::default() };
    for (slot, told) in known.told.iter_mut().zip(told) {
        *slot = Some(*told);
    }
    known
}

fn chosen(known: Known) -> Choice {
    choose(&known, GUESS_HZ)
}

fn quiet(source: Source, hz: u64) -> Choice {
    Choice { hz, source, denied: None }
}

#[test]
fn what_is_told_needs_no_timer() {
    for source in [Source::Cpuid15, Source::Hypervisor, Source::KvmClock] {
        assert_eq!(chosen(known(&[(source, RIGHT)], None)), quiet(source, RIGHT));
    }
}

#[test]
fn told_in_order() {
    let told = [(Source::Cpuid15, RIGHT), (Source::Hypervisor, RIGHT + 1), (Source::KvmClock, RIGHT + 2)];
    assert_eq!(chosen(known(&told, None)), quiet(Source::Cpuid15, RIGHT));
    assert_eq!(chosen(known(&told[1..], None)), quiet(Source::Hypervisor, RIGHT + 1));
}

#[test]
fn told_wins_where_it_was_measured_the_same() {
    assert_eq!(chosen(known(&[(Source::Cpuid15, RIGHT)], Some(NEARLY))), quiet(Source::Cpuid15, RIGHT));
}

#[test]
fn measured_wins_over_what_it_denies() {
    let told = (Source::Cpuid15, WRONG);
    let expected = Choice { hz: NEARLY, source: Source::PmTimer, denied: Some(told) };
    assert_eq!(chosen(known(&[told], Some(NEARLY))), expected);
}

#[test]
fn one_percent_is_the_border() {
    let measured = 1_000_000_000;
    let of = |hz| chosen(known(&[(Source::Cpuid15, hz)], Some(measured))).source;
    assert_eq!((of(1_010_000_000), of(1_010_000_001)), (Source::Cpuid15, Source::PmTimer));
    assert_eq!((of(990_099_010), of(990_000_000)), (Source::Cpuid15, Source::PmTimer));
}

#[test]
fn measuring_finds_who_told_the_truth() {
    let (liar, honest) = ((Source::Cpuid15, WRONG), (Source::KvmClock, RIGHT));
    let expected = Choice { hz: RIGHT, source: Source::KvmClock, denied: Some(liar) };
    assert_eq!(chosen(known(&[liar, honest], Some(NEARLY))), expected);
    let expected = Choice { hz: WRONG, source: Source::Cpuid15, denied: Some(honest) };
    assert_eq!(chosen(known(&[liar, honest], None)), expected, "nobody can tell: the order decides");
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
fn words_are_told_apart() {
    let mut words: Vec<_> = Source::ALL.iter().map(|source| source.word()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Source::ALL.len());
}
