//! Values of `huge.policy`, good and bad.

use params::node_policy::{WrittenPolicy, parse};

#[test]
fn every_form_is_read() {
    assert_eq!(parse("local"), Some(WrittenPolicy::Local));
    assert_eq!(parse("preferred:63"), Some(WrittenPolicy::Preferred(63)));
    assert_eq!(parse("interleave"), Some(WrittenPolicy::Interleave(u64::MAX)));
    assert_eq!(parse("interleave:0,2"), Some(WrittenPolicy::Interleave(0b101)));
    assert_eq!(parse("bind:1,1,3"), Some(WrittenPolicy::Bind(0b1010)));
}

#[test]
fn anything_else_is_refused() {
    let bad = [
        "",
        "local:1",
        "preferred",
        "preferred:",
        "preferred:1,2",
        "preferred:64",
        "bind",
        "bind:",
        "bind:a",
        "bind:1,",
        "near:1",
    ];
    for text in bad {
        assert_eq!(parse(text), None, "{text}");
    }
}
