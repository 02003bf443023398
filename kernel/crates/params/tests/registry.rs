//! The registry as a whole, and the document that describes it.

use std::collections::HashSet;
use std::fmt::Write as _;

use params::registry::{ALL, APPLIED_WHEN_CHANGED, AT_BOOT_ONLY, READ_WHEN_USED};
use params::{SetError, cmdline};

fn text(write: impl Fn(&mut dyn std::fmt::Write) -> std::fmt::Result) -> String {
    let mut text = String::new();
    write(&mut text).expect("writing to a string cannot fail");
    text
}

#[test]
fn names_are_unique_and_plain() {
    let mut seen = HashSet::new();
    for param in ALL {
        let name = param.name();
        assert!(seen.insert(name), "{name} is there twice");
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '_';
        assert!(name.chars().all(is_plain), "{name}");
        assert!(!param.help().is_empty() && !param.help().ends_with('.'), "{name}: {}", param.help());
    }
}

/// `set` accepts what `write_value` and `write_default` print, except the empty list.
#[test]
fn values_and_defaults_can_be_set() {
    for param in ALL {
        let default = text(|out| param.write_default(out));
        assert_eq!(
            default,
            text(|out| param.write_value(out)),
            "{} does not start as its default",
            param.name()
        );
        if !default.is_empty() {
            assert!(param.set(&default).is_ok(), "{}={default}", param.name());
        }
        assert!(!text(|out| param.write_allowed(out)).is_empty());
    }
}

/// Returns the documentation's table of parameters, made from the registry.
fn table() -> String {
    let mut table = String::from("| name | default | allowed | what it does |\n|---|---|---|---|\n");
    for param in ALL {
        let default = match text(|out| param.write_default(out)).as_str() {
            "" => "(empty)".into(),
            default => format!("`{default}`"),
        };
        let allowed = text(|out| param.write_allowed(out)).replace('|', "\\|");
        writeln!(table, "| `{}` | {default} | {allowed} | {} |", param.name(), param.help())
            .expect("writing to a string cannot fail");
    }
    table
}

#[test]
fn the_documentation_has_every_parameter() {
    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/parameters.md");
    const BEGIN: &str = "<!-- generated: parameters -->\n";
    const END: &str = "<!-- end -->\n";
    let document = std::fs::read_to_string(PATH).expect("docs/parameters.md is there");
    let (before, rest) = document.split_once(BEGIN).expect("the table's beginning is marked");
    let (found, after) = rest.split_once(END).expect("the table's end is marked");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PATH, format!("{before}{BEGIN}{}{END}{after}", table()))
            .expect("the file can be written");
        return;
    }
    assert_eq!(found, table(), "docs/parameters.md is out of date: run this test with UPDATE_DOCS=1");
}

#[test]
fn errors_say_name_value_and_what_is_allowed() {
    let mut said = Vec::new();
    let line = "ktask.max_threads=999 ktask.enabld=on timing.bytes=3X run=dance lonely =x";
    let outcome = cmdline::apply(line, |problem| said.push(problem.to_string()));
    assert_eq!((outcome.set, outcome.refused), (0, 6));
    assert_eq!(
        said,
        [
            "parameter ktask.max_threads: `999` is not allowed; allowed is 0..=512; it stays 0",
            "unknown parameter `ktask.enabld`; did you mean `ktask.enabled`?",
            "parameter timing.bytes: `3X` is not allowed; allowed is 2M..=1T; it stays 256M",
            "parameter run: `dance` is not allowed; allowed is timing|test|test:PATTERN|bench|bench:PATTERN|shell|none; it stays timing",
            "unknown parameter `lonely`",
            "unknown parameter ``; did you mean `run`?",
        ]
    );
}

#[test]
fn boot_only_parameters_cannot_be_changed_later() {
    assert_eq!(
        cmdline::change("smp.max_cpus", "2").unwrap_err().to_string(),
        "parameter smp.max_cpus is only read at boot; put smp.max_cpus=2 on the command line; it stays 512"
    );
    assert!(
        cmdline::change("smp.max_cpu", "2").unwrap_err().to_string().contains("did you mean `smp.max_cpus`")
    );
    assert_eq!(
        format!("{:?}", cmdline::change("no.such", "2").unwrap_err()),
        "SetError(unknown parameter `no.such`)"
    );
    assert!(cmdline::change("zero.pool_pages", "7").is_ok());
    assert_eq!(params::registry::ZERO_POOL_PAGES.get(), 7);
    assert!(cmdline::change("zero.pool_pages", "256").is_ok());
}

#[test]
fn the_documentation_says_what_is_only_read_at_boot() {
    const DOCUMENT: &str = include_str!("../../../../docs/parameters.md");
    let (_, list) = DOCUMENT.split_once("## At run time").expect("there is a section about it");
    let list = list.split_once("\n## ").map_or(list, |(list, _)| list);
    let listed: HashSet<&str> =
        list.split('`').skip(1).step_by(2).filter(|name| cmdline::find(name).is_some()).collect();
    let is: HashSet<&str> = AT_BOOT_ONLY.iter().map(|param| param.name()).collect();
    assert_eq!(listed, is);
}

/// The capacity of the pools and the faults that begin at the end of the boot cannot change later.
#[test]
fn what_only_the_boot_reads_cannot_be_changed() {
    for (name, value) in [("pool.max_workers", "8"), ("fault.hog_cpu", "1"), ("fault.hang_cpu", "1")] {
        let refused = cmdline::change(name, value);
        assert!(matches!(refused, Err(SetError::AtBootOnly { .. })), "{name}: {refused:?}");
    }
    assert!(cmdline::change("pool.keep_workers", "2").is_ok());
}

/// Each parameter says in one list when a change takes effect.
#[test]
fn every_parameter_says_when_a_change_takes_effect() {
    let lists = [AT_BOOT_ONLY, READ_WHEN_USED, APPLIED_WHEN_CHANGED];
    for param in ALL {
        let is_same = |other: &&&dyn params::Param| other.name() == param.name();
        let count: usize = lists.iter().map(|list| list.iter().filter(is_same).count()).sum();
        assert_eq!(count, 1, "{} is in {count} of the lists, not in one", param.name());
    }
    assert_eq!(lists.iter().map(|list| list.len()).sum::<usize>(), ALL.len());
}

/// A parameter that names the Nth of something counts from its change on: its count has to be restarted.
#[test]
fn a_count_of_faults_is_not_only_read() {
    for param in READ_WHEN_USED {
        assert!(!param.help().contains("the Nth "), "{} has a count, which a change restarts", param.name());
    }
}
