//! Distances of names, against values worked out by hand and a plain recursive definition.

use params::spelling::edit_distance;
use proptest::prelude::*;

#[test]
fn distances_are_those_of_the_textbook() {
    for (a, b, distance) in [
        ("", "", 0),
        ("", "run", 3),
        ("kitten", "sitting", 3),
        ("saturday", "sunday", 3),
        ("smp.max_cpu", "smp.max_cpus", 1),
        ("abcdef", "xabcde", 2),
        ("ab", "ba", 2),
    ] {
        assert_eq!(edit_distance(a, b), distance, "{a:?} and {b:?}");
        assert_eq!(edit_distance(b, a), distance, "{b:?} and {a:?}");
    }
}

#[test]
fn forty_bytes_of_each_count() {
    let a = "a".repeat(50);
    assert_eq!(edit_distance(&a, &"b".repeat(39)), 40);
    assert_eq!(edit_distance(&a, &"b".repeat(60)), 40);
    assert_eq!(edit_distance(&a, &"a".repeat(60)), 0);
    assert_eq!(edit_distance(&a, ""), 40);
}

/// The definition, without a table.
fn defined(a: &[u8], b: &[u8]) -> usize {
    match (a, b) {
        ([], rest) | (rest, []) => rest.len(),
        ([x, a @ ..], [y, b @ ..]) if x == y => defined(a, b),
        ([_, a_rest @ ..], [_, b_rest @ ..]) => {
            1 + defined(a_rest, b_rest).min(defined(a, b_rest)).min(defined(a_rest, b))
        }
    }
}

proptest! {
    #[test]
    fn distances_are_as_defined(a in "[ab.]{0,7}", b in "[ab.]{0,7}") {
        prop_assert_eq!(edit_distance(&a, &b), defined(a.as_bytes(), b.as_bytes()));
    }
}
