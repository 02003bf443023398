//! Command lines of machines.

use super::*;
use crate::size::Size;
use std::path::Path;

fn machine() -> Machine {
    Machine {
        qemu: Program::unchecked("/usr/bin/qemu-system-x86_64"),
        kernel: "/k/ktask-kernel".into(),
        boot: Boot::Direct,
        cpus: 4,
        memory: Size::from_mib(1024),
        nodes: 1,
        accel: Accel::Tcg,
        cpu_model: None,
        command_line: "run=timing timing.threads=1,2".into(),
        debugger: false,
        exit_device: true,
        extra: Vec::new(),
    }
}

/// Returns the argument after `option`, which must occur exactly once.
fn value<'a>(arguments: &'a [String], option: &str) -> &'a str {
    let mut values = arguments.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].as_str());
    let value = values.next().unwrap_or_else(|| panic!("no {option} in {arguments:?}"));
    assert_eq!(values.next(), None, "{option} twice in {arguments:?}");
    value
}

#[test]
fn default_machine() {
    let arguments = machine().arguments(Wiring::Terminal);
    assert_eq!(value(&arguments, "-machine"), "q35");
    assert_eq!(value(&arguments, "-accel"), "tcg,thread=multi");
    assert_eq!(value(&arguments, "-cpu"), "max,vendor=GenuineIntel");
    assert_eq!(value(&arguments, "-smp"), "4");
    assert_eq!(value(&arguments, "-m"), "1024M");
    assert_eq!(value(&arguments, "-device"), "isa-debug-exit,id=debug-exit,iobase=0xf4,iosize=0x04");
    assert_eq!(value(&arguments, "-kernel"), "/k/ktask-kernel");
    assert_eq!(value(&arguments, "-append"), "run=timing timing.threads=1,2");
    assert!(arguments.contains(&"-no-reboot".to_string()));
    for absent in ["-numa", "-gdb", "-S"] {
        assert!(!arguments.contains(&absent.to_string()), "{absent}");
    }
}

#[test]
fn counted_instructions_need_one_thread_and_a_model_without_x2apic() {
    let counted = Machine { extra: vec!["-icount".into(), "shift=0".into()], ..machine() };
    let arguments = counted.arguments(Wiring::Terminal);
    assert_eq!(value(&arguments, "-accel"), "tcg,thread=single");
    assert_eq!(value(&arguments, "-cpu"), "max,vendor=GenuineIntel,-x2apic");
    let asked_for = Machine { cpu_model: Some("max".into()), ..counted };
    assert_eq!(value(&asked_for.arguments(Wiring::Terminal), "-cpu"), "max");
}

#[test]
fn folders_of_an_unpacked_qemu_come_first() {
    let qemu = Program { data: vec!["/q/share".into()], ..Program::unchecked("/q/qemu") };
    let arguments = Machine { qemu, ..machine() }.arguments(Wiring::Terminal);
    assert_eq!(arguments[..2], ["-L", "/q/share"]);
}

#[test]
fn exit_device_is_optional() {
    let arguments = Machine { exit_device: false, ..machine() }.arguments(Wiring::Terminal);
    assert!(!arguments.iter().any(|argument| argument.contains("isa-debug-exit")), "{arguments:?}");
}

#[test]
fn serial_ports_are_the_log_then_the_records() {
    let wiring = Wiring::Channels { records: Path::new("/t/a,b/records"), control: Path::new("/t/control") };
    let arguments = machine().arguments(wiring);
    let ports: Vec<_> =
        arguments.windows(2).filter(|pair| pair[0] == "-serial").map(|pair| &pair[1]).collect();
    assert_eq!(ports, ["chardev:log", "chardev:records"]);
    assert!(arguments.contains(&"file,id=records,path=/t/a,,b/records".to_string()), "{arguments:?}");
    assert!(arguments.contains(&"chardev=control,mode=control".to_string()));
    // `Child::start` relies on this order.
    let position = |word: &str| arguments.iter().position(|argument| argument.starts_with(word)).unwrap();
    assert!(position("file,id=records") < position("socket,id=control"));
}

