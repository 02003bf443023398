//! All parameters of the kernel. A test checks `docs/parameters.md` against this file.

use crate::kinds::{BoolParam, ChoiceParam, ListParam, OptionParam, SizeParam, TextParam, U64Param};
use crate::param::Param;

/// Most CPUs; CPU numbers are below it.
const MAX_CPUS: u64 = 512;
/// Highest count of a `fault.*` parameter.
const MOST_FAULTS: u64 = 1 << 40;

/// `ktask.enabled`.
pub static KTASK_ENABLED: BoolParam =
    BoolParam::new("ktask.enabled", true, "off: every job runs on its caller alone");
/// `ktask.max_threads`.
pub static KTASK_MAX_THREADS: U64Param = U64Param::new(
    "ktask.max_threads",
    0,
    0..=MAX_CPUS,
    "most threads for one job, including its caller; 0: limited by the CPUs and the job alone",
);
/// `cpu.disable`.
pub static CPU_DISABLE: TextParam = TextParam::new(
    "cpu.disable",
    "none",
    "none, or some of x2apic|tsc-deadline|tsc-adjust|avx|sse-stores|clzero|pages-1g|nx|machine-check|pat, separated by commas",
    |value| crate::cpu_features::parse(value).is_some(),
    "CPU features that the kernel does not use, not even for measurements",
);
/// `smp.max_cpus`.
pub static SMP_MAX_CPUS: U64Param =
    U64Param::new("smp.max_cpus", MAX_CPUS, 1..=MAX_CPUS, "most CPUs to start, including the boot CPU");
/// `smp.ap_timeout_ms`.
pub static SMP_AP_TIMEOUT_MS: U64Param = U64Param::new(
    "smp.ap_timeout_ms",
    2000,
    10..=60_000,
    "time without progress of any starting CPU after which the boot continues without the missing CPUs",
);
/// `watchdog.timeout_ms`.
pub static WATCHDOG_TIMEOUT_MS: U64Param = U64Param::new(
    "watchdog.timeout_ms",
    20_000,
    0..=600_000,
    "time after which the run ends because a CPU takes no interrupt, or runs one thread past its slice while others wait; 0: no watchdog",
);
/// `pool.max_workers`.
pub static POOL_MAX_WORKERS: U64Param = U64Param::new(
    "pool.max_workers",
    0,
    0..=4096,
    "most workers of each worker pool; 0: four for each of its CPUs. A pool has more workers than CPUs only while workers are blocked",
);
/// `pool.keep_workers`.
pub static POOL_KEEP_WORKERS: U64Param = U64Param::new(
    "pool.keep_workers",
    1,
    0..=4096,
    "workers that each pool keeps, however long they are idle",
);
/// `pool.idle_ms`.
pub static POOL_IDLE_MS: U64Param =
    U64Param::new("pool.idle_ms", 5000, 1..=3_600_000, "idle time after which a worker is retired");
