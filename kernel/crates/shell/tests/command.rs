//! Parsing of lines, completion, tables, and the ring.

use proptest::prelude::*;
use shell::command::{ALL, Argument, Command, HugeSize, Parsed, parse};
use shell::completion::{Wanted, wanted};
use shell::ring::Ring;
use shell::table::Table;

fn command(line: &str) -> Command<'_> {
    let parsed = parse(line).unwrap_or_else(|problem| panic!("{line}: {problem}"));
    parsed.unwrap_or_else(|| panic!("{line} asks for nothing")).command
}

#[test]
fn commands() {
    assert_eq!(command("sysctl"), Command::Show(""));
    assert_eq!(command("  sysctl   huge. "), Command::Show("huge."));
    assert_eq!(command("sysctl huge.2m=16"), Command::Set { name: "huge.2m", value: "16" });
    assert_eq!(command("sysctl a=b=c"), Command::Set { name: "a", value: "b=c" });
    assert_eq!(command("cpus"), Command::Cpus);
    assert_eq!(command("cpus offline 3"), Command::Offline(3));
    assert_eq!(command("cpus online 0"), Command::Online(0));
    assert_eq!(command("huge reserve 2m 16"), Command::Reserve(HugeSize::Size2M, 16));
    assert_eq!(command("huge release 1g 1"), Command::Release(HugeSize::Size1G, 1));
    assert_eq!(command("timing"), Command::Timing(None));
    assert_eq!(command("test sched::,=mm::x"), Command::Test("sched::,=mm::x"));
    assert_eq!(command("trace"), Command::Trace);
    assert_eq!(command("trace dump"), Command::TraceDump);
    assert_eq!(command("poweroff"), Command::PowerOff { fail: false });
    assert_eq!(command("poweroff fail"), Command::PowerOff { fail: true });
    let parsed = parse("timing zero-pages &");
    assert_eq!(
        parsed,
        Ok(Some(Parsed { command: Command::Timing(Some("zero-pages")), in_background: true }))
    );
}

#[test]
fn blank_lines_and_comments_are_no_commands() {
    for line in ["", "   ", "# a comment", "  # ps"] {
        assert_eq!(parse(line), Ok(None), "{line:?}");
    }
}

#[test]
fn errors_name_the_wrong_value_and_what_is_allowed() {
    for (line, problem) in [
        ("pss", "unknown command `pss`; `help` lists all there are"),
        ("&", "unknown command `&`; `help` lists all there are"),
        ("ps -ef", "ps: `-ef` is one word too many; use ps"),
        ("sysctl a = 1", "sysctl: `=` is one word too many; use sysctl [NAME|NAME=VALUE]"),
        ("cpus offline", "cpus: something is missing; use cpus [offline N|online N]"),
        ("cpus offline -1", "cpus: `-1` is not a whole number; use cpus [offline N|online N]"),
        ("cpus online +1", "cpus: `+1` is not a whole number; use cpus [offline N|online N]"),
        ("cpus off 1", "cpus: `off` is not offline or online; use cpus [offline N|online N]"),
        ("huge reserve 4m 1", "huge: `4m` is not 2m or 1g; use huge [reserve 2m|1g N|release 2m|1g N]"),
        (
            "huge reserve 2m 99999999999999999999",
            "huge: `99999999999999999999` is not a whole number; use huge [reserve 2m|1g N|release 2m|1g N]",
        ),
        ("test", "test: something is missing; use test PATTERN"),
        ("trace all", "trace: `all` is not on, off or dump; use trace [on|off|dump]"),
        ("help me", "help: `me` is not a command; use help [COMMAND]"),
        ("poweroff now", "poweroff: `now` is not fail; use poweroff [fail]"),
        ("poweroff &", "poweroff cannot run in the background; leave the `&` out"),
    ] {
        assert_eq!(parse(line).unwrap_err().to_string(), problem, "{line}");
    }
}

#[test]
fn every_listed_command_is_parsed() {
    for spec in ALL {
        // The parser panics on a listed command that it does not know.
        let _ = parse(spec.name);
        assert!(!spec.help.is_empty() && !spec.help.ends_with('.'), "{}", spec.name);
    }
}

#[test]
fn completion_knows_the_kind_of_the_next_word() {
    let wanted = |line| wanted(line).map(|Wanted { word_len, what }| (word_len, what));
    assert_eq!(wanted(""), Some((0, Argument::Command)));
    assert_eq!(wanted("  sy"), Some((2, Argument::Command)));
    assert_eq!(wanted("sysctl "), Some((0, Argument::Parameter)));
    assert_eq!(wanted("sysctl huge.2"), Some((6, Argument::Parameter)));
    assert_eq!(wanted("cpus o"), Some((1, Argument::Word(&["offline", "online"]))));
    assert_eq!(wanted("huge reserve "), Some((0, Argument::Word(&["2m", "1g"]))));
    assert_eq!(wanted("ps "), None);
    assert_eq!(wanted("nonsense x"), None);
    assert_eq!(wanted("sysctl a b"), None);
}

#[test]
fn columns_are_aligned() {
    let mut table = Table::new(["name", "size>", "what"]);
    table.row([&"a", &1, &"first"]);
    table.row([&"longer", &12345, &""]);
    let mut lines = Vec::new();
    table.print(|line| lines.push(line.to_string()));
    assert_eq!(lines, ["name     size  what", "a           1  first", "longer  12345"]);
}

proptest! {
    #[test]
    fn no_line_panics(line in "[ -~]{0,80}") {
        let _ = parse(&line).map_err(|problem| problem.to_string());
        let _ = wanted(&line);
    }

    #[test]
    fn known_words_in_any_order(line in prop::collection::vec(prop::sample::select(vec![
        "help", "sysctl", "ps", "cpus", "huge", "test", "poweroff", "offline", "reserve", "2m", "1", "=", "&", "#", "a=b",
    ]), 0..6)) {
        let line = line.join(" ");
        let _ = parse(&line).map_err(|problem| problem.to_string());
    }

    /// Compares the ring with a bounded queue.
    #[test]
    fn the_ring_is_a_bounded_queue(steps in prop::collection::vec(any::<Option<u8>>(), 0..200)) {
        let mut ring = Ring::<7>::new();
        let mut model = std::collections::VecDeque::new();
        for step in steps {
            match step {
                Some(byte) => {
                    let fits = model.len() < 7;
                    prop_assert_eq!(ring.push(byte), fits);
                    if fits { model.push_back(byte); }
                }
                None => prop_assert_eq!(ring.pop(), model.pop_front()),
            }
            prop_assert_eq!((ring.is_empty(), ring.is_full()), (model.is_empty(), model.len() == 7));
        }
    }
}
