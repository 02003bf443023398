//! The steps of the boot, in the order in which `main.rs` runs them.

mod screen;

pub use screen::screen;

use core::fmt::Display;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use alloc::boxed::Box;
use bootloader_api::BootInfo;
use firmware::memmap::MemoryMap;
use params::cpu_features::Feature;
use params::registry::{FAULT_AP_LATE, FAULT_AP_SILENT, SMP_AP_TIMEOUT_MS};
use protocol::record::Record;

use crate::arch::apic::{self, LocalApic};
use crate::arch::calibrate::reference::stop_pit_ticks;
use crate::arch::paging::PageTables;
use crate::arch::percpu::{self, CpuId, MAX_CPUS, PerCpu};
use crate::arch::smp::{self, StartUp};
use crate::arch::trap::{self, Hooks};
use crate::arch::{cpu, cpu_registers, handover, tlb, tsc, vector};
use crate::console::{self, records, warning};
use crate::jobs;
use crate::mm::early::EarlyMemory;
use crate::mm::{
    descriptors, heap, idle_help, page_cache, pages, space, stacks, stats, zero, zero_calibration,
};
use crate::platform::{self, Topology, nodes};
use crate::sched::Spawn;
use crate::{debug, power, sched, shell};

static HOOKS: Hooks = Hooks {
    timer: sched::timer_interrupt,
    reschedule: sched::reschedule_interrupt,
    flush_tlb: tlb::flush_here,
    serial: shell::input::interrupt,
    console: console_interrupt,
    sci: system_control_interrupt,
    interrupt_return: sched::interrupt_return,
    nmi: debug::nmi::handle,
    page_fault: jobs::huge_file::page_fault,
    fatal_exception: debug::panic::fatal_exception,
};

/// Handles the interrupt that says that lines wait for a port or for the screen.
fn console_interrupt() {
    debug::flusher::interrupt();
    debug::drawer::interrupt();
}

/// Handles ACPI's system control interrupt.
fn system_control_interrupt() {
    power::interrupt();
    shell::input::wake();
}

/// Sets up the boot CPU's block and registers, the interrupt hooks, the console and the parameters.
pub fn console_and_traps() {
    // SAFETY: the first call of the boot, made once, on the boot CPU. The entry code left interrupts off.
    unsafe { percpu::init_boot_cpu() };
    sched::attach_cpu(percpu::this_cpu());
    trap::install_hooks(&HOOKS);
    apic::mask_legacy_pics();
    stop_pit_ticks();
    console::init();
    let handover = handover::get();
    log::info!("ktask {}, entered by {}", env!("CARGO_PKG_VERSION"), handover.entry.name());
    if let Some(problem) = handover.problem {
        warning(format_args!("{problem}"));
    }
    console::apply_command_line();
    // After the command line, which may disable features.
    cpu_registers::init();
    zero::apply_parameter();
}

/// Reads the firmware's tables, and installs what drivers use later.
pub fn read_tables(boot_info: &BootInfo, map: &MemoryMap) -> Topology {
    let topology = platform::topology::read(boot_info.rsdp_addr.into_option(), map);
    platform::devices::install(&topology);
    if let Some(fixed_hardware) = &topology.fixed_hardware {
        platform::fixed_hardware::install(fixed_hardware);
    }
    topology
}

/// Replaces the loader's page tables by the kernel's, then sets up the heap.
pub fn own_page_tables(map: &'static MemoryMap) -> EarlyMemory {
    let usable_mib = map.total_usable_bytes() >> 20;
    log::info!("memory: {usable_mib} MiB usable, up to {:#x}", map.highest_usable_end());
    let start_ns = tsc::now_ns();
    // SAFETY: called once, while the boot CPU is alone (invariant 17).
    let mut early = unsafe { EarlyMemory::new(map) };
    // SAFETY: called once, while the boot CPU is alone (invariant 17) and still uses the boot map.
    let switched = unsafe { early.switch_to_own_tables() };
    switched.unwrap_or_else(|error| no_memory("the kernel's page tables", error));
    heap::init(&mut early).unwrap_or_else(|| no_memory("the heap", "too little memory"));
    records::phase("early/page-tables", tsc::since_ns(start_ns));
    early
}

