//! The description of a machine and a job, as a TOML file.

use crate::failure::Failure;
use ktask::sim::{Capacity, Machine, Node};
use serde::Deserialize;
use std::path::Path;

/// A machine and a job to simulate on it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Name of the machine, for table and plot.
    pub name: String,
    /// What is worked on, for the table: `GB`, `pages`.
    #[serde(default = "items")]
    pub unit: String,
    /// Groups of equal memory nodes.
    pub nodes: Vec<Nodes>,
    /// Factor on a thread's rate for another node's memory.
    #[serde(default = "one")]
    pub remote_factor: f64,
    /// How helpers start.
    #[serde(default)]
    pub helpers: Helpers,
    /// The job.
    pub job: Job,
}

/// Equal memory nodes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    /// How many there are.
    #[serde(default = "one_node")]
    pub count: usize,
    /// CPUs of each.
    pub cpus: usize,
    /// Threads, and the units per second that so many reach together on the node's memory. The first is one thread.
    pub rates: Vec<(usize, f64)>,
}

/// How helpers start.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Helpers {
    /// Microseconds until a helper runs.
    pub start_us: f64,
    /// Largest random addition to it.
    pub jitter_us: f64,
    /// One helper in so many is lost; 0 for none.
    pub lost_one_in: u32,
}

/// The job. Its units lie on the nodes in proportion to their CPUs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Units of the whole job.
    pub work: f64,
    /// Units of the smallest chunk.
    pub min_chunk: f64,
    /// How much the costs of smallest chunks vary: the standard deviation of their logarithm.
    #[serde(default)]
    pub noise: f64,
}

impl Default for Helpers {
    fn default() -> Self {
        Self { start_us: 5.0, jitter_us: 0.0, lost_one_in: 0 }
    }
}

fn items() -> String {
    "items".into()
}

fn one() -> f64 {
    1.0
}

fn one_node() -> usize {
    1
}

/// The largest file; the longest sensible description has a few kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The most CPUs: as many as a job can have threads.
const CPUS_MAX: usize = ktask::MAX_WORKERS;

/// The most smallest chunks: so many take about a minute.
const CHUNKS_MAX: f64 = 200_000.0;

impl Description {
    /// Reads and checks a description.
    ///
    /// # Errors
    ///
    /// One line that names the file, the field, its value and what would be right.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let refuse = |why: String| Failure::usage(format!("{}: {why}", file.display()));
        let metadata = std::fs::metadata(file).map_err(|error| refuse(error.to_string()))?;
        if !metadata.is_file() {
            return Err(refuse("not a file; a description of a machine in TOML would be right".into()));
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(refuse(format!(
                "{} bytes are too many; the most are {FILE_BYTES_MAX}",
                metadata.len()
            )));
        }
        let bytes = std::fs::read(file).map_err(|error| refuse(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| refuse("not text in UTF-8".into()))?;
        Self::parse(&text).map_err(refuse)
    }