/// `idle.poll_us`.
pub static IDLE_POLL_US: U64Param = U64Param::new(
    "idle.poll_us",
    200,
    0..=10_000,
    "longest time for which an idle CPU polls before it halts, in microseconds; it polls for less where no thread comes in time, and not at all on a busy host or as the only CPU; 0: it halts at once",
);
/// `log.level`.
pub static LOG_LEVEL: ChoiceParam = ChoiceParam::new(
    "log.level",
    &["off", "error", "warn", "info", "debug", "trace"],
    3,
    "lowest level of messages that the serial console shows",
);
/// `console.screen`.
pub static CONSOLE_SCREEN: ChoiceParam = ChoiceParam::new(
    "console.screen",
    &["auto", "on", "off"],
    0,
    "whether the log is on the screen too; auto: if the loader gives a framebuffer, drawn beside the boot; on: the same, but each early line is drawn at once, and a warning if there is no framebuffer; off: the loader's picture stays",
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
    "what the kernel runs after boot; PATTERN is a part of the name of a test or benchmark, or several separated by commas",
);
/// `memory.early`.
pub static MEMORY_EARLY: SizeParam = SizeParam::new(
    "memory.early",
    64 << 20,
    0..=1 << 40,
    "free memory to initialise before the other CPUs start; all CPUs initialise the rest, and memory needed earlier is initialised on demand",
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
    "memory nodes from which the pools of huge pages grow",
);
/// `huge.all_or_nothing`.
pub static HUGE_ALL_OR_NOTHING: BoolParam = BoolParam::new(
    "huge.all_or_nothing",
    false,
    "on: a pool that cannot grow to the requested size does not grow at all",
);
/// `timing.bytes`.
pub static TIMING_BYTES: SizeParam = SizeParam::new(
    "timing.bytes",
    256 << 20,
    2 << 20..=1 << 40,
    "memory that each timed job works on; less if the machine has less",
);
/// `timing.untouched_bytes`.
pub static TIMING_UNTOUCHED_BYTES: SizeParam = SizeParam::new(
    "timing.untouched_bytes",
    64 << 30,
    2 << 20..=1 << 40,
    "memory whose descriptors each timed job works on that touches nothing else of it; less if the machine has less",
);
/// `timing.threads`.
pub static TIMING_THREADS: ListParam = ListParam::new(
    "timing.threads",
    1..=MAX_CPUS as u32,
    "thread counts to time; empty: 1, 2, 4, ... and the number of CPUs",
);
/// `timing.repeat`.
pub static TIMING_REPEAT: U64Param =
    U64Param::new("timing.repeat", 3, 1..=100, "runs of each timed job; the run of median time is reported");
/// `zero.method`.
pub static ZERO_METHOD: ChoiceParam = ChoiceParam::new(
    "zero.method",
    &["auto", "stosb", "stosq", "movnti", "sse2-nt", "avx-nt", "clzero"],
    0,
    "instruction that clears pages; auto: the fastest in a measurement at boot",
);
/// `zero.pool_pages`.
pub static ZERO_POOL_PAGES: U64Param = U64Param::new(
    "zero.pool_pages",
    256,
    0..=1 << 20,
    "pre-zeroed pages that idle CPUs keep ready on each memory node",
);
/// `file_cache.pages`.
pub static FILE_CACHE_PAGES: U64Param = U64Param::new(
    "file_cache.pages",
    1 << 30,
    0..=1 << 30,
    "most pages of closed files that stay in memory; a lower number evicts the rest at once, memory shortage any of them",
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
    "on: trace from the time when all CPUs are up, and write the trace to the record port at the end of the run",
);
/// `trace.tail`.
pub static TRACE_TAIL: BoolParam = BoolParam::new(
    "trace.tail",
    false,
    "on: each CPU keeps its last events while the trace is off, for the report of a failure",
);
/// `trace.events`.
pub static TRACE_EVENTS: TextParam = TextParam::new(
    "trace.events",
    "all",
    "all, or some of switch|wake|migrate|ipi|interrupt|halt|job|chunk|pool|fault|hotplug, separated by commas",
    |value| crate::trace_events::parse(value).is_some(),
    "classes of events to trace",
);
/// `trace.buffer_events`.
pub static TRACE_BUFFER_EVENTS: U64Param = U64Param::new(
    "trace.buffer_events",
    16_384,
    16..=1 << 24,
    "events of 32 bytes that each CPU keeps, rounded up to a power of two; cannot change once tracing was on",
);
/// `chaos.seed`.
pub static CHAOS_SEED: OptionParam = OptionParam::new(
    "chaos.seed",
    0..=u32::MAX as u64,
    "debug builds delay CPUs, preempt threads and interrupt CPUs at random, as this seed says; none: they do not",
);
/// `chaos.seeds`.
pub static CHAOS_SEEDS: U64Param = U64Param::new(
    "chaos.seeds",
    1,
    1..=1 << 20,
    "times that run=test repeats its tests, with chaos.seed and the seeds that follow it",
);
/// `fault.ap_silent`.
pub static FAULT_AP_SILENT: OptionParam =
    OptionParam::new("fault.ap_silent", 1..=MAX_CPUS - 1, "CPU that is not started, as if it were broken");