/// Ends the boot, which cannot continue without this memory.
fn no_memory(what: &str, error: impl Display) -> ! {
    panic!("no memory for {what}: {error}")
}

/// Sets up I/O APICs, local APIC and clock.
pub fn clock_and_apic(topology: &Topology, early: &mut EarlyMemory) {
    let mut alloc = || early.alloc_page_below_4g();
    let access = if cpu::features().x2apic {
        LocalApic::X2Apic
    } else {
        let base = space::map_device(apic::xapic_physical_base(), &mut alloc);
        LocalApic::XApic { base: base.unwrap_or_else(|| no_memory("the local apic's mapping", "no table")) }
    };
    if cpu::features().x2apic && cpu::disabled().contains(Feature::X2Apic) {
        warning(format_args!("cpu.disable: this cpu does not leave x2apic mode; it is used"));
    }
    // SAFETY: x2APIC is used only where CPUID has it. Otherwise `map_device` has mapped the register page, uncached, for good.
    unsafe { apic::set_access(access) };
    let start_ticks = tsc::ticks();
    let mut map_device = |registers| space::map_device(registers, &mut alloc);
    // Before the local APIC takes interrupts: masks lines that firmware left unmasked.
    platform::io_apics::take_over(&topology.interrupts, &mut map_device);
    apic::local().enable();
    platform::clock::start(topology, &mut map_device);
    if let Some(fixed_hardware) = &topology.fixed_hardware {
        platform::fixed_hardware::map(fixed_hardware, &mut map_device);
    }
    records::phase("early/clock", tsc::ticks_to_ns(tsc::ticks().saturating_sub(start_ticks)));
}

/// The rest of the boot, with its inputs, which the main thread does.
pub struct Unfinished {
    trampoline_page: Option<u64>,
    /// Page frames below 4 GiB for the start-up page tables.
    low_pages: [Option<u64>; LOW_PAGES],
    apic_ids: Box<[u32]>,
    /// Number of usable CPUs that the firmware named.
    cpus_found: usize,
    memory_bytes: u64,
}

/// Page tables to start CPUs: a root, and three levels below it for one page.
const LOW_PAGES: usize = 4;

/// Maps the page descriptors, and initialises enough of them for the boot.
pub fn page_allocator(early: &mut EarlyMemory, topology: Topology) -> Unfinished {
    nodes::publish(topology.nodes);
    nodes::log(early.map);
    let memory_bytes = early.map.total_usable_bytes();
    let trampoline_page = early.trampoline_page();
    let low_pages = core::array::from_fn(|_| early.alloc_page_below_4g());
    let apic_ids = topology.cpus.apic_ids().into();
    let cpus_found = topology.cpus.found();
    let start_ns = tsc::now_ns();
    descriptors::map_array(early).unwrap_or_else(|error| no_memory("page descriptors", error));
    descriptors::init_early(early).unwrap_or_else(|error| panic!("early page init: {error}"));
    pages::init();
    idle_help::begin(descriptors::progress().unfinished());
    records::phase("memory-map-init/early", tsc::since_ns(start_ns));
    Unfinished { trampoline_page, low_pages, apic_ids, cpus_found, memory_bytes }
}

/// Makes the boot CPU run threads. The first thread continues the boot.
pub fn start_scheduler(unfinished: Unfinished, main: fn(Unfinished)) {
    if let Some(tops) = interrupt_stacks() {
        // SAFETY: runs on the boot CPU, which owns the block, with interrupts off. There is no other reference to its
        // segments.
        unsafe { percpu::this_cpu().replace_stacks(tops) };
    }
    sched::start_cpu();
    Spawn::new("main")
        .start(move || main(unfinished))
        .unwrap_or_else(|error| panic!("the first thread: {error}"));
    records::phase("early", tsc::now_ns());
}

