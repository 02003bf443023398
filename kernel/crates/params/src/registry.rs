//! Every parameter of the kernel. `docs/parameters.md` is checked against this.

use crate::kinds::{BoolParam, ChoiceParam, ListParam, OptionParam, SizeParam, TextParam, U64Param};
use crate::param::Param;

/// Most CPUs that a parameter can speak of; CPU numbers are below it.
const MAX_CPUS: u64 = 512;
/// Most events that a `fault.*` parameter can count to.
const MOST_FAULTS: u64 = 1 << 40;

/// `ktask.enabled`.
pub static KTASK_ENABLED: BoolParam = BoolParam::new(
    "ktask.enabled",
    true,
    "off: every job runs on its caller alone, as with the seed's CONFIG_KTASK=n",
);
/// `ktask.max_threads`.
pub static KTASK_MAX_THREADS: U64Param = U64Param::new(
    "ktask.max_threads",
    0,
    0..=MAX_CPUS,
    "most threads for one job, the caller among them; 0: no limit but the CPUs and the job's own",
);
/// `cpu.disable`.
pub static CPU_DISABLE: TextParam = TextParam::new(
    "cpu.disable",
    "none",
    "none, or of x2apic|tsc-deadline|tsc-adjust|avx|sse-stores|clzero|pages-1g|nx|machine-check|pat some with commas between",
    |value| crate::cpu_features::parse(value).is_some(),
    "features of the CPU that the kernel never uses, not even to measure them",
);
/// `smp.max_cpus`.
pub static SMP_MAX_CPUS: U64Param =
    U64Param::new("smp.max_cpus", MAX_CPUS, 1..=MAX_CPUS, "most CPUs to start, the boot CPU among them");
/// `smp.ap_timeout_ms`.
pub static SMP_AP_TIMEOUT_MS: U64Param = U64Param::new(
    "smp.ap_timeout_ms",
    2000,
    10..=60_000,
    "how long no CPU may make progress in starting before the boot goes on without the missing ones",
);
/// `watchdog.timeout_ms`.
pub static WATCHDOG_TIMEOUT_MS: U64Param = U64Param::new(
    "watchdog.timeout_ms",
    20_000,
    0..=600_000,
    "how long a CPU may answer no interrupt, or run one thread without end of a slice while others wait, before the run ends; 0: not watched",
);
/// `pool.max_workers`.
pub static POOL_MAX_WORKERS: U64Param = U64Param::new(
    "pool.max_workers",
    0,
    0..=4096,
    "most workers of each worker pool, from the boot on; 0: four for each of its CPUs. More than one for each CPU there are only while others are blocked",
);
/// `pool.keep_workers`.
pub static POOL_KEEP_WORKERS: U64Param =
    U64Param::new("pool.keep_workers", 1, 0..=4096, "workers that each pool keeps however long they idle");
/// `pool.idle_ms`.
pub static POOL_IDLE_MS: U64Param =
    U64Param::new("pool.idle_ms", 5000, 1..=3_600_000, "how long a worker may idle before it is retired");
/// `log.level`.
pub static LOG_LEVEL: ChoiceParam = ChoiceParam::new(
    "log.level",
    &["off", "error", "warn", "info", "debug", "trace"],
    3,
    "least severe message that the serial console shows",
);
/// `run`.
pub static RUN: TextParam = TextParam::new(
    "run",
    "timing",
    "timing|test|test:PATTERN|bench|bench:PATTERN|shell|none",
    |value| {
        let pattern = || value.strip_prefix("test:").or(value.strip_prefix("bench:"));
        matches!(value, "timing" | "test" | "bench" | "shell" | "none")
            || pattern().is_some_and(|pattern| !pattern.is_empty())
    },
    "what to do once the machine is up; PATTERN is a part of a test's or benchmark's name, or several with commas between",
);
/// `memory.early`.
pub static MEMORY_EARLY: SizeParam = SizeParam::new(
    "memory.early",
    64 << 20,
    0..=1 << 40,
    "free memory to initialise before all CPUs do the rest; what is missing then is initialised on demand",
);
/// `huge.2m`.
pub static HUGE_2M: U64Param =
    U64Param::new("huge.2m", 0, 0..=1 << 30, "huge pages of 2 MiB to keep in the pool");
/// `huge.1g`.
pub static HUGE_1G: U64Param =
    U64Param::new("huge.1g", 0, 0..=1 << 20, "huge pages of 1 GiB to keep in the pool");
/// `huge.policy`.
pub static HUGE_POLICY: TextParam = TextParam::new(
    "huge.policy",
    "local",
    "local|preferred:NODE|interleave|interleave:NODE,...|bind:NODE,...",
    |value| crate::node_policy::parse(value).is_some(),
    "memory nodes that huge pages come from when their pools grow",
);
/// `huge.all_or_nothing`.
pub static HUGE_ALL_OR_NOTHING: BoolParam = BoolParam::new(
    "huge.all_or_nothing",
    false,
    "on: a pool that cannot grow to its wanted size does not grow at all",
);
/// `timing.bytes`.
pub static TIMING_BYTES: SizeParam = SizeParam::new(
    "timing.bytes",
    256 << 20,
    2 << 20..=1 << 40,
    "memory that each timed job works on; less where the machine has less",
);
/// `timing.threads`.
pub static TIMING_THREADS: ListParam = ListParam::new(
    "timing.threads",
    1..=MAX_CPUS as u32,
    "thread counts to time; empty: 1, 2, 4, ... and the number of CPUs",
);
/// `timing.repeat`.
pub static TIMING_REPEAT: U64Param =
    U64Param::new("timing.repeat", 3, 1..=100, "runs of each timed job; the one of median time is reported");
