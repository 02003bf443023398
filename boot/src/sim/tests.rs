//! Descriptions that are wrong, and the machines that ship.

use super::description::Description;
use super::outcome::Outcome;
use super::*;
use proptest::prelude::*;
use std::sync::atomic::AtomicBool;

const GOOD: &str = r#"
name = "small"
unit = "GB"
[[nodes]]
count = 2
cpus = 4
rates = [[1, 10.0], [2, 20.0], [4, 15.0]]
[job]
work = 10.0
min_chunk = 0.01
"#;

#[test]
fn wrong_descriptions_are_one_line_that_names_field_and_value() {
    for (from, to, parts) in [
        ("cpus = 4", "cpus = 0", &["nodes[0].cpus is 0", "1 to 1024"][..]),
        ("cpus = 4", "cpus = \"four\"", &["line 6", "cpus", "four"]),
        ("cpus = 4", "", &["cpus"]),
        ("cpus = 4", "cpus = -1", &["line 6", "cpus = -1"]),
        ("count = 2", "count = 65", &["nodes[0].count is 65", "1 to 64"]),
        ("count = 2", "count = 18446744073709551615", &["nodes[0].count is 18446744073709551615"]),
        ("cpus = 4", "cpus = 1000", &["the number of CPUs of all nodes is 2000"]),
        ("[[1, 10.0]", "[[2, 10.0]", &["nodes[0].rates", "first point must be that of 1 thread"]),
        ("[2, 20.0]", "[1, 20.0]", &["nodes[0].rates", "point 2", "more threads"]),
        (
            "[4, 15.0]",
            "[9223372036854775807, 15.0]",
            &["nodes[0].rates[2]'s threads is 9223372036854775807", "1 to 1024"],
        ),
        ("20.0]", "nan]", &["nodes[0].rates", "point 2", "above 0"]),
        ("20.0]", "-1.0]", &["nodes[0].rates", "point 2", "above 0"]),
        ("20.0]", "1e300]", &["nodes[].rates reach from"]),
        ("[[1, 10.0], [2, 20.0], [4, 15.0]]", "[]", &["nodes[0].rates", "1 thread"]),
        ("work = 10.0", "work = inf", &["job.work is inf"]),
        ("work = 10.0", "work = 1e6", &["job.min_chunk is 0.01", "at least 5"]),
        ("min_chunk = 0.01", "min_chunk = 20", &["job.min_chunk is 20"]),
        ("min_chunk = 0.01", "min_chunk = nan", &["job.min_chunk is NaN"]),
        ("min_chunk = 0.01", "min_chunk = 0.01\nnoise = 4", &["job.noise is 4", "0 to 3"]),
        ("min_chunk = 0.01", "min_chunk = 0.01\nnois = 1", &["nois", "noise"]),
        ("unit = \"GB\"", "remote_factor = 0", &["remote_factor is 0", "0.01 to 1"]),
        ("[job]", "[helpers]\nlost_one_in = 1\n[job]", &["helpers.lost_one_in is 1"]),
        ("[job]", "[helpers]\nstart_us = -1\n[job]", &["helpers.start_us is -1"]),
        ("name = \"small\"", "name = \"a\\nb\"", &["name is", "printable"]),
        ("name = \"small\"", "name = ", &["line 2"]),
        ("[[nodes]]", "[nodes]", &["nodes"]),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let error = Description::parse(&GOOD.replacen(from, to, 1)).expect_err(to);
        assert_eq!(error.lines().count(), 1, "{error}");
        for part in parts {
            assert!(error.contains(part), "{to}: {part} is not in: {error}");
        }
    }
    let error = Description::read(Path::new("/nowhere/machine.toml")).unwrap_err();
    assert_eq!(error.status.code(), 2);
    assert!(error.message.starts_with("/nowhere/machine.toml: "), "{error}");
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_in_one_line(text in ".{0,200}", at in 0..GOOD.len(), cut in 0..40_usize) {
        let until = (at + cut).min(GOOD.len());
        let spliced = format!("{}{text}{}", &GOOD[..at], &GOOD[until..]);
        if let Err(error) = Description::parse(&spliced) {
            prop_assert_eq!(error.lines().count(), 1, "{}", error);
        }
    }
}

#[test]
fn simulation_tells_the_best_count_and_the_governor_is_near_it() {
    let description = Description::parse(GOOD).unwrap();
    assert!(Outcome::of(&description, &AtomicBool::new(true)).is_none(), "an interrupt ends the runs");
    let outcome = Outcome::of(&description, &AtomicBool::new(false)).unwrap();
    assert_eq!(outcome.best().threads, 4, "{outcome:?}");
    assert_eq!(outcome.governed.threads, 4, "{outcome:?}");
    assert!(outcome.governed.wall_ns < outcome.best().wall_ns * 11 / 10, "{outcome:?}");
    let svg = plot::draw(&description, &outcome).unwrap();
    roxmltree::Document::parse(&svg).unwrap();
    let text = table::render(&description, &outcome);
    assert!(text.contains("governor: 4 threads at the end"), "{text}");
}

#[test]
fn machines_that_ship_are_right() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("machines");
    let files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3);
    for file in files {
        Description::read(&file).unwrap();
    }
}