/// Returns stacks with guard pages for double fault, NMI and machine check.
fn interrupt_stacks() -> Option<[u64; 3]> {
    let mut tops = [0; 3];
    for top in &mut tops {
        *top = stacks::new_for_interrupts()?;
    }
    Some(tops)
}

/// Displays the features that `cpu.disable` disables, as the end of a line; nothing if there are none.
struct NotUsed;

impl Display for NotUsed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, name) in cpu::disabled().names().enumerate() {
            write!(f, "{}{name}", if index == 0 { "; not used: " } else { ", " })?;
        }
        Ok(())
    }
}

/// Tops of the stacks on which the other CPUs start and idle, by CPU number.
static IDLE_STACKS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

impl Unfinished {
    /// Starts every CPU that the firmware named, and continues without the CPUs that do not start.
    pub fn start_cpus(&mut self) {
        let start_ns = tsc::now_ns();
        self.register_cpus();
        let expected = percpu::cpu_count();
        let started = if expected > 1 { self.start_others() } else { 0 };
        self.wait_until_online(1 + started);
        let ns = tsc::since_ns(start_ns);
        let online = percpu::online_count();
        log::info!("{online} of {expected} cpus online in {}.{:03} ms", ns / 1_000_000, ns / 1000 % 1000);
        records::phase("ap-start", ns);
    }

    /// Waits until the started CPUs run threads. Pings a CPU again that missed the ping that ends its halt. A CPU that
    /// stays away delays only itself, and the boot by the time that may pass without a CPU that comes.
    fn wait_until_online(&self, count: usize) {
        const PING_INTERVAL_NS: u64 = 10_000_000;
        let timeout_ns = SMP_AP_TIMEOUT_MS.get() * 1_000_000;
        let (mut came_ns, mut pinged_ns) = (tsc::now_ns(), tsc::now_ns());
        let mut missing = count;
        loop {
            // One look in each turn: a CPU may come between two.
            let missing_before =
                core::mem::replace(&mut missing, count.saturating_sub(percpu::online_count()));
            if missing == 0 {
                return;
            }
            if missing < missing_before {
                came_ns = tsc::now_ns();
            } else if tsc::since_ns(came_ns) > timeout_ns {
                warning(format_args!(
                    "{missing} cpus have started and run no threads yet; going on without them"
                ));
                return;
            }
            if tsc::since_ns(pinged_ns) > PING_INTERVAL_NS {
                pinged_ns = tsc::now_ns();
                for cpu in percpu::all().filter(|cpu| smp::is_ready(cpu) && !cpu.is_online()) {
                    apic::local().send_ipi(cpu.apic_id(), vector::PING);
                }
            }
            cpu::relax();
        }
    }

    /// Registers a block and stacks for each CPU but the boot CPU.
    fn register_cpus(&self) {
        for (number, apic_id) in self.apic_ids.iter().enumerate().skip(1) {
            let idle_stack = stacks::new_permanent();
            let (Some(idle_stack), Some(interrupt_stacks)) = (idle_stack, interrupt_stacks()) else {
                let missing = self.apic_ids.len() - number;
                warning(format_args!("no memory for the stacks of {missing} cpus; going on without them"));
                return;
            };
            let block = Box::leak(Box::new(PerCpu::new(number as u16, *apic_id)));
            let block = block.register(interrupt_stacks);
            page_cache::attach(block);
            sched::attach_cpu(block);
            IDLE_STACKS[number].store(idle_stack, SeqCst);
        }
    }

