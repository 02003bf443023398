//! GDT and TSS of one CPU: flat code and data segments, and stacks for the interrupts that must not use the interrupted
//! stack.

use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, FS, GS, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;

/// IST slot (1-based in the IDT) of the double fault.
pub const IST_DOUBLE_FAULT: u8 = 1;
/// IST slot of the non-maskable interrupt.
pub const IST_NMI: u8 = 2;
/// IST slot of the machine check.
pub const IST_MACHINE_CHECK: u8 = 3;
/// Number of interrupt stacks of each CPU.
pub const INTERRUPT_STACKS: usize = 3;

/// Top addresses of a CPU's interrupt stacks, in IST order.
pub type InterruptStackTops = [u64; INTERRUPT_STACKS];

/// Selector of the kernel's code segment, in every CPU's GDT.
pub const KERNEL_CODE: u16 = 0x08;

/// One CPU's segment tables.
pub struct Segments {
    gdt: GlobalDescriptorTable,
    tss: TaskStateSegment,
}

impl Segments {
    /// Returns tables without interrupt stacks.
    pub const fn new() -> Self {
        Self { gdt: GlobalDescriptorTable::new(), tss: TaskStateSegment::new() }
    }

    /// Sets the interrupt stacks. The CPU reads them at its next interrupt.
    pub fn set_stacks(&mut self, tops: InterruptStackTops) {
        // By value, because the TSS is packed.
        let mut table = self.tss.interrupt_stack_table;
        for (slot, top) in table.iter_mut().zip(tops) {
            *slot = VirtAddr::new(top);
        }
        self.tss.interrupt_stack_table = table;
    }

    /// Loads the tables into the running CPU.
    ///
    /// # Safety
    /// No other CPU uses `self`.
    pub unsafe fn load(&'static mut self) {
        self.gdt = GlobalDescriptorTable::new();
        let code = self.gdt.append(Descriptor::kernel_code_segment());
        let data = self.gdt.append(Descriptor::kernel_data_segment());
        // SAFETY: the TSS is `'static`, as `self` is. Only this CPU's hardware and `set_stacks` use it.
        let tss = self.gdt.append(unsafe { Descriptor::tss_segment_unchecked(&raw const self.tss) });
        assert_eq!(code.0, KERNEL_CODE, "the IDT names this selector");
        // SAFETY: the tables are `'static`, and the selectors belong to their descriptors.
        unsafe {
            self.gdt.load_unsafe();
            CS::set_reg(code);
            SS::set_reg(data);
            for clear in [DS::set_reg, ES::set_reg, FS::set_reg, GS::set_reg] {
                clear(SegmentSelector(0));
            }
            load_tss(tss);
        }
    }
}