/// `fault.ap_late`.
pub static FAULT_AP_LATE: OptionParam = OptionParam::new(
    "fault.ap_late",
    1..=MAX_CPUS - 1,
    "CPU that does not start in time, is given up, and starts to execute after boot",
);
/// `fault.vector_garbage`.
pub static FAULT_VECTOR_GARBAGE: BoolParam = BoolParam::new(
    "fault.vector_garbage",
    false,
    "on: fills each CPU's vector registers with garbage before the kernel clears them, as firmware may leave them",
);
/// `fault.tsc_hz`.
pub static FAULT_TSC_HZ: OptionParam = OptionParam::new(
    "fault.tsc_hz",
    1_000_000..=100_000_000_000,
    "rate of the TSC that CPUID leaf 0x15 is taken to report",
);
/// `fault.tsc_offset`.
pub static FAULT_TSC_OFFSET: OptionParam = OptionParam::new(
    "fault.tsc_offset",
    1..=MAX_CPUS - 1,
    "CPU whose TSC is set ahead when it starts; if it cannot be set, the measurement acts as if it were",
);
/// `fault.helper_spawn`.
pub static FAULT_HELPER_SPAWN: OptionParam = OptionParam::new(
    "fault.helper_spawn",
    1..=MOST_FAULTS,
    "the Nth and all later requests for a helper fail",
);
/// `fault.worker_spawn`.
pub static FAULT_WORKER_SPAWN: OptionParam = OptionParam::new(
    "fault.worker_spawn",
    1..=MOST_FAULTS,
    "the Nth and all later attempts to create a worker thread fail",
);
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
    "initialisation of the page descriptors of the Nth section of memory fails",
);
/// `fault.map`.
pub static FAULT_MAP: OptionParam = OptionParam::new(
    "fault.map",
    1..=MOST_FAULTS,
    "the Nth mapping of a huge page into a file fails, counted from the end of the boot",
);
/// `fault.evict`.
pub static FAULT_EVICT: OptionParam = OptionParam::new(
    "fault.evict",
    1..=MOST_FAULTS,
    "a job that evicts pages of closed files ends at the Nth page, counted from the end of the boot",
);
/// `fault.test`.
pub static FAULT_TEST: OptionParam = OptionParam::new(
    "fault.test",
    1..=MOST_FAULTS,
    "the Nth in-kernel test of a run fails, instead of running",
);
/// `fault.panic_cpu`.
pub static FAULT_PANIC_CPU: OptionParam =
    OptionParam::new("fault.panic_cpu", 0..=MAX_CPUS - 1, "CPU on which a thread panics after boot");
/// `fault.stack_overflow`.
pub static FAULT_STACK_OVERFLOW: OptionParam = OptionParam::new(
    "fault.stack_overflow",
    0..=MAX_CPUS - 1,
    "CPU on which a thread overflows its stack after boot",
);
/// `fault.hang_cpu`.
pub static FAULT_HANG_CPU: OptionParam = OptionParam::new(
    "fault.hang_cpu",
    0..=MAX_CPUS - 1,
    "CPU that stops with interrupts off after boot; a job then waits for it for ever",
);
/// `fault.hog_cpu`.
pub static FAULT_HOG_CPU: OptionParam = OptionParam::new(
    "fault.hog_cpu",
    0..=MAX_CPUS - 1,
    "CPU on which a thread keeps all others waiting after boot: with interrupts on, but none delivered",
);
/// `fault.report`.
pub static FAULT_REPORT: ChoiceParam = ChoiceParam::new(
    "fault.report",
    &["none", "panic", "exception", "nmi"],
    0,
    "what interrupts the report of a failure, on the reporting CPU, after its first steps",
);
/// `fault.ioapic_open`.
pub static FAULT_IOAPIC_OPEN: BoolParam = BoolParam::new(
    "fault.ioapic_open",
    false,
    "on: opens a pin of each I/O APIC before the kernel takes it over, as firmware may leave it",
);
/// `fault.sci_storm`.
pub static FAULT_SCI_STORM: BoolParam = BoolParam::new(
    "fault.sci_storm",
    false,
    "on: ACPI's system control interrupt comes without end, from a source without a handler, the PM timer",
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
    "forbidden use of locks, threads or memory by a thread after boot; debug builds detect it",
);

