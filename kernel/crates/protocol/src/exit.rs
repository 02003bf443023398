//! Verdicts and exit statuses.
//!
//! The kernel ends a run by writing a code to QEMU's `isa-debug-exit` device. QEMU then exits with `code * 2 + 1`. No verdict
//! leads to status 0, which also follows a triple fault or a reset under `-no-reboot`, nor to 1, a failure of QEMU itself.

/// I/O port of the `isa-debug-exit` device (`iobase=0xf4,iosize=0x04`): one 32-bit write ends the run.
pub const PORT: u16 = 0xf4;

/// How a run ended, by the kernel's judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// All that was requested was done and verified.
    Pass,
    /// The kernel is sound, but a job or a test failed.
    Fail,
    /// The kernel panicked, or a CPU exception was fatal.
    Panic,
    /// The watchdog found a hang.
    Watchdog,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Fail, Self::Panic, Self::Watchdog];

    /// Returns the code that the kernel writes to [`PORT`].
    pub const fn code(self) -> u32 {
        match self {
            Self::Pass => 0x10,
            Self::Fail => 0x11,
            Self::Panic => 0x12,
            Self::Watchdog => 0x13,
        }
    }

    /// Returns the verdict with this code; `None` for other numbers.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.code() == code)
    }

    /// Returns the status with which QEMU exits: 33, 35, 37 or 39.
    pub const fn qemu_status(self) -> i32 {
        ((self.code() << 1) | 1).cast_signed()
    }

    /// Returns the verdict behind QEMU's exit status; `None` for all others, which are failures, 0 included.
    pub fn from_qemu_status(status: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.qemu_status() == status)
    }
}

/// Exit status of the host command (`cargo run`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum HostStatus {
    /// The kernel's verdict is pass.
    Pass = 0,
    /// The kernel's verdict is fail, a test failed, or the kernel could not be built.
    Fail = 1,
    /// The command line is wrong, or a prerequisite is missing.
    Usage = 2,
    /// The kernel panicked.
    Panic = 3,
    /// The watchdog found a hang, or the time limit passed.
    Hang = 4,
    /// QEMU failed, or ended without a verdict.
    Qemu = 5,
}

impl HostStatus {
    /// Returns the status as a number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Verdict> for HostStatus {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Fail => Self::Fail,
            Verdict::Panic => Self::Panic,
            Verdict::Watchdog => Self::Hang,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_statuses_are_the_documented_ones() {
        let statuses = Verdict::ALL.map(Verdict::qemu_status);
        assert_eq!(statuses, [33, 35, 37, 39]);
    }

    #[test]
    fn conversions_are_inverse() {
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::from_code(verdict.code()), Some(verdict));
            assert_eq!(Verdict::from_qemu_status(verdict.qemu_status()), Some(verdict));
        }
    }

    #[test]
    fn every_other_status_is_no_verdict() {
        for status in (-1..=255).filter(|status| ![33, 35, 37, 39].contains(status)) {
            assert_eq!(Verdict::from_qemu_status(status), None, "status {status}");
        }
    }

    #[test]
    fn host_statuses_are_the_documented_ones() {
        let statuses = Verdict::ALL.map(|verdict| HostStatus::from(verdict).code());
        assert_eq!(statuses, [0, 1, 3, 4]);
        assert_eq!((HostStatus::Usage.code(), HostStatus::Qemu.code()), (2, 5));
    }
}
