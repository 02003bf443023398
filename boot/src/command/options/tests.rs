//! Machines from options.

use super::*;
use crate::cli;
use crate::qemu::Accel;

fn options(arguments: &[&str]) -> Options {
    cli::parse([&["ktask"], arguments].concat()).expect("the arguments are sound").options
}

fn machine_of(arguments: &[&str]) -> Machine {
    machine(
        &options(&[&["--accel", "tcg"], arguments].concat()),
        Program::unchecked("qemu"),
        "elf".into(),
        Boot::Direct,
    )
    .unwrap()
}

#[test]
fn options_become_a_machine() {
    let machine = machine_of(&[
        "--smp",
        "8",
        "--memory",
        "2G",
        "--numa",
        "2",
        "--cpu",
        "qemu64",
        "--qemu-arg",
        "-s",
        "--gdb",
    ]);
    assert_eq!((machine.cpus, machine.memory.mib(), machine.nodes), (8, 2048, 2));
    assert_eq!((machine.accel, machine.cpu_model.as_deref()), (Accel::Tcg, Some("qemu64")));
    assert_eq!((machine.extra, machine.debugger), (vec!["-s".to_string()], true));
}

#[test]
fn default_cpus_are_those_of_the_host() {
    assert_eq!(machine_of(&[]).cpus, report::host_cores().min(255));
}

#[test]
fn appended_parameters_come_last() {
    assert_eq!(machine_of(&[]).command_line, "");
    let arguments = ["--smp", "2", "--threads", "1-2", "--append", "timing.threads=1 run=none"];
    assert_eq!(machine_of(&arguments).command_line, "timing.threads=1,2 timing.threads=1 run=none");
}

#[test]
fn more_threads_than_cpus_are_refused() {
    let count = (report::host_cores() + 1).to_string();
    let options = options(&["--threads", &count, "--accel", "tcg"]);
    let failure = machine(&options, Program::unchecked("qemu"), "elf".into(), Boot::Direct).unwrap_err();
    assert_eq!(failure.status, protocol::exit::HostStatus::Usage);
}

#[test]
fn limits_follow_the_options() {
    let reads = |arguments: &[&str]| limits(&options(arguments), User::Reads);
    assert_eq!(reads(&[]), Limits::default());
    assert_eq!(reads(&["--timeout", "7"]).total, Some(Duration::from_secs(7)));
    let none = Limits { total: None, silence: None };
    assert_eq!(reads(&["--gdb", "--timeout", "7"]), none);
    assert_eq!(limits(&options(&[]), User::Types), none);
    let seven = Limits { total: Some(Duration::from_secs(7)), silence: None };
    assert_eq!(limits(&options(&["--timeout", "7"]), User::Types), seven);
}

#[test]
fn run_of_a_command_overrides_appended_parameters() {
    let options = and_run(&options(&["--append", "run=none huge.2m=4"]), "shell");
    assert_eq!(command_line(&options), "run=none huge.2m=4 run=shell");
    assert_eq!(command_line(&and_run(&super::tests::options(&[]), "shell")), "run=shell");
}

#[test]
fn only_tcg_counts_instructions() {
    let choice = |words: &[&str]| {
        let words = ["ktask"].iter().chain(words).copied();
        accel_choice(&crate::cli::parse(words).unwrap().options)
    };
    let counted = ["--qemu-arg", "-icount", "--qemu-arg", "shift=0"];
    assert_eq!(choice(&counted).unwrap(), AccelChoice::Tcg);
    assert_eq!(choice(&[]).unwrap(), AccelChoice::Auto);
    let refused = choice(&[["--accel", "kvm"].as_slice(), &counted].concat()).unwrap_err();
    assert!(refused.message.contains("--accel tcg"), "{}", refused.message);
}
