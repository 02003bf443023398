//! Records that the kernel's half writes and the host's half parses.

use super::parse::KINDS;
use super::*;
use proptest::prelude::*;
use serde::Serialize;

/// One record of every kind.
fn samples() -> [Record<&'static str>; 18] {
    [
        Record::Boot {
            t_ns: 1,
            version: "0.1.0",
            entry: Entry::Pvh,
            cpus_found: 4,
            cpus_online: 3,
            nodes: 1,
            memory_bytes: 1 << 30,
            tsc_hz: 3_000_000_000,
            apic: "x2apic",
            timer: "tsc-deadline",
            clock: "cpuid-15",
        },
        Record::Phase { t_ns: 2, name: "memory-map-init/deferred", ns: 12 },
        job(true),
        Record::ZeroMethod { t_ns: 4, method: "rep-stosq", bytes_per_s: 3_543_348_019, chosen: true },
        Record::Warning { t_ns: 5, what: "smp.max_cpus=0: out of range, 1..=256 allowed" },
        Record::Panic {
            t_ns: 6,
            cpu: 1,
            thread: "worker/1",
            message: "index out of bounds",
            location: "kernel/src/main.rs:1:2",
            backtrace: [0xffff_ffff_8000_1234, 0x10].into_iter().collect(),
        },
        Record::Fault {
            t_ns: 7,
            cpu: 2,
            thread: "idle/2",
            message: "page fault",
            location: "",
            backtrace: Addresses::new(),
        },
        Record::End { t_ns: 8, status: Status::Fail, reason: "zero-pages: byte 17 is 0x5a" },
        Record::TraceName { t_ns: 9, thread: 17, name: "helper/0" },
        Record::Trace { t_ns: 10, since_ns: 3, cpu: 1, first: 400, lost: 2, events: "6AcDAAkCAawCCQQh" },
        Record::Bench {
            t_ns: 11,
            name: "sched/switch/yield",
            n: 100,
            of: "threads",
            value: 440,
            unit: "ticks",
        },
        Record::Progress { t_ns: 11, what: "zero-pages", done: 1, of: 5 },
        thread(Some(-5)),
        thread(None),
        Record::Cpu {
            t_ns: 11,
            cpu: 1,
            node: 0,
            online: true,
            running: "idle/1",
            waiting: 2,
            idle_ns: 3,
            switches: 4,
            interrupts: 5,
        },
        Record::Command { t_ns: 12, line: "cpus offline 9", ok: false, message: "there is no cpu 9" },
        Record::JobAuto(JobRun {
            t_ns: 13,
            job: "zero-pages",
            threads: 3,
            threads_used: 4,
            units: 131_072,
            unit: Unit::Page4K,
            bytes: 1 << 29,
            writes: true,
            chunks: 64,
            ns: 40_000_000,
            cpu_ns: 158_000_000,
            spread_ns: 400_000,
            local_chunks: Some(64),
            ok: true,
        }),
        Record::JobNode { t_ns: 13, node: 1, chunks: 32, local_chunks: 30 },
    ]
}

fn thread(nice: Option<i32>) -> Record<&'static str> {
    Record::Thread {
        t_ns: 10,
        tid: 3,
        name: "main",
        state: "running",
        cpu: 0,
        nice,
        group: "root",
        cpu_ns: 1_000,
        waited_ns: 20,
        switches: 4,
        migrations: 1,
    }
}

fn job(ok: bool) -> Record<&'static str> {
    Record::Job(JobRun {
        t_ns: 3,
        job: "zero-pages",
        threads: 2,
        threads_used: 2,
        units: 131_072,
        unit: Unit::Page4K,
        bytes: 1 << 29,
        writes: true,
        chunks: 64,
        ns: 80_000_000,
        cpu_ns: 158_000_000,
        spread_ns: 400_000,
        local_chunks: Some(64),
        ok,
    })
}

