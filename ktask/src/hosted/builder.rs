//! The settings of a hosted platform, their check, and the start of its threads.

use core::fmt;
use std::num::NonZeroUsize;
use std::path::Path;
use std::string::String;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;
use std::vec::Vec;

use super::affinity;
use super::platform::{Hosted, Inner, NODE};
use super::pool::Pool;
use super::topology::Topology;
use crate::{Budget, MAX_WORKERS, NodeId, WakeCost};

/// The most threads that a pool may have; many jobs may share one.
const MAX_THREADS: usize = 65_536;

/// The smallest stack of a thread, in bytes. A job takes less than a quarter of it.
const MIN_STACK_BYTES: usize = 16_384;

/// The settings of a [`Hosted`] that is to be made.
///
/// ```
/// # use ktask::hosted::{BuildError, Hosted};
/// let platform = Hosted::builder().threads(3).name("worker").stack_size(1 << 20).try_build()?;
/// assert_eq!(platform.threads(), 3);
/// # Ok::<(), BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    cpus: Option<usize>,
    threads: Option<usize>,
    nodes: Nodes,
    max_threads: usize,
    budget_percent: u32,
    enabled: bool,
    name: String,
    stack_bytes: Option<usize>,
    is_pinned: bool,
}

/// Where the nodes come from.
#[derive(Clone, Copy, Debug)]
enum Nodes {
    /// This many, with the CPUs distributed evenly.
    Count(usize),
    OfSystem,
}

/// The setting of a [`Builder`] for which no platform can be made. No thread is left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// `cpus` is 0.
    CpusZero,
    /// `nodes` is 0.
    NodesZero,
    /// More `threads` than a pool may have.
    TooManyThreads {
        /// The number that was requested.
        threads: usize,
    },
    /// `budget_percent` is above 100.
    BudgetOutOfRange {
        /// The share that was requested.
        percent: u32,
    },
    /// `stack_size` is too small for a thread.
    StackTooSmall {
        /// The size that was requested.
        bytes: usize,
    },
    /// `name` contains a zero byte, which no system can show.
    NameWithZero {
        /// Index of the byte.
        index: usize,
    },
    /// The system does not bind threads to CPUs.
    PinUnsupported,
    /// The system refused to bind a thread.
    PinRefused {
        /// The CPU, or the first CPU of the thread's node.
        cpu: usize,
        /// The system's error number.
        error: i32,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::CpusZero => write!(f, "cpus 0: must be at least 1"),
            Self::NodesZero => write!(f, "nodes 0: must be at least 1"),
            Self::TooManyThreads { threads } => write!(f, "threads {threads}: must be 0 to {MAX_THREADS}"),
            Self::BudgetOutOfRange { percent } => write!(f, "budget_percent {percent}: must be 0 to 100"),
            Self::StackTooSmall { bytes } => {
                write!(f, "stack_size {bytes}: must be at least {MIN_STACK_BYTES} bytes")
            }
            Self::NameWithZero { index } => write!(f, "name with a zero byte at {index}: must have none"),
            Self::PinUnsupported => write!(f, "pin: this system does not bind threads to CPUs"),
            Self::PinRefused { cpu, error } => {
                write!(f, "pin to CPU {cpu}: refused by the system, error {error}")
            }
        }
    }
}