    /// Parses and checks a description.
    ///
    /// # Errors
    ///
    /// One line that names the field, its value and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let description: Self = toml::from_str(text).map_err(|error| parse_error(text, &error))?;
        description.check()?;
        Ok(description)
    }

    fn check(&self) -> Result<(), String> {
        printable("name", &self.name)?;
        printable("unit", &self.unit)?;
        if self.nodes.is_empty() {
            return Err("nodes is empty; at least one [[nodes]] would be right".into());
        }
        for (index, nodes) in self.nodes.iter().enumerate() {
            nodes.check(&format!("nodes[{index}]"))?;
        }
        let count: usize = self.nodes.iter().map(|nodes| nodes.count).sum();
        within("the sum of all nodes[].count", count, 1, ktask::MAX_NODE_RANGES)?;
        within("the number of CPUs of all nodes", self.cpus(), 1, CPUS_MAX)?;
        let rates = self.nodes.iter().flat_map(|nodes| &nodes.rates).map(|rate| rate.1);
        let (least, most) =
            rates.fold((f64::MAX, 0.0_f64), |(least, most), rate| (least.min(rate), most.max(rate)));
        if most / least > 1e6 {
            return Err(format!(
                "nodes[].rates reach from {least} to {most}; at most a factor of a million would be right"
            ));
        }
        within("remote_factor", self.remote_factor, 0.01, 1.0)?;
        within("helpers.start_us", self.helpers.start_us, 0.0, 1e6)?;
        within("helpers.jitter_us", self.helpers.jitter_us, 0.0, 1e6)?;
        if self.helpers.lost_one_in == 1 {
            return Err(
                "helpers.lost_one_in is 1, so that all are lost; 0 or a number above 1 would be right".into(),
            );
        }
        within("job.work", self.job.work, 1e-9, 1e15)?;
        within("job.min_chunk", self.job.min_chunk, 1e-9, self.job.work)?;
        if self.chunks() > CHUNKS_MAX {
            return Err(format!(
                "job.min_chunk is {}, of which job.work has {:.0}; at least {} would be right",
                self.job.min_chunk,
                self.chunks(),
                self.job.work / CHUNKS_MAX
            ));
        }
        within("job.noise", self.job.noise, 0.0, 3.0)?;
        let chunk_s = self.job.min_chunk / least;
        if !(1e-7..=3600.0).contains(&chunk_s) {
            return Err(format!(
                "job.min_chunk is {}, which takes one thread {chunk_s} s; 0.0000001 to 3600 s would be right",
                self.job.min_chunk
            ));
        }
        Ok(())
    }

    /// Returns the number of smallest chunks.
    pub fn chunks(&self) -> f64 {
        (self.job.work / self.job.min_chunk).ceil()
    }

    /// Returns the number of CPUs.
    pub fn cpus(&self) -> usize {
        self.nodes.iter().map(|nodes| nodes.count.saturating_mul(nodes.cpus)).fold(0, usize::saturating_add)
    }

    /// Returns the CPUs of each node.
    pub fn cpus_of_nodes(&self) -> Vec<usize> {
        self.nodes.iter().flat_map(|nodes| std::iter::repeat_n(nodes.cpus, nodes.count)).collect()
    }

    /// Returns the machine, whose rates are smallest chunks per second times `factor`.
    pub fn machine(&self, factor: f64) -> Machine {
        let scaled = |rate: f64| rate / self.job.min_chunk * factor;
        let node = |nodes: &Nodes| {
            let rates: Vec<_> = nodes.rates.iter().map(|&(threads, rate)| (threads, scaled(rate))).collect();
            let capacity = Capacity::through(&rates).expect("the rates were checked");
            Node { cpus: nodes.cpus, rate: rates[0].1, capacity }
        };
        let all: Vec<_> =
            self.nodes.iter().flat_map(|nodes| std::iter::repeat_n(node(nodes), nodes.count)).collect();
        let mut machine = Machine::new(1, all[0].clone());
        machine.nodes = all;
        machine.remote_factor = self.remote_factor;
        machine.helper_start_ns = (self.helpers.start_us * 1e3) as u64;
        machine.helper_jitter_ns = (self.helpers.jitter_us * 1e3) as u64;
        machine.lose_one_in = self.helpers.lost_one_in;
        machine.budget_percent = 100;
        machine
    }
}

impl Nodes {
    fn check(&self, path: &str) -> Result<(), String> {
        within(&format!("{path}.count"), self.count, 1, ktask::MAX_NODE_RANGES)?;
        within(&format!("{path}.cpus"), self.cpus, 1, CPUS_MAX)?;
        for (index, (threads, _)) in self.rates.iter().enumerate() {
            within(&format!("{path}.rates[{index}]'s threads"), *threads, 1, CPUS_MAX)?;
        }
        match Capacity::through(&self.rates) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{path}.rates is {:?}: {error}", self.rates)),
        }
    }
}

fn within<T: PartialOrd + std::fmt::Display>(field: &str, value: T, least: T, most: T) -> Result<(), String> {
    // So that what is not a number is refused too.
    if value >= least && value <= most {
        Ok(())
    } else {
        Err(format!("{field} is {value}; {least} to {most} would be right"))
    }
}

fn printable(field: &str, text: &str) -> Result<(), String> {
    if !text.is_empty() && text.chars().count() <= 80 && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(format!("{field} is {text:?}; 1 to 80 printable characters would be right"))
    }
}

/// Formats a parser's error in one line, with the line of the file that it is about.
fn parse_error(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    let Some(span) = error.span() else { return message };
    let before = text.get(..span.start).unwrap_or(text);
    let number = before.matches('\n').count() + 1;
    let line: String = text.lines().nth(number - 1).unwrap_or("").trim().chars().take(80).collect();
    format!("line {number}, {line:?}: {message}")
}
