//! The shell, as a user at a terminal sees it.

use super::scenario::{Scenario, ensure, ensure_warning};
use crate::dialogue::Dialogue;
use crate::lab::{Lab, expect_verdict};
use crate::shape::{DEBUG_SMP4, SMP1, SMP2, SMP4, Shape};
use ktask_boot::run::{Ending, Limits};
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::record::Record;
use std::time::Duration;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("shell::sysctl::shows_changes_and_refuses", sysctl),
    ("shell::huge::pools_grow_and_shrink", huge_pools),
    ("shell::cpus::go_offline_and_online_during_a_job", hotplug_under_load),
    ("shell::listings::are_true_and_recorded", listings),
    ("shell::debug_build::finds_no_misuse_of_locks", locks),
    ("shell::input::garbage_is_harmless", garbage),
    ("shell::input::is_edited", editing),
    ("shell::input::waits_when_commands_take_long", piled_up),
    ("shell::input::costs_nothing_while_idle", idle),
    ("shell::input::works_without_interrupts", polled),
    ("shell::input::ends_the_machine_when_it_ends", end_of_input),
    ("shell::poweroff::fail_is_a_failure", power_off_as_failed),
];

/// Two nodes with a CPU each.
const TWO_NODES: Shape = Shape { name: "shell_numa2", nodes: 2, ..SMP2 };

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// Fails unless one of `lines` contains all `parts`.
fn check_line(lines: &[String], parts: &[&str]) -> Result<(), String> {
    let holds = |line: &String| parts.iter().all(|part| line.contains(part));
    check(lines.iter().any(holds), || format!("no line with all of {parts:?} in {lines:#?}"))
}

/// Fails unless `text` contains all `parts`.
fn check_parts(text: &str, parts: &[&str]) -> Result<(), String> {
    check(parts.iter().all(|part| text.contains(part)), || format!("not all of {parts:?} are in {text:?}"))
}

fn sysctl(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.converse(&SMP4, "", |shell| {
        let all = shell.works("sysctl")?;
        check_line(&all, &["ktask.max_threads", "0..=512"])?;
        check_line(&all, &["smp.max_cpus", "at boot only"])?;
        check_line(&shell.works("sysctl log.level")?, &["log.level=info"])?;
        check_line(&shell.works("sysctl ktask.")?, &["ktask.enabled"])?;

        check_parts(&shell.fails("sysctl ktask.max_threads=513")?, &["`513`", "0..=512", "it stays 0"])?;
        check_parts(&shell.fails("sysctl smp.max_cpus=1")?, &["smp.max_cpus", "only read at boot"])?;
        check_parts(&shell.fails("sysctl ktask.max_thread=1")?, &["did you mean `ktask.max_threads`?"])?;
        check_parts(&shell.fails("sysctl zzz")?, &["unknown parameter `zzz`"])?;
        check_line(&shell.works("sysctl ktask.max_threads")?, &["ktask.max_threads=0"])?;

        // A change takes effect for the next job.
        shell.works("sysctl timing.bytes=16M")?;
        shell.works("sysctl timing.repeat=1")?;
        shell.works("sysctl ktask.max_threads=2")?;
        let table = shell.works("timing zero-pages")?;
        let threads: Vec<_> = table
            .iter()
            .filter_map(|line| line.strip_prefix("zero-pages")?.split_whitespace().next())
            .collect();
        let expected = ["1", "2", "auto"];
        check(threads == expected, || format!("timed on {threads:?} threads, not on {expected:?}"))?;

        // The log becomes verbose, then silent.
        check_line(&shell.works("log debug")?, &["log.level=debug"])?;
        check_parts(&shell.fails("log loud")?, &["`loud`", "debug"])?;
        shell.works("log error")?;
        shell.end("poweroff")
    })?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let reported = evidence.run.log.iter().any(|line| line.contains("[INFO  kernel] pass"));
    ensure(&evidence, !reported, "log.level=error still shows INFO")
}

