//! The program itself: exit statuses, and messages of one clear line.

use std::path::Path;
use std::process::{Command, Output};

/// The program in a made-up environment: nothing of the caller's but what is given here.
fn ktask(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ktask-boot"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("the program was built for this test")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are UTF-8")
}

/// Status 2, and one line on standard error.
fn assert_refused(output: &Output, part: &str) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.starts_with("error: ") && message.contains(part), "{message}");
    assert!(output.stdout.is_empty());
}

#[test]
fn nonsense_is_one_line_and_status_2() {
    for (arguments, part) in [
        (&["--smp", "0"][..], "1..=512"),
        (&["--memory", "much"], "'much' is not a size"),
        (&["--threads", "2,1,2"], "2 comes twice"),
        (&["--no-such-option"], "--no-such-option"),
        (&["shel"], "'shel'"),
        (&["--smp", "2", "--threads", "4"], "--threads 4"),
        (&["image", "--kind", "floppy"], "'floppy'"),
        (&["image", "--kind", "iso", "--append", "a='b'"], "GRUB"),
        (&["image", "--append", "a=1\nb=2"], "printable ASCII"),
        (&["image", "-o", "/dev/null"], "/dev/null is no regular file"),
        (&["image", "-o", "/nowhere/x.img"], "/nowhere/x.img: its folder does not exist"),
        (&["--boot", "grub", "--append", "a='b'"], "GRUB"),
        (&["compare"], "REPORT.json"),
        (&["compare", "a.json"], "two reports or more"),
        (&["compare", "/nowhere/a.json", "/nowhere/b.json"], "/nowhere/a.json: cannot be read: No such file"),
        (&["compare", "Cargo.toml", "Cargo.toml"], "Cargo.toml: is no report: "),
        (&["compare", "linux", "a.json"], "linux: cannot be read"),
        (&["compare", "--linux", "vmlinuz", "a.json", "b.json"], "--linux belongs to compare linux"),
        (&["--boot", "grub", "compare", "linux"], "--boot must be pvh"),
        (&["compare", "--fail-below", "0", "a", "b"], "0 is out of range; the range is 0.01 to 100"),
        (&["compare", "--fail-below", "-1", "a", "b"], "-1 is out of range"),
        (&["compare", "--fail-below", "NaN", "a", "b"], "NaN is out of range"),
        (&["compare", "--fail-below", "much", "a", "b"], "'much' is not a number"),
    ] {
        assert_refused(&ktask(&[], arguments), part);
    }
}

#[test]
fn help_and_version_are_status_0() {
    for argument in ["--help", "--version"] {
        let output = ktask(&[], &[argument]);
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty());
    }
}

