//! The machine that Bochs emulates, as its configuration file.

use protocol::ktest::Facts;
use std::fmt::Write;
use std::path::Path;

/// Firmware of the machine.
const BIOS: &str = "/usr/share/bochs/BIOS-bochs-latest";

/// Firmware of the screen: QEMU's, where systems have it. With Bochs's own, GRUB crashes when it asks for the screen's modes.
pub(super) const SCREEN_BIOSES: [&str; 2] =
    ["/usr/share/seabios/vgabios-stdvga.bin", "/usr/share/seavgabios/vgabios-stdvga.bin"];

/// Names of the files in a run's folder.
pub(super) const LOG_PORT: &str = "com1";
pub(super) const RECORD_PORT: &str = "com2";
pub(super) const MESSAGES: &str = "messages";

/// Instructions that make a second of the guest's time. Fewer make tests cheaper whose length is a time, and the kernel's
/// own work longer in that time.
const INSTRUCTIONS_PER_SECOND: u32 = 100_000_000;

/// A machine.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// The scenario's name in test names.
    pub name: &'static str,
    /// CPUs.
    pub cpus: u32,
    /// Memory.
    pub memory_mib: u64,
    /// The CPU model; one with x2APIC, the TSC deadline timer and the microcode that Linux wants for it.
    pub cpu_model: &'static str,
}

/// Two CPUs.
pub const SMP2: Model = Model { name: "bochs_smp2", cpus: 2, memory_mib: 256, cpu_model: "corei7_skylake_x" };

/// Four CPUs.
pub const SMP4: Model = Model { name: "bochs_smp4", cpus: 4, ..SMP2 };

impl Model {
    /// Returns what tests find on this machine.
    pub fn facts(&self) -> Facts {
        Facts {
            cpus: self.cpus.into(),
            cpu_nodes: 1,
            memory_nodes: 1,
            memory_mib: self.memory_mib,
            free_gib: 0,
            maps_gib: true,
            is_debug: false,
            has_counted_time: true,
            has_screen: false,
        }
    }

    /// Returns Bochs's configuration: serial ports and messages are files in `folder`, and the machine starts from `iso`.
    pub(super) fn configuration(&self, folder: &Path, iso: &Path, screen_bios: &Path) -> String {
        let Self { cpus, memory_mib, cpu_model, .. } = self;
        let file = |name: &str| folder.join(name).display().to_string();
        let mut text = String::new();
        let mut line =
            |words: std::fmt::Arguments<'_>| writeln!(text, "{words}").expect("a string takes all");
        line(format_args!(
            "cpu: count={cpus}, ips={INSTRUCTIONS_PER_SECOND}, model={cpu_model}, reset_on_triple_fault=0"
        ));
        line(format_args!("memory: guest={memory_mib}, host={memory_mib}"));
        line(format_args!("romimage: file={BIOS}"));
        line(format_args!("vgaromimage: file=\"{}\"", screen_bios.display()));
        line(format_args!("ata0-master: type=cdrom, path=\"{}\", status=inserted", iso.display()));
        line(format_args!("boot: cdrom"));
        for port in [LOG_PORT, RECORD_PORT] {
            line(format_args!("{port}: enabled=1, mode=file, dev=\"{}\"", file(port)));
        }
        line(format_args!("log: \"{}\"", file(MESSAGES)));
        // No window: the picture waits for a viewer that does not connect. No sound: the host may have none.
        line(format_args!("display_library: rfb, options=\"timeout=0\""));
        line(format_args!("speaker: enabled=0"));
        line(format_args!("sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy"));
        line(format_args!("plugin_ctrl: unmapped=1"));
        // A panic of Bochs ends it, also the one that stands for a power-off.
        line(format_args!("panic: action=fatal"));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_names_the_files_of_its_folder() {
        let text =
            SMP4.configuration(Path::new("/tmp/a b"), Path::new("/tmp/a b/x.iso"), Path::new("/vga.bin"));
        for line in [
            "cpu: count=4, ips=100000000, model=corei7_skylake_x, reset_on_triple_fault=0",
            "ata0-master: type=cdrom, path=\"/tmp/a b/x.iso\", status=inserted",
            "com2: enabled=1, mode=file, dev=\"/tmp/a b/com2\"",
            "log: \"/tmp/a b/messages\"",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
    }
}
