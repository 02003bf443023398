//! The program itself: exit statuses, and messages of one clear line.

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

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    let program = env!("CARGO_BIN_EXE_ktask-boot");
    let script = format!("{{ {program} --print --accel tcg; echo $? >&2; }} | true");
    let output = Command::new("sh").args(["-c", &script]).output().expect("there is a shell");
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}
