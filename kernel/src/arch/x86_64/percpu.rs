//! Per-CPU data, reached through the GS segment base.
//!
//! Every CPU has one [`PerCpu`] block; its GS base points there from before
//! its interrupts first come on until power-off (invariants 1 and 2). The block
//! holds what the architecture needs and one opaque pointer, the current
//! thread; upper layers keep their own tables indexed by [`CpuId`].

use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst,
};

use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

use super::boot_cell::BootCell;
use super::segments::{INTERRUPT_STACKS, InterruptStackTops, Segments};

/// Most CPUs that the kernel can run.
pub const MAX_CPUS: usize = firmware::cpus::MAX_CPUS;

/// A CPU's dense number: 0 is the boot CPU, others follow in the firmware's
/// order. Below [`cpu_count`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuId(u16);

impl CpuId {
    /// The CPU with this number, if there is such a CPU.
    pub fn new(index: usize) -> Option<Self> {
        (index < cpu_count()).then_some(Self(index as u16))
    }

    /// The number, for tables.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl core::fmt::Display for CpuId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// What one CPU keeps to itself. Other CPUs only touch the atomics.
#[repr(C, align(128))]
pub struct PerCpu {
    /// This block's own address, so that `gs:0` finds it.
    this: *const PerCpu,
    /// The running thread; opaque here.
    current: AtomicPtr<()>,
    /// The CPU's cache of pages; opaque here.
    pages: AtomicPtr<()>,
    /// The CPU's part of the scheduler; opaque here.
    sched: AtomicPtr<()>,
    /// The current thread's number, for trace events; 0: no thread runs yet.
    current_tid: AtomicU32,
    id: CpuId,
    apic_id: u32,
    online: AtomicBool,
    /// Interrupts taken, for reports.
    pub interrupt_count: AtomicU64,
    /// When this CPU took its last ping, on the TSC.
    pub pinged_ticks: AtomicU64,
    /// Where this CPU was when another's panic stopped it; 0: was not stopped.
    pub stopped_rip: AtomicU64,
    /// Frame pointer at that place.
    pub stopped_rbp: AtomicU64,
    /// Segment tables and interrupt stacks; only this CPU's own code uses them.
    segments: UnsafeCell<Segments>,
}

// SAFETY: `this` and `id` are constant after construction, the atomics are for sharing, and `segments` is only
// touched by the owning CPU (`activate`, `replace_stacks`) or through the exclusive borrow that builds the block.
unsafe impl Sync for PerCpu {}

static BLOCKS: [AtomicPtr<PerCpu>; MAX_CPUS] = [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CPUS];
static COUNT: AtomicUsize = AtomicUsize::new(0);
static ONLINE_COUNT: AtomicU32 = AtomicU32::new(0);

impl PerCpu {
    /// A block for CPU number `index`, which [`register`](Self::register) puts
    /// into use.
    pub const fn new(index: u16, apic_id: u32) -> Self {
        Self {
            this: core::ptr::null(),
            current: AtomicPtr::new(core::ptr::null_mut()),
            pages: AtomicPtr::new(core::ptr::null_mut()),
            sched: AtomicPtr::new(core::ptr::null_mut()),
            current_tid: AtomicU32::new(0),
            id: CpuId(index),
            apic_id,
            online: AtomicBool::new(false),
            interrupt_count: AtomicU64::new(0),
            pinged_ticks: AtomicU64::new(0),
            stopped_rip: AtomicU64::new(0),
            stopped_rbp: AtomicU64::new(0),
            segments: UnsafeCell::new(Segments::new()),
        }
    }

