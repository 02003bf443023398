//! Text of firmware and loaders on the serial ports, before the kernel's.
//!
//! UEFI firmware uses both ports as consoles, the one for records too.

use crate::qemu::Boot;

/// What has come so far: only firmware's text, or the kernel's too.
#[derive(Debug)]
pub(super) struct Prelude {
    /// Whether the kernel has written to the log.
    has_log: bool,
    /// Whether the kernel has written a record.
    has_record: bool,
}

impl Prelude {
    /// Returns the state before the first line of a machine that comes to the kernel by `boot`. Without firmware, every line is
    /// the kernel's.
    pub(super) fn of(boot: &Boot) -> Self {
        let is_over = matches!(boot, Boot::Direct);
        Self { has_log: is_over, has_record: is_over }
    }

    /// Returns whether a line of the log is the kernel's, or comes after one.
    pub(super) fn log_is_kernels(&mut self, line: &str) -> bool {
        self.has_log |= has_timestamp(line);
        self.has_log
    }

    /// Returns whether a line of the record port is the kernel's, or comes after one.
    pub(super) fn record_is_kernels(&mut self, line: &str) -> bool {
        self.has_record |= line.starts_with('{');
        self.has_record
    }
}

/// Returns whether a line begins as the kernel's do: `[    0.000669]`.
fn has_timestamp(line: &str) -> bool {
    let time =
        line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(time, _)| time.trim_start());
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    time.and_then(|time| time.split_once('.'))
        .is_some_and(|(seconds, fraction)| is_number(seconds) && is_number(fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_after_the_kernels_first_are_the_kernels() {
        let boot = Boot::Image { image: "i".into(), uefi: None };
        let mut prelude = Prelude::of(&boot);
        for line in ["", "BdsDxe: starting Boot0001", "[01;01H", "[ x.1]", "[.]", "{"] {
            assert!(!prelude.log_is_kernels(line), "{line}");
        }
        assert!(prelude.log_is_kernels("[    0.000669][0][INFO  boot] ktask"));
        assert!(prelude.log_is_kernels("KTAP version 1"));
        assert!(!prelude.record_is_kernels("BdsDxe: starting Boot0001"));
        assert!(prelude.record_is_kernels("{\"record\":"));
        assert!(prelude.record_is_kernels("torn"));
    }

    #[test]
    fn without_firmware_every_line_is_the_kernels() {
        let mut prelude = Prelude::of(&Boot::Direct);
        assert!(prelude.log_is_kernels("this machine lacks sse2"));
        assert!(prelude.record_is_kernels("torn"));
    }
}