fn huge_pools(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.converse(&TWO_NODES, "huge.policy=interleave", |shell| {
        shell.works("sysctl huge.2m=16")?;
        let pools = shell.works("huge")?;
        check(pool(&pools, 0)? == (8, 8) && pool(&pools, 1)? == (8, 8), || {
            format!("not 8 each: {pools:#?}")
        })?;
        shell.works("huge reserve 2m 4")?;
        check_line(&shell.works("sysctl huge.2m")?, &["huge.2m=20"])?;
        shell.works("huge release 2m 18")?;
        let pools = shell.works("huge")?;
        let left = pool(&pools, 0)?.0 + pool(&pools, 1)?.0;
        check(left == 2, || format!("{left} pages are left, not 2"))?;
        check_parts(&shell.fails("huge release 2m 3")?, &["has 2 pages", "3 cannot be released"])?;

        // More pages than exist: first all or nothing, then as many as possible. Both report the numbers by node.
        let parts = &["of 9999 wanted", "before:", "node 0", "node 1", "outside", "now:"];
        shell.works("sysctl huge.all_or_nothing=on")?;
        check_parts(&shell.fails("sysctl huge.2m=9999")?, parts)?;
        let pools = shell.works("huge")?;
        let left = pool(&pools, 0)?.0 + pool(&pools, 1)?.0;
        check(left == 2, || format!("{left} pages are in the pool, not 2 as before"))?;
        check_line(&shell.works("sysctl huge.2m")?, &["huge.2m=2"])?;
        shell.works("sysctl huge.all_or_nothing=off")?;
        check_parts(&shell.fails("sysctl huge.2m=9999")?, parts)?;
        let pools = shell.works("huge")?;
        let taken = pool(&pools, 0)?.0 + pool(&pools, 1)?.0;
        check(taken > 100, || format!("only {taken} of all pages were taken"))?;
        check_line(&shell.works("sysctl huge.2m")?, &[&format!("huge.2m={taken}")])?;

        shell.works("sysctl huge.2m=0")?;
        check_line(&shell.works("verify")?, &["sound"])?;
        check_parts(&shell.fails("huge reserve 4m 1")?, &["`4m`", "2m or 1g"])?;
        shell.end("poweroff")
    })?;
    expect_verdict(&evidence, Verdict::Pass)
}

/// Returns a node's pages of 2 MiB from the output of `huge`: in the pool, and free.
fn pool(lines: &[String], node: usize) -> Result<(u64, u64), String> {
    let of_node = |line: &String| {
        let words: Vec<_> = line.strip_prefix("2 MiB")?.split_whitespace().collect();
        let number = |index: usize| words.get(index)?.parse::<u64>().ok();
        (number(0)? == node as u64).then_some((number(1)?, number(2)?))
    };
    lines.iter().find_map(of_node).ok_or(format!("node {node} is not in {lines:#?}"))
}

fn hotplug_under_load(lab: &Lab) -> Result<(), Failed> {
    hotplug_on(lab, &SMP4)
}

/// The same on a debug kernel, which checks every lock and prints messages while lines are typed.
fn locks(lab: &Lab) -> Result<(), Failed> {
    hotplug_on(lab, &DEBUG_SMP4)
}

fn hotplug_on(lab: &Lab, shape: &Shape) -> Result<(), Failed> {
    let evidence = lab.converse(shape, "timing.bytes=64M timing.repeat=4", |shell| {
        shell.works("timing &")?;
        // Only one timing run at a time.
        check_parts(&shell.fails("timing zero-pages")?, &["runs in the background"])?;
        for cpu in [1, 2, 3, 0] {
            check_line(
                &shell.works(&format!("cpus offline {cpu}"))?,
                &[&format!("cpu {cpu} is offline"), "3 online"],
            )?;
            check_parts(&shell.fails(&format!("cpus offline {cpu}"))?, &["in that state already"])?;
            check_line(&shell.works("cpus")?, &["offline"])?;
            check_line(&shell.works(&format!("cpus online {cpu}"))?, &["4 online"])?;
        }
        check_parts(&shell.fails("cpus offline 4")?, &["there is no cpu 4"])?;
        shell.expect_line("[1] done: timing")?;
        for cpu in [1, 2, 3] {
            shell.works(&format!("cpus offline {cpu}"))?;
        }
        check_parts(&shell.fails("cpus offline 0")?, &["cpu 0 is the last one online"])?;
        shell.works("cpus online 2")?;
        check_line(&shell.works("verify")?, &["sound"])?;
        shell.end("poweroff")
    })?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let rows = &evidence.report.jobs;
    ensure(&evidence, !rows.is_empty() && rows.iter().all(|row| row.ok), "a job's result was wrong")
}

