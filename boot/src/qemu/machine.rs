//! The machine that QEMU emulates, as a command line.

use super::accel::Accel;
use super::firmware::Uefi;
use super::program::Program;
use crate::size::Size;
use std::path::{Path, PathBuf};

/// A machine and the kernel that it boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The emulator.
    pub qemu: Program,
    /// The kernel's ELF file.
    pub kernel: PathBuf,
    /// How the machine comes to the kernel.
    pub boot: Boot,
    /// Virtual CPUs, 1 to [`CPUS_MAX`](crate::list::CPUS_MAX).
    pub cpus: u32,
    /// Memory of all nodes together.
    pub memory: Size,
    /// Memory nodes; with 1, the firmware describes no nodes.
    pub nodes: u32,
    /// The accelerator.
    pub accel: Accel,
    /// The CPU model; `None` means [`Accel::default_cpu`].
    pub cpu_model: Option<String>,
    /// The kernel's command line, which an image already has.
    pub command_line: String,
    /// Whether to wait for a debugger.
    pub debugger: bool,
    /// Whether the machine has the device to which the kernel writes its verdict.
    pub exit_device: bool,
    /// Additional arguments for QEMU, passed unchanged.
    pub extra: Vec<String>,
}

/// How a machine comes to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// QEMU loads the ELF file itself and enters it at its PVH note.
    Direct,
    /// Firmware starts the loader of an image on the only disk.
    Image {
        /// The image's file.
        image: PathBuf,
        /// UEFI firmware; `None` means QEMU's own BIOS.
        uefi: Option<Uefi>,
    },
}

/// Connections of the guest's serial ports and QEMU's control channel.
#[derive(Clone, Copy, Debug)]
pub enum Wiring<'a> {
    /// For the user: log on the terminal, no records, no control channel.
    Terminal,
    /// For this process: log through standard output, records through a named pipe, control through a listening socket.
    Channels {
        /// The pipe for the second serial port.
        records: &'a Path,
        /// The socket for the control channel (QMP).
        control: &'a Path,
    },
}

impl Machine {
    /// Returns QEMU's arguments, without the program's name.
    pub fn arguments(&self, wiring: Wiring<'_>) -> Vec<String> {
        let mut arguments: Vec<_> = self.qemu.arguments().collect();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_string()));
        // No default devices: each costs firmware time, and the kernel has no drivers for them.
        add(&["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        // QEMU counts instructions only with all virtual CPUs on one host thread.
        let accel = if self.counts() { "tcg,thread=single" } else { self.accel.argument() };
        add(&["-machine", "q35", "-accel", accel]);
        add(&["-cpu", self.cpu()]);
        add(&["-smp", &self.smp(), "-m", &format!("{}M", self.memory.mib())]);
        let nodes = self.node_arguments();
        add(&nodes.iter().map(String::as_str).collect::<Vec<_>>());
        if self.exit_device {
            add(&[
                "-device",
                &format!("isa-debug-exit,id=debug-exit,iobase={:#x},iosize=0x04", protocol::exit::PORT),
            ]);
        }
        match wiring {
            Wiring::Terminal => add(&["-serial", "mon:stdio", "-serial", "null"]),
            Wiring::Channels { records, control } => {
                add(&["-chardev", "stdio,id=log,signal=off", "-serial", "chardev:log"]);
                add(&["-chardev", &channel("file,id=records", records), "-serial", "chardev:records"]);
                let control = channel("socket,id=control", control);
                add(&["-chardev", &control, "-mon", "chardev=control,mode=control"]);
            }
        }
        if self.debugger {
            add(&["-gdb", "tcp::1234", "-S"]);
        }
        arguments.extend(self.boot_arguments());
        arguments.extend(self.extra.iter().cloned());
        arguments
    }

    /// Returns the arguments that lead to the kernel.
    fn boot_arguments(&self) -> Vec<String> {
        let (image, uefi) = match &self.boot {
            Boot::Direct => {
                let mut arguments = vec!["-kernel".to_string(), self.kernel.to_string_lossy().into_owned()];
                if !self.command_line.is_empty() {
                    arguments.extend(["-append".to_string(), self.command_line.clone()]);
                }
                return arguments;
            }
            Boot::Image { image, uefi } => (image, uefi),
        };
        let mut arguments = Vec::new();
        if let Some(Uefi { code, variables }) = uefi {
            let flash = |options: &str, path: &Path| {
                ["-drive".to_string(), file(&format!("if=pflash,format=raw,{options}"), path)]
            };
            arguments.extend(flash("unit=0,readonly=on", code));
            // What the firmware writes goes to a temporary file that QEMU removes.
            arguments.extend(flash("unit=1,snapshot=on", variables));
        }
        // The firmware of either kind drives this disk, with fewer exits from the guest than others.
        arguments.extend(["-drive".to_string(), file("if=none,id=image,format=raw,readonly=on", image)]);
        arguments.extend(["-device", "virtio-blk-pci,drive=image,bootindex=0"].map(String::from));
        arguments
    }

    /// Returns the requested CPU model, or the default.
    pub fn cpu(&self) -> &str {
        self.cpu_model.as_deref().unwrap_or(self.accel.default_cpu(self.counts()))
    }

    /// Returns whether QEMU counts instructions and derives time from them.
    fn counts(&self) -> bool {
        self.accel == Accel::Tcg && self.extra.iter().any(|word| word == "-icount")
    }

    /// Returns the whole command, quoted for a shell.
    pub fn shell_line(&self) -> String {
        let mut words = vec![quote(&self.qemu.path.to_string_lossy())];
        words.extend(self.arguments(Wiring::Terminal).iter().map(|word| quote(word)));
        words.join(" ")
    }

    /// Returns the value of `-smp`: one socket per node if the CPUs divide evenly, so that no socket spans two nodes.
    fn smp(&self) -> String {
        let (cpus, nodes) = (self.cpus, self.nodes);
        match nodes > 1 && cpus.is_multiple_of(nodes) {
            true => format!("{cpus},sockets={nodes},cores={},threads=1", cpus / nodes),
            false => cpus.to_string(),
        }
    }

    /// Returns the arguments that divide memory and CPUs among the nodes; the first nodes get the remainder.
    fn node_arguments(&self) -> Vec<String> {
        if self.nodes <= 1 {
            return Vec::new();
        }
        let mut arguments = Vec::new();
        let mut first_cpu = 0;
        for node in 0..self.nodes {
            let mib = share(self.memory.mib(), u64::from(self.nodes), u64::from(node));
            let cpus = share(u64::from(self.cpus), u64::from(self.nodes), u64::from(node));
            let mut description = format!("node,nodeid={node},memdev=memory{node}");
            if cpus > 0 {
                description += &format!(",cpus={first_cpu}-{}", first_cpu + cpus - 1);
            }
            first_cpu += cpus;
            arguments.push("-object".to_string());
            arguments.push(format!("memory-backend-ram,id=memory{node},size={mib}M"));
            arguments.extend(["-numa".to_string(), description]);
        }
        arguments
    }
}

/// Returns the share of part `index` when `total` is divided into `parts`.
fn share(total: u64, parts: u64, index: u64) -> u64 {
    total / parts + u64::from(index < total % parts)
}

/// Returns a character device at a path.
fn channel(device: &str, path: &Path) -> String {
    format!("{device},path={}", escaped(path))
}

/// Returns a drive of a file.
fn file(drive: &str, path: &Path) -> String {
    format!("{drive},file={}", escaped(path))
}

/// Returns a path for an option with several values: commas are doubled, as QEMU's syntax requires.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// Quotes a word for a POSIX shell, if necessary.
fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=,.:/+@%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