    /// Enters the block into the table. CPU numbers are registered in order.
    pub fn register(&'static mut self, interrupt_stack_tops: InterruptStackTops) -> &'static Self {
        self.this = self;
        self.segments.get_mut().set_stacks(interrupt_stack_tops);
        let block: &'static Self = self;
        assert_eq!(block.id.index(), COUNT.load(SeqCst), "per-CPU blocks are registered in order");
        BLOCKS[block.id.index()].store(core::ptr::from_ref(block).cast_mut(), SeqCst);
        COUNT.fetch_add(1, SeqCst);
        block
    }

    /// Gives the CPU other interrupt stacks.
    ///
    /// # Safety
    /// 1. Runs on the CPU that owns the block, with interrupts off.
    /// 2. No other reference into `segments` is alive.
    pub unsafe fn replace_stacks(&self, tops: InterruptStackTops) {
        // SAFETY: by 1 and 2 this is the only access; the CPU reads the TSS at the next interrupt, none comes now.
        unsafe { (*self.segments.get()).set_stacks(tops) }
    }

    /// Makes this block the running CPU's own: GS base, segments, TSS.
    ///
    /// # Safety
    /// 1. Runs on the CPU with this block's APIC id, interrupts off, once.
    /// 2. The block is registered (so it is `'static` and filled in).
    pub unsafe fn activate(&'static self) {
        // SAFETY: by 2 the segments live for ever; by 1 nobody else uses them.
        unsafe { (*self.segments.get()).load() };
        // Loading segment registers may clear the base: after them.
        GsBase::write(VirtAddr::from_ptr(self));
    }

    /// The CPU's number.
    #[inline]
    pub fn id(&self) -> CpuId {
        self.id
    }

    /// The id by which interrupts are addressed to this CPU.
    pub fn apic_id(&self) -> u32 {
        self.apic_id
    }

    /// Sets what [`this_cpu_pages`] returns on this CPU.
    pub fn set_pages(&self, pages: *const ()) {
        self.pages.store(pages.cast_mut(), SeqCst);
    }

    /// Sets what [`this_cpu_sched`] returns on this CPU.
    pub fn set_sched(&self, sched: *const ()) {
        self.sched.store(sched.cast_mut(), SeqCst);
    }

    /// What [`current`] returns on this CPU.
    #[inline]
    pub fn current(&self) -> *mut () {
        // Relaxed: a CPU sets it for itself. Who asks about another CPU has waited for what keeps the thread alive.
        self.current.load(Relaxed)
    }

    /// Whether the CPU runs threads.
    pub fn is_online(&self) -> bool {
        self.online.load(SeqCst)
    }

    /// Counts the CPU among those that run threads.
    pub fn set_online(&self) {
        if !self.online.swap(true, SeqCst) {
            ONLINE_COUNT.fetch_add(1, SeqCst);
        }
    }

    /// Counts the CPU no more among those that run threads.
    pub fn set_offline(&self) {
        if self.online.swap(false, SeqCst) {
            ONLINE_COUNT.fetch_sub(1, SeqCst);
        }
    }
}

/// Gives the boot CPU its block, with interrupt stacks that have no guard pages
/// yet ([`PerCpu::replace_stacks`]).
///
/// # Safety
/// First of all, once, on the boot CPU, interrupts off.
pub unsafe fn init_boot_cpu() {
    #[repr(C, align(16))]
    struct EarlyStack([u8; 16 << 10]);
    static BLOCK: BootCell<PerCpu> = BootCell::new(PerCpu::new(0, 0));
    static STACKS: BootCell<[EarlyStack; INTERRUPT_STACKS]> =
        BootCell::new([const { EarlyStack([0; 16 << 10]) }; INTERRUPT_STACKS]);
    let first = (&raw const STACKS) as u64;
    let tops = core::array::from_fn(|index| first + (index as u64 + 1) * size_of::<EarlyStack>() as u64);
    // SAFETY: once, on the only running CPU, as the caller promises; the block is that CPU's own and now registered.
    unsafe {
        let block = BLOCK.take();
        block.apic_id = super::cpu::apic_id();
        block.register(tops).activate();
    }
}

/// The block of the CPU that runs this code. Unless the caller is pinned
/// (interrupts off, or a thread bound to its CPU), the answer may be stale by
/// the time it is used.
#[inline]
pub fn this_cpu() -> &'static PerCpu {
    let this: *const PerCpu;
    // SAFETY: GS points to this CPU's registered block whenever Rust code runs after `activate` (invariant 2), and
    // the block's first field is its own address.
    unsafe { core::arch::asm!("mov {}, gs:[0]", out(reg) this, options(nostack, preserves_flags, readonly)) };
    const _: () = assert!(offset_of!(PerCpu, this) == 0);
    // SAFETY: registered blocks are never freed.
    unsafe { &*this }
}

/// One load of a field of the running CPU's block, which is `$field`: an asm operand as wide as the field.
macro_rules! load_own {
    ($field:ident, $type:ty, $operand:literal) => {{
        let value: $type;
        // SAFETY: GS points to this CPU's registered block whenever Rust code runs after `activate` (invariant 2); the
        // offset is the field's own, which is as wide as the operand.
        unsafe {
            core::arch::asm!(
                concat!("mov {", $operand, "}, gs:[{offset}]"),
                out(reg) value,
                offset = const offset_of!(PerCpu, $field),
                options(nostack, preserves_flags, readonly)
            );
        }
        value
    }};
}

/// The number of the CPU that runs this. Stale as [`this_cpu`] may be.
#[inline(always)]
pub fn this_cpu_id() -> CpuId {
    const _: () = assert!(size_of::<CpuId>() == 2);
    CpuId(load_own!(id, u16, "0:x"))
}

/// What [`PerCpu::set_pages`] was given for the CPU that runs this: one load.
/// Stale as [`this_cpu`] may be.
#[inline(always)]
pub fn this_cpu_pages() -> *const () {
    load_own!(pages, *const (), "0")
}

/// What [`PerCpu::set_sched`] was given for the CPU that runs this: one load.
/// Stale as [`this_cpu`] may be.
#[inline(always)]
pub fn this_cpu_sched() -> *const () {
    load_own!(sched, *const (), "0")
}

/// The opaque pointer to the running thread; one load, so it cannot be torn by
/// a migration.
#[inline(always)]
pub fn current() -> *mut () {
    load_own!(current, *mut (), "0")
}

/// Returns the number of the current thread; one load, as [`current`].
#[inline(always)]
pub fn current_tid() -> u32 {
    load_own!(current_tid, u32, "0:e")
}

/// Sets what [`current`] and [`current_tid`] return on this CPU. Interrupts are off.
#[inline(always)]
pub fn set_current(thread: *mut (), tid: u32) {
    // SAFETY: as in `load_own`; the fields are atomics, which an aligned store of their width keeps whole.
    unsafe {
        core::arch::asm!(
            "mov gs:[{current}], {}",
            "mov gs:[{current_tid}], {:e}",
            in(reg) thread,
            in(reg) tid,
            current = const offset_of!(PerCpu, current),
            current_tid = const offset_of!(PerCpu, current_tid),
            options(nostack, preserves_flags)
        );
    }
}

/// Whether this CPU's GS base is in use yet (invariant 1).
pub fn is_active() -> bool {
    COUNT.load(SeqCst) > 0 && GsBase::read().as_u64() != 0
}

/// The block of CPU `id`.
#[inline]
pub fn get(id: CpuId) -> &'static PerCpu {
    // SAFETY: a `CpuId` is below the count, so its block is registered; registered blocks are never freed.
    unsafe { &*BLOCKS[id.index()].load(SeqCst) }
}

/// CPUs that have a block, online or not.
pub fn cpu_count() -> usize {
    COUNT.load(SeqCst)
}

/// CPUs that run threads.
pub fn online_count() -> usize {
    ONLINE_COUNT.load(SeqCst) as usize
}

/// Every CPU that has a block.
pub fn all() -> impl Iterator<Item = &'static PerCpu> {
    (0..cpu_count()).filter_map(CpuId::new).map(get)
}
