//! Starts the other CPUs: all at once, each through its slot in the trampoline page.
//!
//! The boot CPU fills one page below 1 MiB, the trampoline: code, then a table of APIC ids and stage bytes. It sends INIT
//! and start-up interrupts to all CPUs and watches the stage bytes. A CPU finds its slot by its APIC id, so CPU numbers do
//! not depend on the order in which CPUs start. Slow emulation may lose a start-up interrupt, so silent CPUs get
//! more of them. CPUs that have started ignore these.
//!
//! When no CPU makes progress for the time allowed, the boot CPU closes the slots of the missing CPUs. It logs one line
//! for each. A CPU that starts later finds its slot closed and halts.

use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering::SeqCst};

use spin::Once;

use super::paging::{PageTables, Rights, phys_to_virt};
use super::percpu::{CpuId, MAX_CPUS};
use super::{apic, cpu, cpu_registers, percpu, trap, tsc, tsc_sync};

core::arch::global_asm!(include_str!("trampoline.s"));

unsafe extern "C" {
    static ap_trampoline_start: u8;
    static ap_trampoline_end: u8;
    static ap_long_mode: u8;
}

/// Bytes of memory below 1 MiB that the trampoline takes.
pub const TRAMPOLINE_BYTES: u64 = 4096;
/// Time after which silent CPUs get a second start-up interrupt. They get another each time that twice as long has passed: one
/// that comes before the CPU has handled INIT is lost, and a busy host may keep a virtual CPU from that for long.
const SECOND_STARTUP_AFTER_NS: u64 = 10_000_000;

/// How far a CPU has come in its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stage {
    /// The CPU has not reached the trampoline.
    Silent = 0,
    /// The CPU executes the trampoline.
    RealMode = 1,
    /// The CPU runs 64-bit code on the start-up page tables.
    LongMode = 2,
    /// The CPU runs Rust code on its idle stack.
    Rust = 3,
    /// The CPU has its tables and its APIC, and is about to run threads.
    Ready = 4,
    /// The boot CPU has given the CPU up.
    Abandoned = 0xff,
}

impl Stage {
    fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Silent,
            1 => Self::RealMode,
            2 => Self::LongMode,
            3 => Self::Rust,
            4 => Self::Ready,
            _ => Self::Abandoned,
        }
    }
}

impl core::fmt::Display for Stage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Silent => "silent",
            Self::RealMode => "real mode",
            Self::LongMode => "long mode",
            Self::Rust => "rust",
            Self::Ready => "ready",
            Self::Abandoned => "abandoned",
        })
    }
}

/// The trampoline page. The offsets are those in `trampoline.s`.
#[repr(C)]
struct TrampolinePage {
    code: [u8; 0x300],
    count: u16,
    pad: [u8; 6],
    cr3: u32,
    efer: u32,
    far_offset: u32,
    far_selector: u16,
    pad_2: u16,
    gdt_limit: u16,
    gdt_base: [u16; 2],
    pad_3: u16,
    gdt: [u64; 3],
    pad_4: u64,
    stages_high: u64,
    stacks: u64,
    entry: u64,
    pad_5: [u64; 21],
    ids: [u32; MAX_CPUS],
    stages: [AtomicU8; MAX_CPUS],
    refused: AtomicU16,
    tail: [u8; 0x1fe],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<TrampolinePage>() == TRAMPOLINE_BYTES as usize);
    assert!(offset_of!(TrampolinePage, count) == 0x300);
    assert!(offset_of!(TrampolinePage, cr3) == 0x308);
    assert!(offset_of!(TrampolinePage, efer) == 0x30c);
    assert!(offset_of!(TrampolinePage, far_offset) == 0x310);
    assert!(offset_of!(TrampolinePage, gdt_limit) == 0x318);
    assert!(offset_of!(TrampolinePage, gdt) == 0x320);
    assert!(offset_of!(TrampolinePage, stages_high) == 0x340);
    assert!(offset_of!(TrampolinePage, stacks) == 0x348);
    assert!(offset_of!(TrampolinePage, entry) == 0x350);
    assert!(offset_of!(TrampolinePage, ids) == 0x400);
    assert!(offset_of!(TrampolinePage, stages) == 0xc00);
    assert!(offset_of!(TrampolinePage, refused) == 0xe00);
};