/// `zero.method`.
pub static ZERO_METHOD: ChoiceParam = ChoiceParam::new(
    "zero.method",
    &["auto", "stosb", "stosq", "movnti", "sse2-nt", "avx-nt", "clzero"],
    0,
    "instruction that clears pages; auto: the fastest in a short measurement at boot",
);
/// `zero.pool_pages`.
pub static ZERO_POOL_PAGES: U64Param = U64Param::new(
    "zero.pool_pages",
    256,
    0..=1 << 20,
    "pre-zeroed pages that idle CPUs keep ready on each memory node",
);
/// `power.reset`.
pub static POWER_RESET: BoolParam = BoolParam::new(
    "power.reset",
    true,
    "on: a machine that cannot be powered off is reset at the end; off: it stays on",
);
/// `trace.enabled`.
pub static TRACE_ENABLED: BoolParam = BoolParam::new(
    "trace.enabled",
    false,
    "on: trace from when all CPUs are up, and write the trace to the record port at the end of the run",
);
/// `trace.events`.
pub static TRACE_EVENTS: TextParam = TextParam::new(
    "trace.events",
    "all",
    "all, or of switch|wake|migrate|ipi|interrupt|halt|job|chunk|pool|fault|hotplug some with commas between",
    |value| crate::trace_events::parse(value).is_some(),
    "classes of events to trace, read when tracing is switched on",
);
/// `trace.buffer_events`.
pub static TRACE_BUFFER_EVENTS: U64Param = U64Param::new(
    "trace.buffer_events",
    16_384,
    16..=1 << 24,
    "events of 32 bytes that each CPU keeps, rounded up to a power of two; read when tracing is first switched on",
);
/// `fault.ap_silent`.
pub static FAULT_AP_SILENT: OptionParam =
    OptionParam::new("fault.ap_silent", 1..=MAX_CPUS - 1, "CPU that is not started, as if it were dead");
/// `fault.ap_late`.
pub static FAULT_AP_LATE: OptionParam = OptionParam::new(
    "fault.ap_late",
    1..=MAX_CPUS - 1,
    "CPU that is not started in time, is given up, and starts executing once the machine is up",
);
/// `fault.vector_garbage`.
pub static FAULT_VECTOR_GARBAGE: BoolParam = BoolParam::new(
    "fault.vector_garbage",
    false,
    "on: each CPU's vector registers hold garbage until the kernel clears them, as firmware may leave them",
);
/// `fault.tsc_hz`.
pub static FAULT_TSC_HZ: OptionParam = OptionParam::new(
    "fault.tsc_hz",
    1_000_000..=100_000_000_000,
    "rate that CPUID leaf 0x15 is taken to tell of the TSC, right or wrong",
);
/// `fault.tsc_offset`.
pub static FAULT_TSC_OFFSET: OptionParam = OptionParam::new(
    "fault.tsc_offset",
    1..=MAX_CPUS - 1,
    "CPU whose TSC is set ahead when it starts; where it cannot be set, it is measured as if it were",
);
/// `fault.helper_spawn`.
pub static FAULT_HELPER_SPAWN: OptionParam =
    OptionParam::new("fault.helper_spawn", 1..=MOST_FAULTS, "from the Nth on, no helper can be had");
/// `fault.worker_spawn`.
pub static FAULT_WORKER_SPAWN: OptionParam =
    OptionParam::new("fault.worker_spawn", 1..=MOST_FAULTS, "from the Nth on, no worker thread can be made");