    /// Starts the registered CPUs, and returns how many started.
    fn start_others(&mut self) -> usize {
        let Some(trampoline_page) = self.trampoline_page else {
            warning(format_args!("no free page below 1 MiB to start cpus from; going on with one"));
            return 0;
        };
        let mut low_pages = self.low_pages.iter_mut();
        let start_up = StartUp {
            trampoline_page,
            kernel_tables: &PageTables::active(),
            alloc: &mut || low_pages.next()?.take(),
            stack_top: &|cpu: CpuId| IDLE_STACKS[cpu.index()].load(SeqCst),
            ap_main: || {
                sched::start_cpu();
                sched::idle_forever()
            },
            leave_silent: [FAULT_AP_SILENT.get(), FAULT_AP_LATE.get()].map(|cpu| Some(cpu? as usize)),
            timeout_ns: SMP_AP_TIMEOUT_MS.get() * 1_000_000,
        };
        // SAFETY: called once, on the boot CPU. All blocks are registered, and the page and the stacks were allocated for
        // this purpose.
        let started = unsafe { smp::start_others(start_up) };
        started.unwrap_or_else(|problem| {
            warning(format_args!("{problem}; going on with one cpu"));
            0
        })
    }

    /// Starts the console's threads, the worker pools and the helpers of jobs.
    pub fn start_workers(&self) {
        debug::flusher::start();
        debug::drawer::start();
        if let Err(error) = sched::pool::start() {
            warning(format_args!("not all worker threads could be started: {error}"));
        }
        jobs::helpers::init();
    }

    /// Initialises the deferred page descriptors: those that no idle CPU has initialised by now. The phase and the log count
    /// from the first of either.
    pub fn memory_map_init(&self) {
        let _hold = console::screen::hold();
        let start_ns = tsc::now_ns();
        jobs::memory_map_init::run_deferred();
        let (end_ns, help) = (tsc::now_ns(), idle_help::help());
        let ns = end_ns.saturating_sub(help.started_ns.map_or(start_ns, |first_ns| first_ns.min(start_ns)));
        if help.deferred > 0 {
            log::info!(
                "memory map: {} sections of 128 MiB deferred, done in {}.{:03} ms, {} of them by idle cpus; {} of {} MiB free",
                help.deferred,
                ns / 1_000_000,
                ns / 1000 % 1000,
                help.done,
                (stats::initialised_pages() * frames::PAGE_SIZE) >> 20,
                (descriptors::layout().described_pages() * frames::PAGE_SIZE) >> 20,
            );
        }
        if descriptors::grown_sections() > 0 {
            log::info!("memory map: {} sections were initialised on demand", descriptors::grown_sections());
        }
        records::phase("memory-map-init/waited", end_ns.saturating_sub(start_ns));
        records::phase("memory-map-init", ns);
    }

    /// Fills the pools of huge pages as the parameters say.
    pub fn reserve_huge_pages(&self) {
        let _hold = console::screen::hold();
        let start_ns = tsc::now_ns();
        if jobs::huge_pool::apply_parameters() {
            records::phase("huge-pool", tsc::since_ns(start_ns));
        }
    }

    /// Measures the methods to clear memory, and chooses the fastest.
    pub fn calibrate_zeroing(&self) {
        let _hold = console::screen::hold();
        let start_ns = tsc::now_ns();
        zero_calibration::calibrate();
        records::phase("zero-calibrate", tsc::since_ns(start_ns));
    }

    /// Reports the machine in the log and in the `boot` record.
    pub fn report(&self) {
        let (heap_used, heap_free) = heap::usage();
        log::debug!("heap: {heap_used} bytes used, {heap_free} free; {} threads", sched::thread_count());
        let (apic, timer, clock) = (apic::local().mode_name(), apic::timer_kind(), tsc::clock_source());
        let (found, online) = (self.cpus_found, percpu::online_count());
        log::info!(
            "{}: {apic}, {timer} timer, clock by {clock}; {online} of {found} cpus used{}",
            cpu::Name,
            NotUsed
        );
        records::emit(&Record::Boot {
            t_ns: tsc::now_ns(),
            version: env!("CARGO_PKG_VERSION"),
            entry: handover::get().entry,
            cpus_found: self.cpus_found as u32,
            cpus_online: online as u32,
            nodes: nodes::nodes().len() as u32,
            memory_bytes: self.memory_bytes,
            tsc_hz: tsc::hz(),
            apic,
            timer,
            clock,
        });
        records::phase("boot", tsc::now_ns());
    }
}