const EFER_LONG_MODE: u32 = 1 << 8;
const EFER_NO_EXECUTE: u32 = 1 << 11;
const GDT_CODE_64: u64 = 0x00af_9b00_0000_ffff;
const GDT_DATA: u64 = 0x00cf_9300_0000_ffff;

/// Stack tops by CPU number, which the trampoline reads.
static STACK_TOPS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
static PAGE: Once<&'static TrampolinePage> = Once::new();
static KERNEL_ROOT: AtomicU64 = AtomicU64::new(0);
static AP_MAIN: Once<fn() -> !> = Once::new();

/// The inputs of [`start_others`].
pub struct StartUp<'a> {
    /// A free page frame below 1 MiB, which becomes the trampoline for good.
    pub trampoline_page: u64,
    /// The kernel's page tables.
    pub kernel_tables: &'a PageTables,
    /// Returns page frames below 4 GiB for the start-up page tables.
    pub alloc: &'a mut dyn FnMut() -> Option<u64>,
    /// Returns the stack on which a CPU starts and later idles.
    pub stack_top: &'a dyn Fn(CpuId) -> u64,
    /// The function that each CPU calls once it has its tables.
    pub ap_main: fn() -> !,
    /// CPUs that are not started, as if they were dead: for fault injection.
    pub leave_silent: [Option<usize>; 2],
    /// Longest time without progress.
    pub timeout_ns: u64,
}

