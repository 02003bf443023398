//! The stack that the boot CPU enters Rust on.

/// Bytes of the stack.
const BOOT_STACK_BYTES: usize = 128 << 10;

/// The stack that the entry code switches to. Its first page is the guard: the kernel's page tables never map it.
#[repr(C, align(4096))]
struct BootStack {
    guard: [u8; 4096],
    bytes: [u8; BOOT_STACK_BYTES],
}

static mut BOOT_STACK: BootStack = BootStack { guard: [0; 4096], bytes: [0; BOOT_STACK_BYTES] };

core::arch::global_asm!(
    ".global BOOT_STACK_TOP",
    ".set BOOT_STACK_TOP, {stack} + {bytes}",
    stack = sym BOOT_STACK,
    bytes = const size_of::<BootStack>(),
);

/// Returns the address of the guard page below the boot stack.
pub fn guard() -> u64 {
    (&raw const BOOT_STACK) as u64
}
