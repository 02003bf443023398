# The entry of application processors. The boot CPU copies this code to a page
# below 1 MiB, which is the real-mode code segment of every CPU that starts. The
# code switches from real mode to 64-bit mode directly.
#
# The CPUs share only the data of the page. Each CPU reads it, and writes the
# stage byte of its slot. The boot CPU closes the slot of a CPU that it gives up.
# Both change the stage byte by compare-and-exchange. So a CPU that was given up
# finds its slot closed at any stage, and halts. smp.rs asserts the offsets
# (invariant 8).

.set AP_COUNT, 0x300            # u16: slots in use
.set AP_CR3, 0x308              # u32: root of the start-up page tables
.set AP_EFER, 0x30c             # u32: EFER bits to set
.set AP_FAR_POINTER, 0x310      # u32 offset, u16 selector: ap_long_mode
.set AP_GDT_POINTER, 0x318      # u16 limit, u32 base
.set AP_GDT, 0x320              # three descriptors
.set AP_STAGES_HIGH, 0x340      # u64: the stage bytes, in the physical map
.set AP_STACKS, 0x348           # u64: table of stack tops, one for each slot
.set AP_ENTRY, 0x350            # u64: the Rust function that a CPU calls
.set AP_IDS, 0x400              # u32 x 512: APIC id of each slot
.set AP_STAGES, 0xc00           # u8 x 512: stage of each slot
.set AP_REFUSED, 0xe00          # u16: CPUs that found their slot closed

.section .rodata.ap_trampoline, "a"
.balign 16
.global ap_trampoline_start
.global ap_trampoline_end
ap_trampoline_start:
.code16
    cli
    cld
    mov ax, cs
    mov ds, ax

    # This CPU's APIC id: extended topology leaf where it is valid, else leaf 1.
    xor eax, eax
    cpuid
    cmp eax, 0xb
    jb 1f
    mov eax, 0xb
    xor ecx, ecx
    cpuid
    test bx, bx
    jnz 2f
1:  mov eax, 1
    cpuid
    mov edx, ebx
    shr edx, 24

    # This CPU's slot.
2:  mov cx, [AP_COUNT]
    xor si, si
3:  cmp si, cx
    jae 9f
    mov di, si
    shl di, 2
    cmp [di + AP_IDS], edx
    je 4f
    inc si
    jmp 3b
4:  xor eax, eax                # stage: silent
    mov bl, 1                   # stage: real mode
    lock cmpxchg byte ptr [si + AP_STAGES], bl
    jne 8f

    mov eax, 1 << 5             # PAE
    mov cr4, eax
    mov eax, [AP_CR3]
    mov cr3, eax
    mov ecx, 0xc0000080         # EFER
    rdmsr
    or eax, [AP_EFER]
    wrmsr
    lgdt [AP_GDT_POINTER]
    mov eax, cr0
    and eax, 0x9fffffff         # caches on: CD and NW clear
    or eax, 0x80010001          # PG, WP, PE
    mov cr0, eax
    .byte 0x66, 0xff, 0x2e     # ljmp, 32-bit offset
    .word AP_FAR_POINTER

8:  lock inc word ptr [AP_REFUSED]
9:  hlt                         # no slot, or a closed one
    jmp 9b

.code64
.global ap_long_mode
ap_long_mode:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    movzx esi, si
    lea rbx, [rip + ap_trampoline_start]
    mov rdx, [rbx + AP_STAGES_HIGH]
    mov al, 1                   # stage: real mode
    mov cl, 2                   # stage: long mode
    lock cmpxchg byte ptr [rdx + rsi], cl
    jne 8f
    mov rax, [rbx + AP_STACKS]
    mov rsp, [rax + rsi * 8]
    xor ebp, ebp
    mov edi, esi
    call [rbx + AP_ENTRY]
    ud2

8:  lock inc word ptr [rdx + AP_REFUSED - AP_STAGES]
9:  hlt
    jmp 9b
ap_trampoline_end:
