//! Each kind of parameter: what it accepts, refuses and prints.

use params::{
    BoolParam, Bytes, ChoiceParam, ListParam, OptionParam, Param, SizeParam, TEXT_CAPACITY, TextParam,
    U64Param, cmdline, cmdline::CommandLine, parse_size,
};
use proptest::prelude::*;

fn value(param: &dyn Param) -> String {
    let mut text = String::new();
    param.write_value(&mut text).expect("writing to a string cannot fail");
    text
}

#[test]
fn sizes_take_units() {
    assert_eq!(parse_size("0"), Some(0));
    assert_eq!(parse_size("1k"), Some(1024));
    assert_eq!(parse_size("16777215T"), Some(16_777_215 << 40));
    for bad in ["", "K", "+1", "-1", "1 K", "1KB", "0x10", "16777216T", "99999999999999999999"] {
        assert_eq!(parse_size(bad), None, "{bad}");
    }
}

#[test]
fn refused_values_change_nothing() {
    let switch = BoolParam::new("a", true, "help");
    assert!(switch.set("maybe").is_err() && switch.get());
    let number = U64Param::new("a", 5, 1..=9, "help");
    for bad in ["0", "10", "", "five", "-1", "18446744073709551616"] {
        assert!(number.set(bad).is_err(), "{bad}");
    }
    assert_eq!(number.get(), 5);
    let size = SizeParam::new("a", 4096, 4096..=1 << 20, "help");
    assert!(size.set("2M").is_err() && size.set("1M").is_ok());
    assert_eq!(size.get_bytes(), 1 << 20);
    let choice = ChoiceParam::new("a", &["x", "y"], 0, "help");
    assert!(choice.set("z").is_err() && choice.set("y").is_ok());
    assert_eq!((choice.get(), choice.get_index()), ("y", 1));
    let list = ListParam::new("a", 1..=4, "help");
    assert!(list.set("1,2").is_ok());
    for bad in ["", "1,", "0", "1,5", "1;2", &"1,".repeat(40)] {
        assert!(list.set(bad).is_err(), "{bad}");
    }
    assert_eq!(list.iter().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn options_can_be_taken_back() {
    let fault = OptionParam::new("a", 1..=7, "help");
    assert_eq!(fault.get(), None);
    assert!(fault.set("7").is_ok() && fault.set("8").is_err());
    assert_eq!((fault.get(), value(&fault).as_str()), (Some(7), "7"));
    assert!(fault.set("none").is_ok());
    assert_eq!((fault.get(), value(&fault).as_str()), (None, "none"));
}

#[test]
fn text_is_bounded_and_shorter_text_leaves_no_rest() {
    let run = TextParam::new("a", "start", "anything", |_| true, "help");
    let mut buffer = [0; TEXT_CAPACITY];
    assert_eq!(run.get(&mut buffer), "start");
    assert!(run.set("something longer").is_ok() && run.set("short").is_ok());
    assert_eq!(run.get(&mut buffer), "short");
    assert!(run.set(&"x".repeat(TEXT_CAPACITY + 1)).is_err());
}

proptest! {
    #[test]
    fn sizes_print_as_they_parse(bytes: u64) {
        prop_assert_eq!(parse_size(&Bytes(bytes).to_string()), Some(bytes));
    }

    /// Any bytes: words are set or refused, and the warnings are few and printable.
    #[test]
    fn any_line_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000), is_cut: bool) {
        let mut told = 0;
        let outcome = cmdline::apply(CommandLine { bytes: &bytes, is_cut }, |problem| {
            told += 1;
            let text = problem.to_string();
            assert!(text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{text}");
        });
        prop_assert!(told <= cmdline::MAX_REPORTED + 4);
        let words = bytes.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
        let is_half = is_cut && bytes.last().is_some_and(|last| !last.is_ascii_whitespace());
        prop_assert_eq!(outcome.set + outcome.refused + usize::from(is_half), words);
    }

    #[test]
    fn any_value_for_a_known_name_is_survived(index in 0..params::registry::ALL.len(), value in "[^ ]{0,150}") {
        let name = params::registry::ALL[index].name();
        let _ = cmdline::set(name, &value);
    }
}
