//! Lines as commands.

use core::fmt;
use core::str::{FromStr, SplitAsciiWhitespace};

/// What completes an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// One of these words.
    Word(&'static [&'static str]),
    /// The name of a command.
    Command,
    /// The name of a parameter.
    Parameter,
    /// The name of a test in the kernel.
    Test,
    /// The name of a benchmark.
    Bench,
    /// The name of a timed job.
    Job,
    /// A number or the like: nothing to choose from.
    Free,
}

/// A command as `help` shows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// Its arguments as people write them; empty for none.
    pub usage: &'static str,
    /// What it does.
    pub help: &'static str,
    /// What completes its arguments.
    pub arguments: &'static [Argument],
}

const SIZES: &[&str] = &["2m", "1g"];

/// Levels of the log, as `log.level` has them.
pub const LOG_LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// Every command.
pub const ALL: &[Spec] = &[
    Spec {
        name: "help",
        usage: "[COMMAND]",
        help: "what there is, and what a command does",
        arguments: &[Argument::Command],
    },
    Spec {
        name: "sysctl",
        usage: "[NAME|NAME=VALUE]",
        help: "parameters: all, those that begin with NAME, or a change of one",
        arguments: &[Argument::Parameter],
    },
    Spec { name: "ps", usage: "", help: "threads", arguments: &[] },
    Spec {
        name: "cpus",
        usage: "[offline N|online N]",
        help: "CPUs; sends one away, or brings it back",
        arguments: &[Argument::Word(&["offline", "online"]), Argument::Free],
    },
    Spec { name: "mem", usage: "", help: "memory: nodes, free blocks, caches", arguments: &[] },
    Spec {
        name: "huge",
        usage: "[reserve 2m|1g N|release 2m|1g N]",
        help: "pools of huge pages; moves N pages into one or out of it",
        arguments: &[Argument::Word(&["reserve", "release"]), Argument::Word(SIZES), Argument::Free],
    },
    Spec { name: "verify", usage: "", help: "checks everything the page allocator believes", arguments: &[] },
    Spec {
        name: "timing",
        usage: "[JOB]",
        help: "times the jobs, or one of them, on 1 to all CPUs",
        arguments: &[Argument::Job],
    },
    Spec {
        name: "test",
        usage: "PATTERN",
        help: "runs the kernel's tests whose names contain PATTERN",
        arguments: &[Argument::Test],
    },
    Spec {
        name: "bench",
        usage: "PATTERN",
        help: "runs the benchmarks whose names contain PATTERN",
        arguments: &[Argument::Bench],
    },
    Spec {
        name: "log",
        usage: "[LEVEL]",
        help: "least severe message that the console shows",
        arguments: &[Argument::Word(LOG_LEVELS)],
    },
    Spec { name: "uptime", usage: "", help: "how long the machine runs, and how busy it is", arguments: &[] },
    Spec {
        name: "poweroff",
        usage: "[fail]",
        help: "ends the machine; with `fail`, as a failed run",
        arguments: &[Argument::Word(&["fail"])],
    },
];

/// The command called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Spec> {
    ALL.iter().find(|spec| spec.name == name)
}

/// A size of huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugeSize {
    /// 2 MiB.
    Size2M,
    /// 1 GiB.
    Size1G,
}

