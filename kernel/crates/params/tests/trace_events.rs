//! Values of `trace.events`.

use params::trace_events::{NAMES, parse};

#[test]
fn classes_become_bits() {
    assert_eq!(parse("all"), Some((1 << NAMES.len()) - 1));
    assert_eq!(parse("switch"), Some(1));
    assert_eq!(parse("wake,switch,wake"), Some(0b11));
    assert_eq!(parse(&NAMES.join(",")), parse("all"));
    for wrong in ["", "none", "switch,", ",", "switch wake", "Switch", "all,switch", "0x3"] {
        assert_eq!(parse(wrong), None, "{wrong:?}");
    }
}

/// Every set of classes fits into the parameter.
#[test]
fn all_names_together_fit() {
    assert!(NAMES.join(",").len() <= params::TEXT_CAPACITY);
}