fn listings(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.converse(&SMP2, "", |shell| {
        let threads = shell.works("ps")?;
        for name in ["idle/0", "idle/1", "main", "any/0"] {
            check_line(&threads, &[name])?;
        }
        check_line(&threads, &["main", "running"])?;
        check_line(&shell.works("cpus")?, &["online", "main"])?;
        check_line(&shell.works("mem")?, &["heap:", "KiB used"])?;
        check_line(&shell.works("uptime")?, &["2 of 2 cpus online"])?;
        check_line(&shell.works("trace on")?, &["tracing is on"])?;
        check_parts(&shell.fails("trace on")?, &["is on already"])?;
        shell.works("trace off")?;
        check_line(
            &shell.works("trace dump")?,
            &["events written to the record port", "0 were overwritten"],
        )?;
        check_parts(&shell.fails("trace off")?, &["is off already"])?;
        check_line(&shell.works("help cpus")?, &["cpus [offline N|online N]"])?;
        check_line(&shell.works("test arch::")?, &["ok 1 arch::"])?;
        check_parts(&shell.fails("test no_such_test")?, &["none has `no_such_test`"])?;
        check_parts(&shell.fails("timing no-such-job")?, &["no job `no-such-job`", "zero-pages"])?;
        check_parts(&shell.fails("bench no_such_bench")?, &["none has `no_such_bench`"])?;
        check_parts(&shell.fails("pss")?, &["unknown command `pss`", "help"])?;
        check_parts(&shell.fails("ps -ef")?, &["`-ef`", "use ps"])?;
        shell.end("poweroff")
    })?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let thread = evidence.records().iter().any(|record| match record {
        Record::Thread { name, state, nice, cpu_ns, .. } => {
            name == "main" && state == "running" && *nice == Some(0) && *cpu_ns > 0
        }
        _ => false,
    });
    ensure(&evidence, thread, "no record of the main thread, running")?;
    let traced = evidence.records().iter().any(|record| matches!(record, Record::Trace { .. }));
    ensure(&evidence, traced, "no record of the trace")?;
    let cpus =
        evidence.records().iter().filter(|record| matches!(record, Record::Cpu { online: true, .. })).count();
    ensure(&evidence, cpus == 2, format_args!("{cpus} records of CPUs, not 2"))?;
    let commands = evidence.records().iter().filter_map(|record| match record {
        Record::Command { line, ok, message, .. } => Some((line.as_str(), *ok, message.is_empty())),
        _ => None,
    });
    let commands: Vec<_> = commands.collect();
    ensure(
        &evidence,
        commands.contains(&("ps", true, true)),
        format_args!("no record of `ps`: {commands:?}"),
    )?;
    ensure(
        &evidence,
        commands.contains(&("pss", false, false)),
        format_args!("no record of `pss`: {commands:?}"),
    )
}

fn garbage(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.converse(&SMP2, "", |shell| {
        // 10 kB without a line end, then a line end.
        shell.send(&[b'x'; 10_000])?;
        shell.send(b"\r")?;
        shell.wait_for("error: line of 10000 bytes is not run; up to 240 are taken")?;
        usable(shell)?;
        // Every byte except those that end the input or a line; bytes above ASCII come last.
        let bytes: Vec<u8> = (0..=u8::MAX).filter(|byte| ![4, b'\r', b'\n'].contains(byte)).collect();
        shell.send(&bytes)?;
        shell.send(b"\r")?;
        // ^U is among them and deletes the bytes before it.
        shell.wait_for("error: line with byte 0x16 is not run; only printable ascii is taken")?;
        usable(shell)?;
        // Incomplete sequences, and strings of device control without an end.
        for cut in [&b"\x1b"[..], b"\x1b[", b"\x1b[1;", b"\x1bO", b"\x1b]0;title", b"\x1bP"] {
            shell.send(cut)?;
            shell.send(b"\x03")?;
            shell.wait_for("ktask> ^C")?;
            usable(shell)?;
        }
        // A cancelled line does not run.
        shell.send(b"poweroff fail\x03")?;
        shell.wait_for("ktask> ^C")?;
        usable(shell)?;
        shell.end("poweroff")
    })?;
    expect_verdict(&evidence, Verdict::Pass)
}