/// `fault.alloc`.
pub static FAULT_ALLOC: OptionParam = OptionParam::new(
    "fault.alloc",
    1..=MOST_FAULTS,
    "the Nth page allocation by a job fails, counted from the end of the boot",
);
/// `fault.section`.
pub static FAULT_SECTION: OptionParam = OptionParam::new(
    "fault.section",
    1..=MOST_FAULTS,
    "the page descriptors of the Nth section of memory cannot be initialised when their turn comes",
);
/// `fault.map`.
pub static FAULT_MAP: OptionParam = OptionParam::new(
    "fault.map",
    1..=MOST_FAULTS,
    "the Nth mapping of a huge page into a file fails, counted from the end of the boot",
);
/// `fault.panic_cpu`.
pub static FAULT_PANIC_CPU: OptionParam = OptionParam::new(
    "fault.panic_cpu",
    0..=MAX_CPUS - 1,
    "CPU on which a thread panics once the machine is up",
);
/// `fault.stack_overflow`.
pub static FAULT_STACK_OVERFLOW: OptionParam = OptionParam::new(
    "fault.stack_overflow",
    0..=MAX_CPUS - 1,
    "CPU on which a thread overflows its stack once the machine is up",
);
/// `fault.hang_cpu`.
pub static FAULT_HANG_CPU: OptionParam = OptionParam::new(
    "fault.hang_cpu",
    0..=MAX_CPUS - 1,
    "CPU that stops with interrupts off once the machine is up; a job then waits for it for ever",
);
/// `fault.hog_cpu`.
pub static FAULT_HOG_CPU: OptionParam = OptionParam::new(
    "fault.hog_cpu",
    0..=MAX_CPUS - 1,
    "CPU that a thread keeps from others by letting no interrupt through, with interrupts on, once the machine is up",
);
/// `fault.report`.
pub static FAULT_REPORT: ChoiceParam = ChoiceParam::new(
    "fault.report",
    &["none", "panic", "exception", "nmi"],
    0,
    "what happens to the report of a failure, after its first steps, on the CPU that reports",
);
/// `fault.ioapic_open`.
pub static FAULT_IOAPIC_OPEN: BoolParam = BoolParam::new(
    "fault.ioapic_open",
    false,
    "on: before the kernel takes over the I/O APICs, an entry of each is open, as firmware may leave it",
);
/// `fault.sci_storm`.
pub static FAULT_SCI_STORM: BoolParam = BoolParam::new(
    "fault.sci_storm",
    false,
    "on: acpi's system control interrupt comes without end from a source that nothing handles, the PM timer",
);
/// `fault.misuse`.
pub static FAULT_MISUSE: ChoiceParam = ChoiceParam::new(
    "fault.misuse",
    &[
        "none",
        "lock-order",
        "lock-rank",
        "lock-twice",
        "unlock-elsewhere",
        "interrupts-on",
        "block-locked",
        "yield-locked",
        "block-uninterruptible",
        "job-locked",
        "mutex-order",
        "mutex-twice",
        "mutex-stranger",
        "mutex-of-caller",
        "join-self",
        "wait-own-item",
        "flush-own-pool",
        "write-after-free",
        "write-clean-page",
        "free-twice",
    ],
    0,
    "what a thread does with locks, threads or memory that it must not, once the machine is up; debug builds find it",
);

/// Every parameter, in the order in which people read them.
pub static ALL: &[&dyn Param] = &[
    &RUN,
    &KTASK_ENABLED,
    &KTASK_MAX_THREADS,
    &CPU_DISABLE,
    &SMP_MAX_CPUS,
    &SMP_AP_TIMEOUT_MS,
    &WATCHDOG_TIMEOUT_MS,
    &POOL_MAX_WORKERS,
    &POOL_KEEP_WORKERS,
    &POOL_IDLE_MS,
    &LOG_LEVEL,
    &MEMORY_EARLY,
    &HUGE_2M,
    &HUGE_1G,
    &HUGE_POLICY,
    &HUGE_ALL_OR_NOTHING,
    &TIMING_BYTES,
    &TIMING_THREADS,
    &TIMING_REPEAT,
    &ZERO_METHOD,
    &ZERO_POOL_PAGES,
    &POWER_RESET,
    &TRACE_ENABLED,
    &TRACE_EVENTS,
    &TRACE_BUFFER_EVENTS,
    &FAULT_AP_SILENT,
    &FAULT_AP_LATE,
    &FAULT_VECTOR_GARBAGE,
    &FAULT_TSC_HZ,
    &FAULT_TSC_OFFSET,
    &FAULT_HELPER_SPAWN,
    &FAULT_WORKER_SPAWN,
    &FAULT_ALLOC,
    &FAULT_SECTION,
    &FAULT_MAP,
    &FAULT_PANIC_CPU,
    &FAULT_STACK_OVERFLOW,
    &FAULT_HANG_CPU,
    &FAULT_HOG_CPU,
    &FAULT_REPORT,
    &FAULT_IOAPIC_OPEN,
    &FAULT_SCI_STORM,
    &FAULT_MISUSE,
];

/// Those that are read once, on the way up: changing them later would change nothing.
pub static AT_BOOT_ONLY: &[&dyn Param] = &[
    &RUN,
    &CPU_DISABLE,
    &SMP_MAX_CPUS,
    &SMP_AP_TIMEOUT_MS,
    &WATCHDOG_TIMEOUT_MS,
    &MEMORY_EARLY,
    &ZERO_METHOD,
    &TRACE_ENABLED,
    &FAULT_AP_SILENT,
    &FAULT_AP_LATE,
    &FAULT_VECTOR_GARBAGE,
    &FAULT_TSC_HZ,
    &FAULT_TSC_OFFSET,
    &FAULT_SECTION,
    &FAULT_PANIC_CPU,
    &FAULT_STACK_OVERFLOW,
    &FAULT_HANG_CPU,
    &FAULT_IOAPIC_OPEN,
    &FAULT_SCI_STORM,
    &FAULT_MISUSE,
];

/// Whether `param` is only read on the way up.
pub fn is_at_boot_only(param: &dyn Param) -> bool {
    AT_BOOT_ONLY.iter().any(|other| other.name() == param.name())
}