#[test]
fn options_of_the_user_are_passed_on() {
    let machine = Machine {
        cpu_model: Some("qemu64,+ssse3".into()),
        accel: Accel::Kvm,
        command_line: String::new(),
        debugger: true,
        extra: vec!["-d".into(), "int".into()],
        ..machine()
    };
    let arguments = machine.arguments(Wiring::Terminal);
    assert_eq!(value(&arguments, "-cpu"), "qemu64,+ssse3");
    assert_eq!(value(&arguments, "-accel"), "kvm");
    assert_eq!(value(&arguments, "-gdb"), "tcp::1234");
    assert!(arguments.contains(&"-S".to_string()));
    assert!(!arguments.contains(&"-append".to_string()));
    assert!(arguments.ends_with(&["-d".to_string(), "int".to_string()]));
}

#[test]
fn nodes_share_cpus_and_memory() {
    let arguments = Machine { nodes: 2, ..machine() }.arguments(Wiring::Terminal);
    assert_eq!(value(&arguments, "-smp"), "4,sockets=2,cores=2,threads=1");
    for word in [
        "memory-backend-ram,id=memory0,size=512M",
        "memory-backend-ram,id=memory1,size=512M",
        "node,nodeid=0,memdev=memory0,cpus=0-1",
        "node,nodeid=1,memdev=memory1,cpus=2-3",
    ] {
        assert!(arguments.contains(&word.to_string()), "{word} is not in {arguments:?}");
    }
}

#[test]
fn remainders_go_to_the_first_nodes_and_nothing_is_lost() {
    let arguments =
        Machine { nodes: 3, cpus: 2, memory: Size::from_mib(1000), ..machine() }.arguments(Wiring::Terminal);
    assert_eq!(value(&arguments, "-smp"), "2");
    for word in [
        "memory-backend-ram,id=memory0,size=334M",
        "memory-backend-ram,id=memory1,size=333M",
        "memory-backend-ram,id=memory2,size=333M",
        "node,nodeid=0,memdev=memory0,cpus=0-0",
        "node,nodeid=1,memdev=memory1,cpus=1-1",
        "node,nodeid=2,memdev=memory2",
    ] {
        assert!(arguments.contains(&word.to_string()), "{word} is not in {arguments:?}");
    }
}

#[test]
fn printed_command_is_quoted_for_a_shell() {
    let machine = Machine { kernel: "/my kernel's/k".into(), ..machine() };
    let line = machine.shell_line();
    assert!(line.starts_with("/usr/bin/qemu-system-x86_64 -nodefaults "), "{line}");
    let output = std::process::Command::new("sh")
        .args(["-c", &format!("printf '%s\\n' {line}")])
        .output()
        .expect("there is a shell");
    let words = String::from_utf8(output.stdout).unwrap();
    let mut expect = vec!["/usr/bin/qemu-system-x86_64".to_string()];
    expect.extend(machine.arguments(Wiring::Terminal));
    assert_eq!(words.lines().collect::<Vec<_>>(), expect);
}

#[test]
fn firmware_starts_an_image_on_the_only_disk() {
    let boot = |uefi| Boot::Image { image: "/i/a,b.iso".into(), uefi };
    let arguments = Machine { boot: boot(None), ..machine() }.arguments(Wiring::Terminal);
    assert_eq!(value(&arguments, "-drive"), "if=none,id=image,format=raw,readonly=on,file=/i/a,,b.iso");
    assert!(arguments.contains(&"virtio-blk-pci,drive=image,bootindex=0".to_string()), "{arguments:?}");
    // The image has the kernel and its command line.
    for absent in ["-kernel", "-append"] {
        assert!(!arguments.contains(&absent.to_string()), "{absent} in {arguments:?}");
    }
    let uefi = firmware::Uefi { code: "/f/code".into(), variables: "/f/variables".into() };
    let arguments = Machine { boot: boot(Some(uefi)), ..machine() }.arguments(Wiring::Terminal);
    for drive in [
        "if=pflash,format=raw,unit=0,readonly=on,file=/f/code",
        // The variables are never written: each machine starts with those of a new one.
        "if=pflash,format=raw,unit=1,snapshot=on,file=/f/variables",
    ] {
        assert!(arguments.contains(&drive.to_string()), "{drive} is not in {arguments:?}");
    }
}
