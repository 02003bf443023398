//! Per-CPU data, reached through the GS segment base.
//!
//! Every CPU has one [`PerCpu`] block. Its GS base points there before its interrupts are first enabled, and until
//! power-off (invariants 1 and 2). The block holds the data of this layer and opaque pointers for upper layers: the
//! current thread, the page cache, the CPU's part of the scheduler. Upper layers keep all else in tables that [`CpuId`]
//! indexes.

use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst,
};

use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

use super::boot_cell::BootCell;
use super::segments::{INTERRUPT_STACKS, InterruptStackTops, Segments};

/// Most CPUs that the kernel can use.
pub const MAX_CPUS: usize = firmware::cpus::MAX_CPUS;

/// A CPU's number, below [`cpu_count`]. The boot CPU is 0; the others follow in the firmware's order, without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuId(u16);

impl CpuId {
    /// Returns the CPU with number `index`, if there is one.
    pub fn new(index: usize) -> Option<Self> {
        (index < cpu_count()).then_some(Self(index as u16))
    }

    /// Returns the number, as an index into tables.
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

/// The data of one CPU. Other CPUs access only the atomics.
#[repr(C, align(128))]
pub struct PerCpu {
    /// The address of this block, which code reads at `gs:0`.
    this: *const PerCpu,
    /// The current thread; opaque here.
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
    /// Count of interrupts, for reports.
    pub interrupt_count: AtomicU64,
    /// TSC value at which this CPU took its last ping.
    pub pinged_ticks: AtomicU64,
    /// Instruction pointer at which another CPU's panic stopped this CPU; 0 if it was not stopped.
    pub stopped_rip: AtomicU64,
    /// Frame pointer at [`stopped_rip`](Self::stopped_rip).
    pub stopped_rbp: AtomicU64,
    /// Segment tables and interrupt stacks; only code on this CPU uses them.
    segments: UnsafeCell<Segments>,
}

// SAFETY:
// 1. `this`, `id` and `apic_id` do not change once the block is registered, and atomics may be shared.
// 2. `segments` is accessed by the owning CPU (`activate`, `replace_stacks`), or through the exclusive borrow that
//    `register` takes.
unsafe impl Sync for PerCpu {}

static BLOCKS: [AtomicPtr<PerCpu>; MAX_CPUS] = [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CPUS];
static COUNT: AtomicUsize = AtomicUsize::new(0);
static ONLINE_COUNT: AtomicU32 = AtomicU32::new(0);

impl PerCpu {
    /// Returns a block for CPU number `index`, to be [registered](Self::register).
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