/// What a line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// All commands, or one.
    Help(Option<&'static Spec>),
    /// Parameters whose names begin so; all for the empty string.
    Show(&'a str),
    /// A new value.
    Set {
        /// The parameter's name.
        name: &'a str,
        /// The value.
        value: &'a str,
    },
    /// Threads.
    Threads,
    /// CPUs.
    Cpus,
    /// Sends a CPU away.
    Offline(usize),
    /// Brings a CPU back.
    Online(usize),
    /// Memory.
    Memory,
    /// Pools of huge pages.
    Huge,
    /// More pages into a pool.
    Reserve(HugeSize, u64),
    /// Pages out of a pool.
    Release(HugeSize, u64),
    /// Checks the page allocator.
    Verify,
    /// Times one job, or all.
    Timing(Option<&'a str>),
    /// Runs tests.
    Test(&'a str),
    /// Runs benchmarks.
    Bench(&'a str),
    /// Shows or sets the log level.
    Log(Option<&'a str>),
    /// How long, how busy.
    Uptime,
    /// Ends the machine.
    PowerOff {
        /// As a failed run.
        fail: bool,
    },
}

/// A line that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// What it asks for.
    pub command: Command<'a>,
    /// With the next prompt at once: the line ended with `&`.
    pub in_background: bool,
}

/// Why a line makes no sense: what, which value, what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem<'a> {
    /// There is no such command.
    Unknown(&'a str),
    /// An argument is missing.
    Missing(&'static Spec),
    /// There are more arguments than the command takes.
    Surplus(&'static Spec, &'a str),
    /// An argument cannot be that.
    Bad {
        /// Of this command.
        spec: &'static Spec,
        /// The argument.
        value: &'a str,
        /// What would be right.
        right: &'static str,
    },
    /// The command cannot run in the background.
    Foreground(&'static Spec),
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "unknown command `{name}`; `help` lists all there are"),
            Self::Missing(spec) => write!(f, "{}: something is missing; use {}", spec.name, Usage(spec)),
            Self::Surplus(spec, word) => {
                write!(f, "{}: `{word}` is one word too many; use {}", spec.name, Usage(spec))
            }
            Self::Bad { spec, value, right } => {
                write!(f, "{}: `{value}` is not {right}; use {}", spec.name, Usage(spec))
            }
            Self::Foreground(spec) => {
                write!(f, "{} cannot run in the background; leave the `&` out", spec.name)
            }
        }
    }
}

/// How a command is written.
#[derive(Clone, Copy, Debug)]
pub struct Usage(pub &'static Spec);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spec { name, usage, .. } = self.0;
        let gap = if usage.is_empty() { "" } else { " " };
        write!(f, "{name}{gap}{usage}")
    }
}

/// Reads a line. `None` for one that asks for nothing: blank, or a comment after `#`.
///
/// # Errors
/// What of it makes no sense.
pub fn parse(line: &str) -> Result<Option<Parsed<'_>>, Problem<'_>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (line, in_background) = match line.strip_suffix('&') {
        Some(line) => (line.trim_end(), true),
        None => (line, false),
    };
    let mut words = line.split_ascii_whitespace();
    let name = words.next().unwrap_or("&");
    let spec = find(name).ok_or(Problem::Unknown(name))?;
    let mut words = Words { spec, words };
    let command = read(&mut words)?;
    if let Some(surplus) = words.next() {
        return Err(Problem::Surplus(spec, surplus));
    }
    if in_background && matches!(command, Command::PowerOff { .. }) {
        return Err(Problem::Foreground(spec));
    }
    Ok(Some(Parsed { command, in_background }))
}

/// The arguments of a command.
struct Words<'a> {
    spec: &'static Spec,
    words: SplitAsciiWhitespace<'a>,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.words.next()
    }

    fn needed(&mut self) -> Result<&'a str, Problem<'a>> {
        self.next().ok_or(Problem::Missing(self.spec))
    }

    /// A whole number.
    fn number<N: FromStr>(&mut self) -> Result<N, Problem<'a>> {
        let value = self.needed()?;
        // `from_str` takes a plus sign, which nobody means.
        let number = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten();
        number.ok_or(Problem::Bad { spec: self.spec, value, right: "a whole number" })
    }

    fn huge_size(&mut self) -> Result<HugeSize, Problem<'a>> {
        match self.needed()? {
            "2m" => Ok(HugeSize::Size2M),
            "1g" => Ok(HugeSize::Size1G),
            value => Err(Problem::Bad { spec: self.spec, value, right: "2m or 1g" }),
        }
    }
}

fn read<'a>(words: &mut Words<'a>) -> Result<Command<'a>, Problem<'a>> {
    let spec = words.spec;
    let bad = |value, right| Problem::Bad { spec, value, right };
    Ok(match spec.name {
        "help" => match words.next() {
            Some(name) => Command::Help(Some(find(name).ok_or(bad(name, "a command"))?)),
            None => Command::Help(None),
        },
        "sysctl" => match words.next() {
            Some(word) => match word.split_once('=') {
                Some((name, value)) => Command::Set { name, value },
                None => Command::Show(word),
            },
            None => Command::Show(""),
        },
        "ps" => Command::Threads,
        "cpus" => match words.next() {
            None => Command::Cpus,
            Some("offline") => Command::Offline(words.number()?),
            Some("online") => Command::Online(words.number()?),
            Some(word) => return Err(bad(word, "offline or online")),
        },
        "mem" => Command::Memory,
        "huge" => match words.next() {
            None => Command::Huge,
            Some("reserve") => Command::Reserve(words.huge_size()?, words.number()?),
            Some("release") => Command::Release(words.huge_size()?, words.number()?),
            Some(word) => return Err(bad(word, "reserve or release")),
        },
        "verify" => Command::Verify,
        "timing" => Command::Timing(words.next()),
        "test" => Command::Test(words.needed()?),
        "bench" => Command::Bench(words.needed()?),
        "log" => Command::Log(words.next()),
        "uptime" => Command::Uptime,
        "poweroff" => match words.next() {
            None => Command::PowerOff { fail: false },
            Some("fail") => Command::PowerOff { fail: true },
            Some(word) => return Err(bad(word, "fail")),
        },
        name => unreachable!("command {name} is listed but not read"),
    })
}