/// All parameters, in the order of the documentation.
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
    &IDLE_POLL_US,
    &LOG_LEVEL,
    &CONSOLE_SCREEN,
    &MEMORY_EARLY,
    &HUGE_2M,
    &HUGE_1G,
    &HUGE_POLICY,
    &HUGE_ALL_OR_NOTHING,
    &TIMING_BYTES,
    &TIMING_UNTOUCHED_BYTES,
    &TIMING_THREADS,
    &TIMING_REPEAT,
    &ZERO_METHOD,
    &ZERO_POOL_PAGES,
    &FILE_CACHE_PAGES,
    &POWER_RESET,
    &TRACE_ENABLED,
    &TRACE_TAIL,
    &TRACE_EVENTS,
    &TRACE_BUFFER_EVENTS,
    &CHAOS_SEED,
    &CHAOS_SEEDS,
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
    &FAULT_EVICT,
    &FAULT_TEST,
    &FAULT_PANIC_CPU,
    &FAULT_STACK_OVERFLOW,
    &FAULT_HANG_CPU,
    &FAULT_HOG_CPU,
    &FAULT_REPORT,
    &FAULT_IOAPIC_OPEN,
    &FAULT_SCI_STORM,
    &FAULT_MISUSE,
];

/// Parameters that are only read during boot: later changes would have no effect.
pub static AT_BOOT_ONLY: &[&dyn Param] = &[
    &RUN,
    &CPU_DISABLE,
    &SMP_MAX_CPUS,
    &SMP_AP_TIMEOUT_MS,
    &WATCHDOG_TIMEOUT_MS,
    &POOL_MAX_WORKERS,
    &CONSOLE_SCREEN,
    &MEMORY_EARLY,
    &ZERO_METHOD,
    &TRACE_ENABLED,
    &TRACE_TAIL,
    &CHAOS_SEED,
    &CHAOS_SEEDS,
    &FAULT_AP_SILENT,
    &FAULT_AP_LATE,
    &FAULT_VECTOR_GARBAGE,
    &FAULT_TSC_HZ,
    &FAULT_TSC_OFFSET,
    &FAULT_SECTION,
    &FAULT_TEST,
    &FAULT_PANIC_CPU,
    &FAULT_STACK_OVERFLOW,
    &FAULT_HANG_CPU,
    &FAULT_HOG_CPU,
    &FAULT_IOAPIC_OPEN,
    &FAULT_SCI_STORM,
    &FAULT_MISUSE,
];

/// Parameters that are read each time they are used: a change needs nothing else.
pub static READ_WHEN_USED: &[&dyn Param] = &[
    &KTASK_ENABLED,
    &KTASK_MAX_THREADS,
    &HUGE_POLICY,
    &HUGE_ALL_OR_NOTHING,
    &TIMING_BYTES,
    &TIMING_UNTOUCHED_BYTES,
    &TIMING_THREADS,
    &TIMING_REPEAT,
    &IDLE_POLL_US,
    &POWER_RESET,
    &FAULT_REPORT,
];

/// Parameters whose change has to be applied. The kernel's `sysctl` has a function for each.
pub static APPLIED_WHEN_CHANGED: &[&dyn Param] = &[
    &POOL_KEEP_WORKERS,
    &POOL_IDLE_MS,
    &LOG_LEVEL,
    &HUGE_2M,
    &HUGE_1G,
    &ZERO_POOL_PAGES,
    &TRACE_EVENTS,
    &TRACE_BUFFER_EVENTS,
    &FAULT_HELPER_SPAWN,
    &FAULT_WORKER_SPAWN,
    &FAULT_ALLOC,
    &FAULT_MAP,
    &FAULT_EVICT,
    &FILE_CACHE_PAGES,
];

/// Returns whether `param` is only read during boot.
pub fn is_at_boot_only(param: &dyn Param) -> bool {
    AT_BOOT_ONLY.iter().any(|other| other.name() == param.name())
}
