//! What a test needs, and what a machine has. The kernel describes the machine it runs on, the host the machine that it would
//! start; both compare in the same way.

use core::fmt;

/// One thing that an in-kernel test needs of the machine or the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// So many online CPUs.
    Cpus(u64),
    /// Online CPUs: no more than so many.
    MostCpus(u64),
    /// So many nodes with online CPUs.
    CpuNodes(u64),
    /// So many nodes with memory: 16 free huge pages of 2 MiB or more.
    MemoryNodes(u64),
    /// Memory in MiB.
    MemoryMib(u64),
    /// So many free blocks of 1 GiB.
    FreeGib(u64),
    /// A CPU that maps pages of 1 GiB.
    MapsGib,
    /// A CPU that does not map pages of 1 GiB.
    MapsNoGib,
    /// A build with debug assertions.
    Debug,
    /// A build without debug assertions.
    Release,
    /// Time that counts instructions, as an emulator can: it does not depend on the host.
    CountedTime,
    /// The log on a screen.
    Screen,
}

/// Error: a text that names no [`Need`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownNeed<'a>(pub &'a str);

impl fmt::Display for UnknownNeed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no need of a test; the kernel is of another version", self.0)
    }
}

impl Need {
    /// Parses a need as Rust writes it: `Cpus(2)`, `CountedTime`.
    ///
    /// # Errors
    ///
    /// [`UnknownNeed`] for any other text.
    pub fn parse(text: &str) -> Result<Self, UnknownNeed<'_>> {
        let error = UnknownNeed(text);
        let Some((name, count)) = text.split_once('(') else {
            return match text {
                "MapsGib" => Ok(Self::MapsGib),
                "MapsNoGib" => Ok(Self::MapsNoGib),
                "Debug" => Ok(Self::Debug),
                "Release" => Ok(Self::Release),
                "CountedTime" => Ok(Self::CountedTime),
                "Screen" => Ok(Self::Screen),
                _ => Err(error),
            };
        };
        let count = count.strip_suffix(')').and_then(|count| count.parse().ok()).ok_or(error)?;
        match name {
            "Cpus" => Ok(Self::Cpus(count)),
            "MostCpus" => Ok(Self::MostCpus(count)),
            "CpuNodes" => Ok(Self::CpuNodes(count)),
            "MemoryNodes" => Ok(Self::MemoryNodes(count)),
            "MemoryMib" => Ok(Self::MemoryMib(count)),
            "FreeGib" => Ok(Self::FreeGib(count)),
            _ => Err(error),
        }
    }
}

/// The reason why a test cannot run.
impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpus(count) => write!(f, "needs {count} cpus"),
            Self::MostCpus(count) => write!(f, "needs a machine with at most {count} cpus"),
            Self::CpuNodes(count) => write!(f, "needs {count} nodes with cpus"),
            Self::MemoryNodes(count) => write!(f, "needs {count} nodes with memory"),
            Self::MemoryMib(mib) => write!(f, "needs a machine with {mib} MiB"),
            Self::FreeGib(count) => write!(f, "needs {count} free blocks of 1 GiB"),
            Self::MapsGib => f.write_str("needs a cpu with pages of 1 GiB"),
            Self::MapsNoGib => f.write_str("needs a cpu without pages of 1 GiB"),
            Self::Debug => f.write_str("needs a debug build"),
            Self::Release => f.write_str("needs a build without debug assertions"),
            Self::CountedTime => f.write_str("needs time that counts instructions"),
            Self::Screen => f.write_str("needs the log on a screen"),
        }
    }
}

/// What a machine and the kernel's build have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Online CPUs.
    pub cpus: u64,
    /// Nodes with online CPUs.
    pub cpu_nodes: u64,
    /// Nodes with memory.
    pub memory_nodes: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Free blocks of 1 GiB.
    pub free_gib: u64,
    /// Whether CPUs map pages of 1 GiB.
    pub maps_gib: bool,
    /// Whether the build has debug assertions.
    pub is_debug: bool,
    /// Whether time counts instructions.
    pub has_counted_time: bool,
    /// Whether the log is on a screen.
    pub has_screen: bool,
}

impl Facts {
    /// Returns whether a test with this need can run.
    pub fn meet(&self, need: Need) -> bool {
        match need {
            Need::Cpus(count) => self.cpus >= count,
            Need::MostCpus(count) => self.cpus <= count,
            Need::CpuNodes(count) => self.cpu_nodes >= count,
            Need::MemoryNodes(count) => self.memory_nodes >= count,
            Need::MemoryMib(mib) => self.memory_mib >= mib,
            Need::FreeGib(count) => self.free_gib >= count,
            Need::MapsGib => self.maps_gib,
            Need::MapsNoGib => !self.maps_gib,
            Need::Debug => self.is_debug,
            Need::Release => !self.is_debug,
            Need::CountedTime => self.has_counted_time,
            Need::Screen => self.has_screen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, vec};

    #[test]
    fn each_need_is_parsed_as_rust_writes_it() {
        let counted = |make: fn(u64) -> Need| [make(0), make(2), make(u64::MAX)];
        let mut all =
            vec![Need::MapsGib, Need::MapsNoGib, Need::Debug, Need::Release, Need::CountedTime, Need::Screen];
        all.extend(counted(Need::Cpus));
        all.extend(counted(Need::MostCpus));
        all.extend(counted(Need::CpuNodes));
        all.extend(counted(Need::MemoryNodes));
        all.extend(counted(Need::MemoryMib));
        all.extend(counted(Need::FreeGib));
        for need in all {
            let text = format!("{need:?}");
            assert_eq!(Need::parse(&text), Ok(need));
        }
    }

    #[test]
    fn other_texts_are_errors() {
        for text in
            ["", "Cpus", "Cpus(", "Cpus()", "Cpus(2", "Cpus(-1)", "Cpus(2))", "Debug(1)", "debug", "Gpus(2)"]
        {
            assert_eq!(Need::parse(text), Err(UnknownNeed(text)));
        }
    }

    #[test]
    fn a_machine_meets_what_it_has() {
        let none = Facts::default();
        let full = Facts {
            cpus: 4,
            cpu_nodes: 2,
            memory_nodes: 2,
            memory_mib: 512,
            free_gib: 2,
            maps_gib: true,
            is_debug: true,
            has_counted_time: true,
            has_screen: true,
        };
        let only_full = [
            Need::Cpus(4),
            Need::CpuNodes(2),
            Need::MemoryNodes(2),
            Need::MemoryMib(512),
            Need::FreeGib(2),
            Need::MapsGib,
            Need::Debug,
            Need::CountedTime,
            Need::Screen,
        ];
        for need in only_full {
            assert!(full.meet(need) && !none.meet(need), "{need}");
        }
        for need in [Need::MostCpus(3), Need::MapsNoGib, Need::Release] {
            assert!(none.meet(need) && !full.meet(need), "{need}");
        }
        let more =
            [Need::Cpus(5), Need::CpuNodes(3), Need::MemoryNodes(3), Need::MemoryMib(513), Need::FreeGib(3)];
        assert!(more.iter().all(|need| !full.meet(*need)));
        assert!(full.meet(Need::MostCpus(4)));
    }
}