/// Fails unless commands still work.
fn usable(shell: &mut Dialogue) -> Result<(), String> {
    check_line(&shell.works("uptime")?, &["cpus online"])
}

fn editing(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.converse(&SMP1, "", |shell| {
        // Left, backspace, delete to the start, delete a word.
        shell.send(b"junk\x15uptimX\x1b[D\x1b[C\x7fe extra\x17\r")?;
        check_line(&shell.answer("uptime ")?, &["cpus online"])?;
        // The previous line, edited.
        shell.send(b"new\x1b[A\x1b[B\x1b[A\x1b[A\x7f\r")?;
        check_line(&shell.answer("uptime")?, &["cpus online"])?;
        // Tab completes a command and a parameter as far as they are unique; twice lists the candidates.
        shell.send(b"sysc\thuge.p\t\r")?;
        check_line(&shell.answer("sysctl huge.policy")?, &["huge.policy=local"])?;
        shell.send(b"sysctl huge.\t\t")?;
        shell.wait_for("huge.2m  huge.1g  huge.policy  huge.all_or_nothing")?;
        shell.send(b"2m\r")?;
        check_line(&shell.answer("sysctl huge.2m")?, &["huge.2m=0"])?;
        shell.end("poweroff")
    })?;
    expect_verdict(&evidence, Verdict::Pass)
}

/// More input than the kernel and the port buffer, during a command: the sender blocks, nothing is lost.
fn piled_up(lab: &Lab) -> Result<(), Failed> {
    const COUNT: usize = 300;
    let evidence = lab.converse(&SMP2, "timing.bytes=32M", |shell| {
        let mut lines = String::from("timing\r");
        (0..COUNT).for_each(|number| lines += &format!("sysctl timing.repeat={}\r", number % 100 + 1));
        shell.send(lines.as_bytes())?;
        (0..COUNT).try_for_each(|number| shell.wait_for(&format!("timing.repeat={}", number % 100 + 1)))?;
        shell.end("poweroff")
    })?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let is_change = |record: &&Record<String>| matches!(record, Record::Command { line, ok: true, .. } if line.starts_with("sysctl "));
    let count = evidence.records().iter().filter(is_change).count();
    ensure(&evidence, count == COUNT, format_args!("{count} changes were made, not {COUNT}"))
}

/// Every CPU is halted while the shell waits.
fn idle(lab: &Lab) -> Result<(), Failed> {
    let limits = Limits { total: Some(Duration::from_secs(60)), silence: Some(Duration::from_secs(3)) };
    let evidence = lab.boot_within(&SMP2, "run=shell watchdog.timeout_ms=0", limits)?;
    let Ending::Hang(hang) = &evidence.run.ending else {
        return Err(evidence.fail("the shell did not wait"));
    };
    let cpus = hang.cpus.as_ref().map_err(|why| evidence.fail(why))?;
    let halted = cpus.iter().filter(|cpu| cpu.halted && cpu.interrupts_on).count();
    ensure(&evidence, halted == 2, format_args!("{halted} CPUs are halted with interrupts on, not 2"))
}

fn polled(lab: &Lab) -> Result<(), Failed> {
    // The port's interrupts use another line than the firmware reports.
    const EXTRA: [&str; 2] = ["-global", "isa-serial.irq=5"];
    let evidence = lab.converse(&Shape { extra: &EXTRA, ..SMP1 }, "", |shell| {
        usable(shell)?;
        shell.send(b"junk\x15sysctl zero.pool_pages=1\r")?;
        check_line(&shell.answer("sysctl zero.pool_pages=1")?, &["zero.pool_pages=1"])?;
        shell.end("poweroff")
    })?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_warning(&evidence, &["serial port", "100 times a second"])
}

fn end_of_input(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.converse(&SMP1, "", |shell| {
        usable(shell)?;
        shell.send(b"\x04")
    })?;
    expect_verdict(&evidence, Verdict::Pass)
}

fn power_off_as_failed(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.converse(&SMP1, "", |shell| shell.end("poweroff fail"))?;
    expect_verdict(&evidence, Verdict::Fail)
}