    /// Enters the block into the table. Blocks are registered in the order of CPU numbers.
    pub fn register(&'static mut self, interrupt_stack_tops: InterruptStackTops) -> &'static Self {
        self.this = self;
        self.segments.get_mut().set_stacks(interrupt_stack_tops);
        let block: &'static Self = self;
        assert_eq!(block.id.index(), COUNT.load(SeqCst), "per-CPU blocks are registered in order");
        BLOCKS[block.id.index()].store(core::ptr::from_ref(block).cast_mut(), SeqCst);
        COUNT.fetch_add(1, SeqCst);
        block
    }

    /// Replaces the CPU's interrupt stacks.
    ///
    /// # Safety
    /// 1. Runs on the CPU that owns the block, with interrupts off.
    /// 2. No other reference into `segments` is alive.
    pub unsafe fn replace_stacks(&self, tops: InterruptStackTops) {
        // SAFETY: there is no other access (1 and 2), and no interrupt reads the TSS now (1).
        unsafe { (*self.segments.get()).set_stacks(tops) }
    }

    /// Loads this block into the running CPU: GS base, segments, TSS.
    ///
    /// # Safety
    /// 1. Runs once, on the CPU with this block's APIC id, with interrupts off.
    /// 2. The block is registered, and so complete.
    pub unsafe fn activate(&'static self) {
        // SAFETY: the segments are static and complete (2), and no other code uses them (1).
        unsafe { (*self.segments.get()).load() };
        // After the segment registers: loading them may clear the base.
        GsBase::write(VirtAddr::from_ptr(self));
    }

    /// Returns the CPU's number.
    #[inline]
    pub fn id(&self) -> CpuId {
        self.id
    }

    /// Returns the id by which interrupts are addressed to this CPU.
    pub fn apic_id(&self) -> u32 {
        self.apic_id
    }

    /// Sets the pointer that [`this_cpu_pages`] returns on this CPU.
    pub fn set_pages(&self, pages: *const ()) {
        self.pages.store(pages.cast_mut(), SeqCst);
    }

    /// Sets the pointer that [`this_cpu_sched`] returns on this CPU.
    pub fn set_sched(&self, sched: *const ()) {
        self.sched.store(sched.cast_mut(), SeqCst);
    }

    /// Returns the pointer that [`current`] returns on this CPU.
    #[inline]
    pub fn current(&self) -> *mut () {
        // Relaxed: each CPU sets its own pointer. A caller that asks about another CPU has synchronised with what keeps
        // the thread alive.
        self.current.load(Relaxed)
    }

    /// Whether the CPU runs threads.
    pub fn is_online(&self) -> bool {
        self.online.load(SeqCst)
    }

    /// Adds the CPU to the CPUs that run threads.
    pub fn set_online(&self) {
        if !self.online.swap(true, SeqCst) {
            ONLINE_COUNT.fetch_add(1, SeqCst);
        }
    }

    /// Removes the CPU from the CPUs that run threads.
    pub fn set_offline(&self) {
        if self.online.swap(false, SeqCst) {
            ONLINE_COUNT.fetch_sub(1, SeqCst);
        }
    }
}

/// Registers and loads the boot CPU's block. Its interrupt stacks have no guard pages until
/// [`PerCpu::replace_stacks`].
///
/// # Safety
/// Runs once, before all other kernel code, on the boot CPU, with interrupts off.
pub unsafe fn init_boot_cpu() {
    #[repr(C, align(16))]
    struct EarlyStack([u8; 16 << 10]);
    static BLOCK: BootCell<PerCpu> = BootCell::new(PerCpu::new(0, 0));
    static STACKS: BootCell<[EarlyStack; INTERRUPT_STACKS]> =
        BootCell::new([const { EarlyStack([0; 16 << 10]) }; INTERRUPT_STACKS]);
    let first = (&raw const STACKS) as u64;
    let tops = core::array::from_fn(|index| first + (index as u64 + 1) * size_of::<EarlyStack>() as u64);
    // SAFETY: runs once, with interrupts off, and the boot CPU is alone (invariant 17). The block has the APIC id of the
    // running CPU and is registered first.
    unsafe {
        let block = BLOCK.take();
        block.apic_id = super::cpu::apic_id();
        block.register(tops).activate();
    }
}

/// Returns the block of the running CPU. The result may be stale when it is used, unless the caller is pinned: with
/// interrupts off, or in a thread that is bound to its CPU.
#[inline]
pub fn this_cpu() -> &'static PerCpu {
    let this: *const PerCpu;
    // SAFETY: GS points to this CPU's registered block whenever Rust code runs after `activate` (invariant 2). The
    // block's first field is its address.
    unsafe { core::arch::asm!("mov {}, gs:[0]", out(reg) this, options(nostack, preserves_flags, readonly)) };
    const _: () = assert!(offset_of!(PerCpu, this) == 0);
    // SAFETY: registered blocks are never freed.
    unsafe { &*this }
}

/// Loads `$field` of the running CPU's block by one instruction. `$operand` is an asm operand as wide as the field.
macro_rules! load_own {
    ($field:ident, $type:ty, $operand:literal) => {{
        let value: $type;
        // SAFETY: GS points to this CPU's registered block whenever Rust code runs after `activate` (invariant 2). The
        // offset is the field's, and the field is as wide as the operand.
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

/// Returns the number of the running CPU. May be stale, as the result of [`this_cpu`] may.
#[inline(always)]
pub fn this_cpu_id() -> CpuId {
    const _: () = assert!(size_of::<CpuId>() == 2);
    CpuId(load_own!(id, u16, "0:x"))
}

/// Returns the pointer that [`PerCpu::set_pages`] set for the running CPU, by one load. May be stale, as the result of
/// [`this_cpu`] may.
#[inline(always)]
pub fn this_cpu_pages() -> *const () {
    load_own!(pages, *const (), "0")
}

/// Returns the pointer that [`PerCpu::set_sched`] set for the running CPU, by one load. May be stale, as the result of
/// [`this_cpu`] may.
#[inline(always)]
pub fn this_cpu_sched() -> *const () {
    load_own!(sched, *const (), "0")
}

/// Returns the opaque pointer to the current thread. One load: a migration cannot come between base and field.
#[inline(always)]
pub fn current() -> *mut () {
    load_own!(current, *mut (), "0")
}

/// Returns the number of the current thread, by one load as in [`current`].
#[inline(always)]
pub fn current_tid() -> u32 {
    load_own!(current_tid, u32, "0:e")
}

/// Sets the values that [`current`] and [`current_tid`] return on this CPU. The caller has interrupts off.
#[inline(always)]
pub fn set_current(thread: *mut (), tid: u32) {
    // SAFETY: as in `load_own`. The fields are atomics, and an aligned store of their width is atomic.
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

/// Whether this CPU's GS base is set (invariant 1).
pub fn is_active() -> bool {
    COUNT.load(SeqCst) > 0 && GsBase::read().as_u64() != 0
}

/// Returns the block of CPU `id`.
#[inline]
pub fn get(id: CpuId) -> &'static PerCpu {
    // SAFETY: a `CpuId` is below the count, so its block is registered. Registered blocks are never freed.
    unsafe { &*BLOCKS[id.index()].load(SeqCst) }
}

/// Returns the number of CPUs that have a block, online or not.
pub fn cpu_count() -> usize {
    COUNT.load(SeqCst)
}

/// Returns the number of CPUs that run threads.
pub fn online_count() -> usize {
    ONLINE_COUNT.load(SeqCst) as usize
}

/// Iterates over the blocks of all CPUs.
pub fn all() -> impl Iterator<Item = &'static PerCpu> {
    (0..cpu_count()).filter_map(CpuId::new).map(get)
}