fn line_of<S: Serialize>(record: &Record<S>) -> String {
    let mut buf = [0; LINE_MAX_BYTES];
    let line = record.to_line(&mut buf).expect("samples are short");
    String::from_utf8(line.to_vec()).expect("JSON is UTF-8")
}

#[test]
fn lines_are_the_documented_ones() {
    let lines = samples().map(|sample| line_of(&sample));
    assert_eq!(
        lines[0],
        "{\"record\":\"boot\",\"t_ns\":1,\"version\":\"0.1.0\",\"entry\":\"pvh\",\"cpus_found\":4,\
         \"cpus_online\":3,\"nodes\":1,\"memory_bytes\":1073741824,\"tsc_hz\":3000000000,\
         \"apic\":\"x2apic\",\"timer\":\"tsc-deadline\",\"clock\":\"cpuid-15\"}\n"
    );
    assert_eq!(
        lines[2],
        "{\"record\":\"job\",\"t_ns\":3,\"job\":\"zero-pages\",\"threads\":2,\"threads_used\":2,\
         \"units\":131072,\"unit\":\"page-4k\",\"bytes\":536870912,\"writes\":true,\"chunks\":64,\"ns\":80000000,\
         \"cpu_ns\":158000000,\"spread_ns\":400000,\"local_chunks\":64,\"ok\":true}\n"
    );
    assert_eq!(
        lines[5],
        "{\"record\":\"panic\",\"t_ns\":6,\"cpu\":1,\"thread\":\"worker/1\",\
         \"message\":\"index out of bounds\",\"location\":\"kernel/src/main.rs:1:2\",\
         \"backtrace\":[\"0xffffffff80001234\",\"0x10\"]}\n"
    );
    assert_eq!(
        lines[7],
        "{\"record\":\"end\",\"t_ns\":8,\"status\":\"fail\",\"reason\":\"zero-pages: byte 17 is 0x5a\"}\n"
    );
    assert_eq!(
        lines[9],
        "{\"record\":\"trace\",\"t_ns\":10,\"since_ns\":3,\"cpu\":1,\"first\":400,\"lost\":2,\
         \"events\":\"6AcDAAkCAawCCQQh\"}\n"
    );
    assert_eq!(
        lines[17],
        "{\"record\":\"job-node\",\"t_ns\":13,\"node\":1,\"chunks\":32,\"local_chunks\":30}\n"
    );
}

/// serde names all variants when it meets a kind that is none of them.
#[test]
fn every_kind_of_the_schema_is_known() {
    let error =
        serde_json::from_str::<Record<String>>("{\"record\":\"?\"}").expect_err("`?` is no kind").to_string();
    let mut schema: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    let mut known = KINDS.to_vec();
    schema.sort_unstable();
    known.sort_unstable();
    assert_eq!(known, schema, "{error}");
}

#[test]
fn every_kind_comes_back_as_it_was() {
    let samples = samples();
    for kind in KINDS {
        let has_kind = |sample| line_of(sample).starts_with(&format!("{{\"record\":\"{kind}\","));
        assert!(samples.iter().any(has_kind), "{kind}");
    }
    for sample in &samples {
        let line = line_of(sample);
        let back = parse_line(&line).expect("own lines parse").expect("own kinds are known");
        assert_eq!(line_of(&back), line);
    }
}

#[test]
fn units_have_their_names() {
    let names = [Unit::Page4K, Unit::Page2M, Unit::Page1G].map(|unit| serde_json::to_string(&unit).unwrap());
    assert_eq!(names, ["\"page-4k\"", "\"page-2m\"", "\"page-1g\""]);
}

#[test]
fn strings_are_escaped() {
    let nasty = "a \"quoted\" \\ path,\nnew line\ttab\r\u{8}\u{c}\u{0}\u{1b}[31m é \u{1f600}";
    let line = line_of(&Record::Warning { t_ns: 0, what: nasty });
    assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    assert!(!line.trim_end().chars().any(char::is_control), "{line:?}");
    let Some(Record::Warning { what, .. }) = parse_line(&line).unwrap() else {
        panic!("not a warning: {line}");
    };
    assert_eq!(what, nasty);
}

