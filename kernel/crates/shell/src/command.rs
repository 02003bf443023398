//! Commands, and the parser of lines.

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
    /// A number or other free text, without candidates.
    Free,
}

/// A command as `help` shows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// Its arguments, as `help` shows them; empty for none.
    pub usage: &'static str,
    /// What it does.
    pub help: &'static str,
    /// What completes its arguments.
    pub arguments: &'static [Argument],
}

const SIZES: &[&str] = &["2m", "1g"];

/// Levels of the log, as in the parameter `log.level`.
pub const LOG_LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// Every command.
pub const ALL: &[Spec] = &[
    Spec {
        name: "help",
        usage: "[COMMAND]",
        help: "lists all commands, or shows one",
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
        help: "lists CPUs; takes one offline or online",
        arguments: &[Argument::Word(&["offline", "online"]), Argument::Free],
    },
    Spec { name: "mem", usage: "", help: "memory: nodes, free blocks, caches", arguments: &[] },
    Spec {
        name: "huge",
        usage: "[reserve 2m|1g N|release 2m|1g N]",
        help: "pools of huge pages; moves N pages into one or out of it",
        arguments: &[Argument::Word(&["reserve", "release"]), Argument::Word(SIZES), Argument::Free],
    },
    Spec {
        name: "verify",
        usage: "",
        help: "checks the page allocator's lists, descriptors and counts",
        arguments: &[],
    },
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
        name: "trace",
        usage: "[on|off|dump]",
        help: "records what the CPUs do; writes it to the record port",
        arguments: &[Argument::Word(&["on", "off", "dump"])],
    },
    Spec {
        name: "log",
        usage: "[LEVEL]",
        help: "least severe message that the console shows",
        arguments: &[Argument::Word(LOG_LEVELS)],
    },
    Spec { name: "uptime", usage: "", help: "time since boot, and how idle the CPUs are", arguments: &[] },
    Spec {
        name: "poweroff",
        usage: "[fail]",
        help: "ends the machine; with `fail`, as a failed run",
        arguments: &[Argument::Word(&["fail"])],
    },
];

/// Returns the command called `name`.
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

/// A parsed command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Shows all commands, or one.
    Help(Option<&'static Spec>),
    /// Shows the parameters whose names begin with this; all for the empty string.
    Show(&'a str),
    /// Changes a parameter.
    Set {
        /// The parameter's name.
        name: &'a str,
        /// Its new value.
        value: &'a str,
    },
    /// Lists threads.
    Threads,
    /// Lists CPUs.
    Cpus,
    /// Takes a CPU offline.
    Offline(usize),
    /// Brings a CPU online.
    Online(usize),
    /// Shows memory.
    Memory,
    /// Lists pools of huge pages.
    Huge,
    /// Moves pages into a pool.
    Reserve(HugeSize, u64),
    /// Moves pages out of a pool.
    Release(HugeSize, u64),
    /// Checks the page allocator.
    Verify,
    /// Times one job, or all jobs.
    Timing(Option<&'a str>),
    /// Runs tests.
    Test(&'a str),
    /// Runs benchmarks.
    Bench(&'a str),
    /// Shows the state of tracing.
    Trace,
    /// Switches tracing on.
    TraceOn,
    /// Switches tracing off.
    TraceOff,
    /// Writes the trace.
    TraceDump,
    /// Shows or sets the log level.
    Log(Option<&'a str>),
    /// Shows uptime and idle time.
    Uptime,
    /// Ends the machine.
    PowerOff {
        /// The run counts as failed.
        fail: bool,
    },
}

/// A line without errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// The command.
    pub command: Command<'a>,
    /// The line ended with `&`: the next prompt comes at once.
    pub in_background: bool,
}

/// Why a line cannot run: the error, the wrong value, and what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem<'a> {
    /// There is no such command.
    Unknown(&'a str),
    /// An argument is missing.
    Missing(&'static Spec),
    /// There are more arguments than the command takes.
    Surplus(&'static Spec, &'a str),
    /// An argument has a wrong value.
    Bad {
        /// The command.
        spec: &'static Spec,
        /// The argument.
        value: &'a str,
        /// What is allowed.
        allowed: &'static str,
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
            Self::Bad { spec, value, allowed } => {
                write!(f, "{}: `{value}` is not {allowed}; use {}", spec.name, Usage(spec))
            }
            Self::Foreground(spec) => {
                write!(f, "{} cannot run in the background; leave the `&` out", spec.name)
            }
        }
    }
}

/// A command with its arguments, as `help` shows it.
#[derive(Clone, Copy, Debug)]
pub struct Usage(pub &'static Spec);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spec { name, usage, .. } = self.0;
        let gap = if usage.is_empty() { "" } else { " " };
        write!(f, "{name}{gap}{usage}")
    }
}

/// Parses a line; returns `None` for a blank line and for a comment, which begins with `#`.
///
/// # Errors
/// The first error of the line.
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
    let command = parse_command(&mut words)?;
    if let Some(surplus) = words.next() {
        return Err(Problem::Surplus(spec, surplus));
    }
    if in_background && matches!(command, Command::PowerOff { .. }) {
        return Err(Problem::Foreground(spec));
    }
    Ok(Some(Parsed { command, in_background }))
}

/// The remaining words of a line.
struct Words<'a> {
    spec: &'static Spec,
    words: SplitAsciiWhitespace<'a>,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.words.next()
    }

    fn required(&mut self) -> Result<&'a str, Problem<'a>> {
        self.next().ok_or(Problem::Missing(self.spec))
    }

    /// Parses a whole number.
    fn number<N: FromStr>(&mut self) -> Result<N, Problem<'a>> {
        let value = self.required()?;
        // Digits only: `from_str` alone would accept a plus sign.
        let number = value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok()).flatten();
        number.ok_or(Problem::Bad { spec: self.spec, value, allowed: "a whole number" })
    }

    fn huge_size(&mut self) -> Result<HugeSize, Problem<'a>> {
        match self.required()? {
            "2m" => Ok(HugeSize::Size2M),
            "1g" => Ok(HugeSize::Size1G),
            value => Err(Problem::Bad { spec: self.spec, value, allowed: "2m or 1g" }),
        }
    }
}

fn parse_command<'a>(words: &mut Words<'a>) -> Result<Command<'a>, Problem<'a>> {
    let spec = words.spec;
    let bad = |value, allowed| Problem::Bad { spec, value, allowed };
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
        "test" => Command::Test(words.required()?),
        "bench" => Command::Bench(words.required()?),
        "trace" => match words.next() {
            None => Command::Trace,
            Some("on") => Command::TraceOn,
            Some("off") => Command::TraceOff,
            Some("dump") => Command::TraceDump,
            Some(word) => return Err(bad(word, "on, off or dump")),
        },
        "log" => Command::Log(words.next()),
        "uptime" => Command::Uptime,
        "poweroff" => match words.next() {
            None => Command::PowerOff { fail: false },
            Some("fail") => Command::PowerOff { fail: true },
            Some(word) => return Err(bad(word, "fail")),
        },
        name => unreachable!("command {name} is listed but not parsed"),
    })
}