/// Starts every registered CPU but the boot CPU, and returns how many started. Logs each missing CPU with its number,
/// APIC id and last stage.
///
/// # Safety
/// 1. Runs once, on the boot CPU, and the per-CPU blocks of all CPUs are registered.
/// 2. `trampoline_page` and the stacks are not used for anything else.
pub unsafe fn start_others(mut start_up: StartUp<'_>) -> Result<usize, &'static str> {
    // SAFETY: the caller keeps the same preconditions.
    let page = unsafe { prepare_trampoline(&mut start_up) }?;
    let aps = || percpu::all().skip(1).filter(|cpu| !start_up.leave_silent.contains(&Some(cpu.id().index())));
    let local = apic::local();
    for cpu in aps() {
        local.send_init(cpu.apic_id());
    }
    let vector = (start_up.trampoline_page >> 12) as u8;
    for cpu in aps() {
        local.send_startup(cpu.apic_id(), vector);
    }
    let started = wait_for_all(page, start_up.timeout_ns, || {
        for cpu in aps().filter(|cpu| stage_of(page, cpu.id()) == Stage::Silent) {
            local.send_startup(cpu.apic_id(), vector);
        }
    });
    tsc_sync::serve_all(percpu::all().skip(1).filter(|cpu| stage_of(page, cpu.id()) == Stage::Ready));
    Ok(started)
}

/// Starts a CPU that was given up, as if its first start-up interrupt had arrived late: for fault injection.
pub fn start_late(cpu: &percpu::PerCpu) {
    let Some(page) = PAGE.get() else { return };
    let address = core::ptr::from_ref(*page) as u64;
    let vector = ((address - phys_to_virt(0)) >> 12) as u8;
    apic::local().send_init(cpu.apic_id());
    apic::local().send_startup(cpu.apic_id(), vector);
}

/// Returns how many CPUs have found their slot closed.
pub fn refused_count() -> u16 {
    PAGE.get().map_or(0, |page| page.refused.load(SeqCst))
}

/// Whether the CPU has started and runs threads or is about to.
pub fn is_ready(cpu: &percpu::PerCpu) -> bool {
    PAGE.get().is_some_and(|page| stage_of(page, cpu.id()) == Stage::Ready)
}

/// Whether the boot CPU has given the CPU up.
pub fn is_abandoned(cpu: &percpu::PerCpu) -> bool {
    PAGE.get().is_some_and(|page| stage_of(page, cpu.id()) == Stage::Abandoned)
}

fn stage_of(page: &TrampolinePage, id: CpuId) -> Stage {
    Stage::from_byte(page.stages[id.index()].load(SeqCst))
}

/// Waits until every CPU is ready or no stage has changed for `timeout_ns`, and returns how many are ready. Calls
/// `retry` if some are missing after [`SECOND_STARTUP_AFTER_NS`], and each time that twice as long has passed.
fn wait_for_all(page: &TrampolinePage, timeout_ns: u64, retry: impl Fn()) -> usize {
    let progress =
        || percpu::all().skip(1).map(|cpu| page.stages[cpu.id().index()].load(SeqCst) as usize).sum();
    let ready = || percpu::all().skip(1).filter(|cpu| stage_of(page, cpu.id()) == Stage::Ready).count();
    let expected = percpu::cpu_count() - 1;
    let start = tsc::now_ns();
    let mut retry_after_ns = SECOND_STARTUP_AFTER_NS;
    let (mut last_progress, mut last_change): (usize, u64) = (0, start);
    while ready() < expected {
        let now = tsc::now_ns();
        let progress_now = progress();
        if progress_now != last_progress {
            (last_progress, last_change) = (progress_now, now);
        } else if now - last_change > timeout_ns {
            break;
        }
        if now - start > retry_after_ns {
            retry_after_ns *= 2;
            retry();
        }
        cpu::relax();
    }
    percpu::all().skip(1).filter(|cpu| !abandon_if_missing(page, cpu, timeout_ns)).count()
}

/// Closes the slot of a CPU that is not ready, and returns whether the CPU is missing.
fn abandon_if_missing(page: &TrampolinePage, cpu: &percpu::PerCpu, timeout_ns: u64) -> bool {
    let slot = &page.stages[cpu.id().index()];
    loop {
        let byte = slot.load(SeqCst);
        let stage = Stage::from_byte(byte);
        if stage == Stage::Ready {
            return false;
        }
        // The CPU changes its stage by compare-and-exchange, too: one of the two fails and sees the other's value.
        if slot.compare_exchange(byte, Stage::Abandoned as u8, SeqCst, SeqCst).is_ok() {
            let timeout_ms = timeout_ns / 1_000_000;
            crate::console::warning(format_args!(
                "cpu {} (apic id {}) did not start within {timeout_ms} ms, last stage: {stage}; going on without it",
                cpu.id(),
                cpu.apic_id(),
            ));
            return true;
        }
    }
}

/// Fills the trampoline page and publishes it.
///
/// # Safety
/// As for [`start_others`].
unsafe fn prepare_trampoline(start_up: &mut StartUp<'_>) -> Result<&'static TrampolinePage, &'static str> {
    let page = start_up.trampoline_page;
    assert!(page.is_multiple_of(4096) && page < 1 << 20, "the trampoline must be a page below 1 MiB");
    KERNEL_ROOT.store(start_up.kernel_tables.root(), SeqCst);
    AP_MAIN.call_once(|| start_up.ap_main);
    for cpu in percpu::all().skip(1) {
        STACK_TOPS[cpu.id().index()].store((start_up.stack_top)(cpu.id()), SeqCst);
    }

    let (code, code_end) = ((&raw const ap_trampoline_start) as u64, (&raw const ap_trampoline_end) as u64);
    let code_len = (code_end - code) as usize;
    assert!(code_len <= 0x300, "the trampoline's code must end before its data");
    let address = phys_to_virt(page);
    let long_mode = page + ((&raw const ap_long_mode) as u64 - code);
    // SAFETY:
    // 1. The physical map maps the page (invariant 11), and the caller gives it to this code alone (invariant 12).
    // 2. Every field is an integer or an array of integers, so any bytes are a valid value, zeros too.
    // 3. The source is the linked trampoline code, which is `code_len` bytes long and fits before the data.
    let filled = unsafe {
        (address as *mut u8).write_bytes(0, size_of::<TrampolinePage>());
        (address as *mut u8).copy_from_nonoverlapping(code as *const u8, code_len);
        &mut *(address as *mut TrampolinePage)
    };
    filled.count = percpu::cpu_count() as u16;
    filled.efer = EFER_LONG_MODE | if cpu::features().nx { EFER_NO_EXECUTE } else { 0 };
    filled.far_offset = long_mode as u32;
    filled.far_selector = 0x8;
    filled.gdt = [0, GDT_CODE_64, GDT_DATA];
    filled.gdt_limit = (size_of_val(&filled.gdt) - 1) as u16;
    let gdt_base = page as u32 + core::mem::offset_of!(TrampolinePage, gdt) as u32;
    filled.gdt_base = [gdt_base as u16, (gdt_base >> 16) as u16];
    filled.stages_high = address + core::mem::offset_of!(TrampolinePage, stages) as u64;
    filled.stacks = STACK_TOPS.as_ptr() as u64;
    filled.entry = ap_entry as *const () as u64;
    filled.ids = [u32::MAX; MAX_CPUS];
    for cpu in percpu::all().skip(1) {
        filled.ids[cpu.id().index()] = cpu.apic_id();
    }
    filled.cr3 = start_up_tables(start_up)?;
    let page: &'static TrampolinePage = filled;
    PAGE.call_once(|| page);
    Ok(page)
}

/// Builds the page tables for the instructions between paging on and [`ap_entry`]: the kernel's upper half, and the
/// trampoline page at its physical address.
fn start_up_tables(start_up: &mut StartUp<'_>) -> Result<u32, &'static str> {
    const NO_FRAME: &str = "no page frame below 4 GiB for the start-up page tables";
    let mut tables = PageTables::new(start_up.alloc).ok_or(NO_FRAME)?;
    tables.copy_upper_half(start_up.kernel_tables);
    let page = start_up.trampoline_page;
    tables.map(page, page, 4096, Rights::Code, start_up.alloc).map_err(|_| NO_FRAME)?;
    u32::try_from(tables.root()).map_err(|_| NO_FRAME)
}

/// Sets up a CPU that starts: its first Rust function, on its idle stack, with interrupts off.
extern "C" fn ap_entry(slot: usize) -> ! {
    let Some(page) = PAGE.get() else { cpu::halt_forever() };
    // Claim: fails if the boot CPU has closed the slot.
    let advance = |from: Stage, to: Stage| {
        let is_open = page.stages[slot].compare_exchange(from as u8, to as u8, SeqCst, SeqCst).is_ok();
        page.refused.fetch_add(u16::from(!is_open), SeqCst);
        is_open
    };
    if !advance(Stage::LongMode, Stage::Rust) {
        cpu::halt_forever();
    }
    let block = percpu::get(CpuId::new(slot).expect("slots are numbered as CPUs"));
    // SAFETY:
    // 1. The kernel's tables map the image, this stack and the physical map (invariant 11).
    // 2. The block is this CPU's, because the trampoline found the slot by APIC id.
    // 3. The block is registered, interrupts are off, and this code runs once on each CPU.
    unsafe {
        let root = x86_64::PhysAddr::new(KERNEL_ROOT.load(SeqCst));
        x86_64::registers::control::Cr3::write(
            x86_64::structures::paging::PhysFrame::containing_address(root),
            x86_64::registers::control::Cr3Flags::empty(),
        );
        block.activate();
    }
    trap::load();
    cpu_registers::init();
    apic::local().enable();
    if !advance(Stage::Rust, Stage::Ready) {
        cpu::halt_forever();
    }
    tsc_sync::join(block);
    let ap_main = AP_MAIN.get().expect("set before any CPU was started");
    ap_main()
}
