//! Clears memory, by each of the suitable instructions. `mm::zero` chooses one.
//!
//! The loops store vector registers, which hold zeros on every CPU ([`super::simd`]), and change none. So a thread may be
//! preempted in a loop and continue on another CPU without saved vector state (invariant 14).

use core::arch::asm;

use super::cpu;

/// A method to clear memory, named after its instruction, as in `zero.method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ClearMethod {
    /// `rep stosb`, fast on CPUs with "enhanced rep movsb".
    Stosb,
    /// `rep stosq`.
    Stosq,
    /// 64-bit non-temporal stores from a general register.
    Movnti,
    /// 128-bit non-temporal stores.
    Sse2NonTemporal,
    /// 256-bit non-temporal stores.
    AvxNonTemporal,
    /// Stores of whole cache lines, which the CPU does not read first.
    Clzero,
}

impl ClearMethod {
    /// All methods, in the order of the choices of `zero.method` after `auto`.
    pub const ALL: [Self; 6] =
        [Self::Stosb, Self::Stosq, Self::Movnti, Self::Sse2NonTemporal, Self::AvxNonTemporal, Self::Clzero];

    /// Returns the name, as in `zero.method`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stosb => "stosb",
            Self::Stosq => "stosq",
            Self::Movnti => "movnti",
            Self::Sse2NonTemporal => "sse2-nt",
            Self::AvxNonTemporal => "avx-nt",
            Self::Clzero => "clzero",
        }
    }

    /// Whether this CPU has the instruction, and `cpu.disable` allows it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Stosb | Self::Stosq | Self::Movnti => true,
            Self::Sse2NonTemporal => cpu::features().sse_stores,
            Self::AvxNonTemporal => cpu::features().avx,
            Self::Clzero => cpu::features().clzero,
        }
    }
}

/// Aligns the loop that follows, so that its code of up to 512 bytes lies within one page. An emulator translates page by
/// page, and takes twice as long for a loop that crosses a page border. A processor decodes the loop from whole cache
/// lines.
macro_rules! loop_start {
    () => {
        ".p2align 9"
    };
}

/// Granule of extents to clear: their start and length are multiples of it.
pub const CLEAR_GRANULE_BYTES: usize = 512;