#[test]
fn a_buffer_that_is_too_small_is_an_error() {
    let record = job(true);
    let need_bytes = line_of(&record).len();
    for buffer_bytes in 0..need_bytes {
        let mut buf = vec![0; buffer_bytes];
        assert_eq!(record.to_line(&mut buf), Err(TooLong { buffer_bytes }));
    }
    assert!(record.to_line(&mut vec![0; need_bytes]).is_ok());
}

#[test]
fn the_longest_record_fits_in_the_recommended_buffer() {
    let text = "x".repeat(TEXT_MAX_BYTES);
    let message = "x".repeat(MESSAGE_MAX_BYTES);
    let record = Record::Panic {
        t_ns: u64::MAX,
        cpu: u32::MAX,
        thread: text.as_str(),
        message: &message,
        location: &text,
        backtrace: core::iter::repeat_n(u64::MAX, Addresses::CAPACITY).collect(),
    };
    assert!(record.to_line(&mut [0; LINE_MAX_BYTES]).is_ok());
}

#[test]
fn readers_ignore_what_they_do_not_know() {
    assert_eq!(parse_line("{\"record\":\"weather\",\"sun\":true}").unwrap(), None);
    assert_eq!(parse_line("  \r\n").unwrap(), None);
    let more = "{\"mood\":[1,{}],\"record\":\"phase\",\"t_ns\":1,\"name\":\"x\",\"ns\":2,\"cpu\":7}\r\n";
    assert_eq!(parse_line(more).unwrap(), Some(Record::Phase { t_ns: 1, name: "x".into(), ns: 2 }));
}

#[test]
fn damaged_lines_are_errors() {
    for line in [
        "{\"record\":\"phase\",\"t_ns\":1,",
        "{\"t_ns\":1}",
        "{\"record\":\"phase\",\"t_ns\":1,\"name\":\"x\"}",
        "{\"record\":\"phase\",\"t_ns\":\"soon\",\"name\":\"x\",\"ns\":2}",
        "{\"record\":\"phase\",\"t_ns\":1,\"name\":\"x\",\"ns\":2}{\"record\":\"end\"}",
        "hello",
    ] {
        let error = parse_line(line).expect_err(line);
        assert!(error.to_string().starts_with("not a record: "), "{error}");
    }
    let address = "{\"record\":\"panic\",\"t_ns\":6,\"cpu\":1,\"thread\":\"\",\"message\":\"\",\"location\":\"\",\"backtrace\":[\"12\"]}";
    let error = parse_line(address).expect_err("no prefix").to_string();
    assert!(error.contains("address \"12\" is not of the form"), "{error}");
}

#[test]
fn addresses_beyond_the_capacity_are_dropped() {
    let list: Addresses = (0..100).collect();
    assert_eq!(list.as_slice().len(), Addresses::CAPACITY);
    assert_eq!(list.as_slice().last(), Some(&(Addresses::CAPACITY as u64 - 1)));
}

proptest! {
    #[test]
    fn any_text_survives(text in any::<String>()) {
        let line = {
            let mut buf = vec![0; 128 + 6 * text.len()];
            let record = Record::Warning { t_ns: 0, what: text.as_str() };
            String::from_utf8(record.to_line(&mut buf).unwrap().to_vec()).unwrap()
        };
        prop_assert_eq!(parse_line(&line).unwrap(), Some(Record::Warning { t_ns: 0, what: text }));
    }

    #[test]
    fn clipping_never_exceeds_and_keeps_whole_characters(text in any::<String>(), max_bytes in 0_usize..64) {
        let part = clip(&text, max_bytes);
        prop_assert!(part.len() <= max_bytes && text.starts_with(part));
        let next_bytes = text[part.len()..].chars().next().map_or(0, char::len_utf8);
        prop_assert!(next_bytes == 0 || part.len() + next_bytes > max_bytes);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(line in any::<String>()) {
        let _ = parse_line(&line);
    }
}