#[test]
fn an_empty_machine_is_told_what_it_lacks() {
    let output = ktask(&[("PATH", "/nowhere")], &["--kernel", "/dev/null"]);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(message.starts_with("error: missing: QEMU for x86_64"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn image_without_tools_names_each_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = folder.path().join("ktask.iso").display().to_string();
    let arguments = ["--kernel", "/proc/self/exe", "image", "--kind", "iso", "-o", &output];
    let output = ktask(&[("PATH", "/nowhere")], &arguments);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.starts_with("error: missing: "), "{message}");
    for part in ["grub-mkrescue, for", "install grub-common", "install xorriso", "install mtools"] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert!(output.stdout.is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 0);
}

#[test]
fn the_doctor_names_every_need_and_status_is_0() {
    let output = ktask(&[("PATH", "/nowhere")], &["doctor"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    for part in
        ["QEMU", "rust-src", "GNU ld", "missing", "OVMF", "grub-mkrescue", "xorriso", "Bochs", "optional"]
    {
        assert!(table.contains(part), "{part} is not in:\n{table}");
    }
}

#[test]
fn a_toolchain_that_was_asked_for_and_is_not_there_is_named() {
    let variables = [("PATH", "/usr/bin:/bin"), ("KTASK_TOOLCHAIN", "/nowhere/rust")];
    assert_refused(&ktask(&variables, &["build"]), "KTASK_TOOLCHAIN=/nowhere/rust is not usable");
}

#[test]
fn print_shows_the_command_and_starts_nothing() {
    let output =
        ktask(&[("PATH", "/nowhere")], &["--print", "--accel", "tcg", "--smp", "3", "--append", "run=none"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(line.starts_with("qemu-system-x86_64 ") && line.contains(" -smp 3 "), "{line}");
    assert!(line.trim_end().ends_with("-append run=none"), "{line}");
    let output = ktask(&[("PATH", "/nowhere")], &["--print", "--accel", "tcg", "shell"]);
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(line.contains(" -serial mon:stdio ") && line.trim_end().ends_with("-append run=shell"), "{line}");
}

#[test]
fn print_shows_the_image_of_each_way() {
    for (boot, parts) in [
        ("grub", &["/target/image/run-", ".iso"][..]),
        ("grub-uefi", &["/target/image/run-", ".iso", "if=pflash,", "OVMF_VARS"]),
        ("uefi", &["/target/image/run-", ".img", "if=pflash,", "OVMF_CODE"]),
    ] {
        let output = ktask(&[("PATH", "/nowhere")], &["--print", "--accel", "tcg", "--boot", boot]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let line = String::from_utf8(output.stdout).unwrap();
        assert!(parts.iter().all(|part| line.contains(part)), "{boot}: {line}");
        assert!(!line.contains(" -kernel "), "{line}");
    }
}

/// Writes a report of one job on one thread that took `ns`.
fn report(folder: &Path, name: &str, ns: u64, format: u32) -> String {
    let report = format!(
        r#"{{"format":{format},"status":0,"ending":"pass","machine":{{"command":"qemu","cpus":2,"memory_bytes":536870912,
        "nodes":1,"accel":"tcg","cpu_model":"max"}},"host":{{"cores":2,"first_line_ns":null,"total_ns":9}},"boot":null,
        "phases":[],"jobs":[{{"job":"zero-pages","threads":1,"threads_used":1,"units":65536,"unit":"page-4k",
        "bytes":268435456,"chunks":1,"ns":{ns},"cpu_ns":{ns},"spread_ns":0,"local_chunks":null,"ok":true,"runs":1,
        "units_per_s":1.0,"bytes_per_s":1.0,"speedup":null,"efficiency":null}}],"zero_methods":[],"warnings":[],
        "trouble":[],"notes":[]}}"#
    );
    let path = folder.join(name);
    std::fs::write(&path, report).expect("the folder is writable");
    path.display().to_string()
}

#[test]
fn comparison_has_a_table_a_page_and_a_status() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let old = report(folder.path(), "old.json", 1_000_000, 1);
    let new = report(folder.path(), "new.json", 1_250_000, 1);
    let page = folder.path().join("pages/compare.html").display().to_string();
    for (options, status) in [(&[][..], 0), (&["--fail-below", "0.79"], 0), (&["--fail-below", "0.81"], 1)] {
        let arguments = [&["compare", "-o", &page][..], options, &[&old, &new]].concat();
        let output = ktask(&[], &arguments);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "{message}");
        let regression = "regression: new.json: zero-pages on 1 thread has the ratio 0.800, below 0.81\n";
        assert_eq!(message, if status == 1 { regression } else { "" });
        let text = String::from_utf8(output.stdout).unwrap();
        let parts = ["old.json", "1.00 ms", "new.json", "1.25 ms", "0.80x", "note: ", "page: "];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        let page = std::fs::read_to_string(&page).unwrap();
        assert!(page.starts_with("<!DOCTYPE html>") && page.contains("0.80x"), "{page}");
    }
    let other = report(folder.path(), "other.json", 1, 2);
    assert_refused(
        &ktask(&[], &["compare", &old, &other]),
        "other.json: has format 2; this program reads format 1",
    );
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    let program = env!("CARGO_BIN_EXE_ktask-boot");
    let script = format!("{{ {program} --print --accel tcg; echo $? >&2; }} | true");
    let output = Command::new("sh").args(["-c", &script]).output().expect("there is a shell");
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}