/// Sets `len_bytes` at `start` to zero. With every method, other CPUs see the zeros once the caller publishes the memory
/// after the return.
///
/// # Safety
/// 1. The extent is mapped and writable, and only the caller uses it (invariant 12).
/// 2. `method` is available.
/// 3. `start` and `len_bytes` are multiples of [`CLEAR_GRANULE_BYTES`].
pub unsafe fn clear(method: ClearMethod, start: *mut u8, len_bytes: usize) {
    debug_assert!((start as usize | len_bytes).is_multiple_of(CLEAR_GRANULE_BYTES));
    if len_bytes == 0 {
        return;
    }
    let end = start as usize + len_bytes;
    // SAFETY:
    // 1. The loop of each arm stores only within `start..end`, which the caller owns (1).
    // 2. The loop runs at least once and steps by a divisor of the granule, so it ends exactly at `end` (3).
    // 3. The CPU has the instructions (2). They only read vector registers, which hold zeros (invariant 14).
    // Non-temporal stores are weakly ordered. The fence orders them before the caller's later stores.
    unsafe {
        match method {
            ClearMethod::Stosb => asm!(
                "rep stosb",
                inout("rcx") len_bytes => _, inout("rdi") start => _, in("al") 0u8,
                options(nostack, preserves_flags)
            ),
            ClearMethod::Stosq => asm!(
                "rep stosq",
                inout("rcx") len_bytes / 8 => _, inout("rdi") start => _, in("rax") 0u64,
                options(nostack, preserves_flags)
            ),
            ClearMethod::Movnti => asm!(
                loop_start!(),
                "2:",
                "movnti [{at}], {zero}",
                "movnti [{at} + 8], {zero}",
                "movnti [{at} + 16], {zero}",
                "movnti [{at} + 24], {zero}",
                "movnti [{at} + 32], {zero}",
                "movnti [{at} + 40], {zero}",
                "movnti [{at} + 48], {zero}",
                "movnti [{at} + 56], {zero}",
                "movnti [{at} + 64], {zero}",
                "movnti [{at} + 72], {zero}",
                "movnti [{at} + 80], {zero}",
                "movnti [{at} + 88], {zero}",
                "movnti [{at} + 96], {zero}",
                "movnti [{at} + 104], {zero}",
                "movnti [{at} + 112], {zero}",
                "movnti [{at} + 120], {zero}",
                "add {at}, 128",
                "cmp {at}, {end}",
                "jb 2b",
                "sfence",
                at = inout(reg) start => _, end = in(reg) end, zero = in(reg) 0u64,
                options(nostack)
            ),
            ClearMethod::Sse2NonTemporal => asm!(
                loop_start!(),
                "2:",
                "movntdq [{at}], xmm0",
                "movntdq [{at} + 16], xmm0",
                "movntdq [{at} + 32], xmm0",
                "movntdq [{at} + 48], xmm0",
                "movntdq [{at} + 64], xmm0",
                "movntdq [{at} + 80], xmm0",
                "movntdq [{at} + 96], xmm0",
                "movntdq [{at} + 112], xmm0",
                "movntdq [{at} + 128], xmm0",
                "movntdq [{at} + 144], xmm0",
                "movntdq [{at} + 160], xmm0",
                "movntdq [{at} + 176], xmm0",
                "movntdq [{at} + 192], xmm0",
                "movntdq [{at} + 208], xmm0",
                "movntdq [{at} + 224], xmm0",
                "movntdq [{at} + 240], xmm0",
                "movntdq [{at} + 256], xmm0",
                "movntdq [{at} + 272], xmm0",
                "movntdq [{at} + 288], xmm0",
                "movntdq [{at} + 304], xmm0",
                "movntdq [{at} + 320], xmm0",
                "movntdq [{at} + 336], xmm0",
                "movntdq [{at} + 352], xmm0",
                "movntdq [{at} + 368], xmm0",
                "movntdq [{at} + 384], xmm0",
                "movntdq [{at} + 400], xmm0",
                "movntdq [{at} + 416], xmm0",
                "movntdq [{at} + 432], xmm0",
                "movntdq [{at} + 448], xmm0",
                "movntdq [{at} + 464], xmm0",
                "movntdq [{at} + 480], xmm0",
                "movntdq [{at} + 496], xmm0",
                "add {at}, 512",
                "cmp {at}, {end}",
                "jb 2b",
                "sfence",
                at = inout(reg) start => _, end = in(reg) end,
                options(nostack)
            ),
            ClearMethod::AvxNonTemporal => asm!(
                loop_start!(),
                "2:",
                "vmovntdq [{at}], ymm0",
                "vmovntdq [{at} + 32], ymm0",
                "vmovntdq [{at} + 64], ymm0",
                "vmovntdq [{at} + 96], ymm0",
                "vmovntdq [{at} + 128], ymm0",
                "vmovntdq [{at} + 160], ymm0",
                "vmovntdq [{at} + 192], ymm0",
                "vmovntdq [{at} + 224], ymm0",
                "vmovntdq [{at} + 256], ymm0",
                "vmovntdq [{at} + 288], ymm0",
                "vmovntdq [{at} + 320], ymm0",
                "vmovntdq [{at} + 352], ymm0",
                "vmovntdq [{at} + 384], ymm0",
                "vmovntdq [{at} + 416], ymm0",
                "vmovntdq [{at} + 448], ymm0",
                "vmovntdq [{at} + 480], ymm0",
                "add {at}, 512",
                "cmp {at}, {end}",
                "jb 2b",
                "sfence",
                at = inout(reg) start => _, end = in(reg) end,
                options(nostack)
            ),
            ClearMethod::Clzero => asm!(
                loop_start!(),
                "2:",
                "clzero",
                "add rax, 64",
                "cmp rax, {end}",
                "jb 2b",
                "sfence",
                inout("rax") start => _, end = in(reg) end,
                options(nostack)
            ),
        }
    }
}

/// Writes `pattern` over `len_bytes` at `start`, for poisoning.
///
/// # Safety
/// Points 1 and 3 of [`clear`].
pub unsafe fn fill(start: *mut u8, len_bytes: usize, pattern: u64) {
    debug_assert!((start as usize | len_bytes).is_multiple_of(CLEAR_GRANULE_BYTES));
    if len_bytes == 0 {
        return;
    }
    // SAFETY: as for `clear` with `Movnti`.
    unsafe {
        asm!(
            loop_start!(),
                "2:",
            "movnti [{at}], {pattern}",
            "movnti [{at} + 8], {pattern}",
            "movnti [{at} + 16], {pattern}",
            "movnti [{at} + 24], {pattern}",
            "movnti [{at} + 32], {pattern}",
            "movnti [{at} + 40], {pattern}",
            "movnti [{at} + 48], {pattern}",
            "movnti [{at} + 56], {pattern}",
            "add {at}, 64",
            "cmp {at}, {end}",
            "jb 2b",
            "sfence",
            at = inout(reg) start => _, end = in(reg) start as usize + len_bytes, pattern = in(reg) pattern,
            options(nostack)
        );
    }
}
