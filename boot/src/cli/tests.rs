//! Accepted command lines, and refusals of one line.

use super::*;
use clap::CommandFactory;

fn accept(arguments: &[&str]) -> Cli {
    parse([&["ktask"], arguments].concat()).unwrap_or_else(|stop| panic!("{arguments:?} refused: {stop:?}"))
}

fn refuse(arguments: &[&str]) -> String {
    match parse([&["ktask"], arguments].concat()) {
        Err(Stop::Failure(failure)) => {
            assert_eq!(failure.status, protocol::exit::HostStatus::Usage);
            assert!(!failure.message.contains('\n'), "more than one line: {failure}");
            failure.message
        }
        other => panic!("{arguments:?} not refused: {other:?}"),
    }
}

#[test]
fn definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn no_arguments_mean_the_main_job_with_defaults() {
    let cli = accept(&[]);
    assert_eq!(cli.command, None);
    assert_eq!(cli.options.memory, None);
    assert_eq!((cli.options.smp, cli.options.numa), (None, 1));
    assert_eq!(cli.options.accel, AccelChoice::Auto);
}

#[test]
fn every_option_of_the_contract_exists() {
    let cli = accept(&[
        "--smp",
        "4",
        "--memory",
        "2G",
        "--numa",
        "2",
        "--accel",
        "tcg",
        "--qemu",
        "/q/qemu",
        "--cpu",
        "qemu64,+ssse3",
        "--boot",
        "pvh",
        "--append",
        "log.level=debug run=none",
        "--threads",
        "1,2,4",
        "--json",
        "a.json",
        "--serial",
        "b.log",
        "--timeout",
        "30",
        "--gdb",
        "--quiet",
        "--qemu-arg",
        "-d",
        "--qemu-arg",
        "int",
        "--print",
        "--yes",
        "build",
    ]);
    assert_eq!(cli.command, Some(Command::Build));
    let options = cli.options;
    assert_eq!((options.smp, options.memory, options.numa), (Some(4), Some(Size::from_mib(2048)), 2));
    assert_eq!(options.append.as_deref(), Some("log.level=debug run=none"));
    assert_eq!(options.threads.unwrap().to_string(), "1,2,4");
    assert_eq!(options.qemu_args, ["-d", "int"]);
    assert_eq!(options.timeout, Some(30));
    assert_eq!(options.qemu.as_deref(), Some(std::path::Path::new("/q/qemu")));
    assert!(options.gdb && options.quiet && options.print && options.yes);
}

#[test]
fn commands() {
    assert_eq!(accept(&["clippy"]).command, Some(Command::Clippy));
    assert_eq!(accept(&["--smp", "2", "shell"]).command, Some(Command::Shell));
    assert_eq!(accept(&["doctor"]).command, Some(Command::Doctor { install: false, optional: false }));
    let trace = |output: Option<&str>, from: Option<&str>| {
        Some(Command::Trace { output: output.map(Into::into), from: from.map(Into::into) })
    };
    assert_eq!(accept(&["trace"]).command, trace(None, None));
    assert_eq!(accept(&["--smp", "2", "trace", "-o", "t.json"]).command, trace(Some("t.json"), None));
    assert_eq!(accept(&["trace", "--from", "r.jsonl"]).command, trace(None, Some("r.jsonl")));
    assert_eq!(
        accept(&["doctor", "--install"]).command,
        Some(Command::Doctor { install: true, optional: false })
    );
}

#[test]
fn refusals_are_one_line_with_the_value() {
    for (arguments, parts) in [
        (&["--smp", "0"][..], &["0", "--smp", "1..=512"][..]),
        (&["--smp", "513"], &["513", "1..=512"]),
        (&["--smp", "many"], &["many", "--smp"]),
        (&["--memory", "lots"], &["'lots' is not a size"]),
        (&["--memory", "512"], &["512 is out of range; the range is 16M to 64T"]),
        (&["--memory", "100T"], &["100T is out of range"]),
        (&["--memory", "65537K"], &["65537K is not a whole number of MiB"]),
        (&["--numa", "0"], &["--numa", "1..=64"]),
        (&["--numa", "64", "--memory", "512M"], &["--memory 512M is too little for --numa 64"]),
        (&["--threads", "1,x"], &["'x' in '1,x' is not a thread count"]),
        (&["--threads", "1,8", "--smp", "4"], &["--threads 1,8", "--smp 4"]),
        (&["--accel", "hope"], &["hope", "auto, kvm, tcg"]),
        (&["--boot", "bios"], &["bios", "pvh, grub, grub-uefi, uefi"]),
        (&["image", "--kind", "usb"], &["usb", "uefi, iso"]),
        (&["image", "--append", "a=\u{1}"], &["printable ASCII"]),
        (&["image", "--append", "quiet"], &["'quiet' is not of the form name=value"]),
        (&["doctor", "--optional"], &["--install"]),
        (&["--append", "quiet"], &["'quiet' is not of the form name=value"]),
        (&["--append", "a=\u{e9}"], &["'é'", "printable ASCII"]),
        (&["--timeout", "0"], &["0", "--timeout"]),
        (&["--timeout", "-5"], &["-5"]),
        (&["--smpp", "4"], &["--smpp", "--smp"]),
        (&["--smp"], &["--smp", "value is required"]),
        (&["shel"], &["unrecognized subcommand 'shel'"]),
        (&["shell", "ps"], &["ps"]),
        (&["build", "now"], &["now"]),
        (&["--smp", "2", "--smp", "4"], &["--smp", "multiple times"]),
    ] {
        let message = refuse(arguments);
        for part in parts {
            assert!(message.contains(part), "{arguments:?}: {part:?} is not in {message:?}");
        }
    }
}

#[test]
fn help_is_no_failure() {
    for argument in ["--help", "--version"] {
        assert!(matches!(parse(["ktask", argument]), Err(Stop::Show(_))), "{argument}");
    }
}

#[test]
fn kernel_has_two_profiles() {
    assert_eq!(accept(&["build"]).options.profile, Profile::Kernel);
    assert_eq!(accept(&["--profile", "kernel-debug", "build"]).options.profile, Profile::KernelDebug);
    assert!(refuse(&["--profile", "fast"]).contains("kernel-debug"));
    refuse(&["--profile", "kernel", "--kernel", "an.elf"]);
}