impl core::error::Error for BuildError {}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            cpus: None,
            threads: None,
            nodes: Nodes::Count(1),
            max_threads: MAX_WORKERS,
            budget_percent: Budget::new().percent(),
            enabled: true,
            name: "ktask".into(),
            stack_bytes: None,
            is_pinned: false,
        }
    }

    /// Sets the number of CPUs, at least 1. The default is what the system gives to the process.
    pub fn cpus(mut self, cpus: usize) -> Self {
        self.cpus = Some(cpus);
        self
    }

    /// Sets the number of pool threads, 0 to 65 536; the default is the number of CPUs. With 0, every
    /// job runs on its caller alone.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Sets the number of nodes, at least 1. The CPUs are distributed evenly.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = Nodes::Count(nodes);
        self
    }

    /// Takes nodes, distances and cores from the system, in place of [`nodes`](Self::nodes).
    ///
    /// A [`NodeId`] is then the system's number of the node, and each pool thread is bound to the CPUs
    /// of one node. Where the system does not tell its nodes, there is one with all CPUs. Linux tells
    /// them.
    pub fn system_nodes(mut self) -> Self {
        self.nodes = Nodes::OfSystem;
        self
    }

    /// Sets the value of [`Platform::max_threads`](crate::Platform::max_threads).
    pub fn max_threads(mut self, max_threads: usize) -> Self {
        self.max_threads = max_threads;
        self
    }

    /// Sets the share of the CPUs that helpers may occupy, 0 to 100 percent.
    pub fn budget_percent(mut self, percent: u32) -> Self {
        self.budget_percent = percent;
        self
    }

    /// Sets the value of [`Platform::enabled`](crate::Platform::enabled).
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Names the threads: `name-0`, `name-1` and so on. The default is `ktask`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the size of each thread's stack in bytes, at least 16 384. The default is that of the
    /// standard library.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_bytes = Some(bytes);
        self
    }

    /// Sets whether each pool thread stays on one CPU of those that the process may use.
    ///
    /// It helps where the machine is the program's own. Beside other programs it costs: a thread
    /// waits for its CPU while another CPU is idle.
    pub fn pin(mut self, is_pinned: bool) -> Self {
        self.is_pinned = is_pinned;
        self
    }

    /// Makes the platform and starts its threads. If the system refuses to start a thread, the pool
    /// has fewer: see [`Hosted::threads`].
    ///
    /// # Panics
    ///
    /// With the error of [`try_build`](Self::try_build).
    #[must_use]
    pub fn build(self) -> Hosted {
        match self.try_build() {
            Ok(hosted) => hosted,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the platform and starts its threads, as [`build`](Self::build) does.
    ///
    /// # Errors
    ///
    /// A setting out of range, or a thread that cannot be bound to its CPUs.
    pub fn try_build(self) -> Result<Hosted, BuildError> {
        self.check()?;
        let allowed = affinity::allowed_cpus();
        let cpus = self.cpus.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZeroUsize::get));
        let (nodes, topology) = match self.nodes {
            Nodes::Count(nodes) => (nodes, None),
            Nodes::OfSystem => {
                let allowed = allowed.clone().unwrap_or_else(|| (0..cpus).collect());
                let topology = Topology::read(Path::new("/sys/devices/system"), &allowed);
                (topology.nodes(), Some(topology))
            }
        };
        let count = self.threads.unwrap_or(cpus);
        let pool = Arc::new(Pool::new(count));
        let places = self.places(allowed, topology.as_ref())?;
        let (bound, results) = mpsc::sync_channel(count);
        let threads: Vec<_> = (0..count)
            .map_while(|index| {
                let place = match places.get(index % places.len().max(1)) {
                    Some(place) => place.clone(),
                    None => Place { node: NodeId((index % nodes) as u32), cpus: Vec::new() },
                };
                let mut builder = thread::Builder::new().name(std::format!("{}-{index}", self.name));
                if let Some(bytes) = self.stack_bytes {
                    builder = builder.stack_size(bytes);
                }
                let (pool, bound) = (pool.clone(), bound.clone());
                builder.spawn(move || serve(&pool, &place, &bound)).ok()
            })
            .collect();
        let budget = Budget::new();
        if budget.set_percent(self.budget_percent).is_err() {
            unreachable!("the share was checked");
        }
        let inner = Inner {
            pool,
            cpus,
            nodes,
            topology,
            max_threads: self.max_threads,
            enabled: self.enabled,
            budget,
            wake_cost: WakeCost::new(),
            epoch: Instant::now(),
            threads,
        };
        // On an error, dropping `inner` ends the threads.
        for _ in 0..inner.threads.len() {
            results.recv().unwrap_or(Err(BuildError::PinUnsupported))?;
        }
        Ok(Hosted { inner: Arc::new(inner) })
    }

    fn check(&self) -> Result<(), BuildError> {
        if self.cpus == Some(0) {
            return Err(BuildError::CpusZero);
        }
        if let Nodes::Count(0) = self.nodes {
            return Err(BuildError::NodesZero);
        }
        if let Some(threads) = self.threads.filter(|&threads| threads > MAX_THREADS) {
            return Err(BuildError::TooManyThreads { threads });
        }
        if self.budget_percent > 100 {
            return Err(BuildError::BudgetOutOfRange { percent: self.budget_percent });
        }
        if let Some(bytes) = self.stack_bytes.filter(|&bytes| bytes < MIN_STACK_BYTES) {
            return Err(BuildError::StackTooSmall { bytes });
        }
        match self.name.bytes().position(|byte| byte == 0) {
            Some(index) => Err(BuildError::NameWithZero { index }),
            None => Ok(()),
        }
    }

    /// Returns the places of the pool threads, to be used in turn; none if threads are not bound.
    fn places(
        &self,
        allowed: Option<Vec<usize>>,
        topology: Option<&Topology>,
    ) -> Result<Vec<Place>, BuildError> {
        let on_cpu = |(cpu, node): (usize, usize)| Place { node: NodeId(node as u32), cpus: std::vec![cpu] };
        match (self.is_pinned, topology) {
            (true, Some(topology)) => Ok(topology.cpus_in_turn().into_iter().map(on_cpu).collect()),
            (true, None) => {
                let Nodes::Count(nodes) = self.nodes else { return Ok(Vec::new()) };
                let allowed = allowed.ok_or(BuildError::PinUnsupported)?;
                let place = |(index, cpu)| on_cpu((cpu, index % nodes));
                Ok(allowed.into_iter().enumerate().map(place).collect())
            }
            (false, Some(topology)) if topology.nodes() > 1 => {
                let of_node = |(_, node): (usize, usize)| Place {
                    node: NodeId(node as u32),
                    cpus: topology.cpus_of(node).to_vec(),
                };
                Ok(topology.cpus_in_turn().into_iter().map(of_node).collect())
            }
            _ => Ok(Vec::new()),
        }
    }
}

impl Hosted {
    /// Makes a pool with a thread per CPU of the process.
    ///
    /// If the operating system refuses to start a thread, the pool has fewer threads.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns the default settings, to be changed.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl Default for Hosted {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a pool thread runs.
#[derive(Clone, Debug)]
struct Place {
    node: NodeId,
    /// The CPUs that the thread is bound to; empty for all.
    cpus: Vec<usize>,
}

/// Runs a pool thread at `place`, and tells `bound` first whether it could be bound there.
fn serve(pool: &Pool<Hosted>, place: &Place, bound: &mpsc::SyncSender<Result<(), BuildError>>) {
    let result = match place.cpus.first() {
        None => Ok(()),
        Some(&cpu) => affinity::bind_this_thread(&place.cpus).map_err(|error| match error {
            Some(error) => BuildError::PinRefused { cpu, error },
            None => BuildError::PinUnsupported,
        }),
    };
    let is_bound = result.is_ok();
    // A builder that has seen another thread's error no longer listens.
    let _ = bound.send(result);
    if is_bound {
        NODE.set(Some(place.node));
        pool.serve(place.node);
    }
}
