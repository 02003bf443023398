# From the loader's 32-bit world to Rust: the PVH entry.
#
# State on entry (x86/HVM direct boot ABI): 32-bit protected mode, paging off,
# flat segments, interrupts off, ebx = physical address of the start info.
#
# What it builds is the "boot map": the first 4 GiB of physical memory in 2 MiB
# pages, at 0 (for this code), at the physical map's base, and its first GiB
# (which holds the kernel image) 2 GiB below the top.

.set CR0_PAGING_WRITE_PROTECT, (1 << 31) | (1 << 16)
.set CR4_PAE, 1 << 5
.set MSR_EFER, 0xc0000080
.set EFER_LONG_MODE, 1 << 8
.set PAGE_PRESENT_WRITABLE, 0x3
.set PAGE_2M, 0x83

.section .boot.note, "a", @note
.balign 4
.long 4                         # name size
.long 8                         # descriptor size
.long 18                        # XEN_ELFNOTE_PHYS32_ENTRY
.asciz "Xen"
.quad pvh_entry

.section .boot.text, "ax"
.code32
.global pvh_entry
.type pvh_entry, @function
pvh_entry:
    cld
    mov esp, offset boot_scratch_stack_top
    rdtsc                       # the kernel's time zero
    push edx
    push eax
    push 0
    push ebx                    # cpuid overwrites ebx

    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb 9f
    mov eax, 0x80000001
    cpuid
    bt edx, 29                  # long mode
    jnc 9f

    # Four page directories: 2048 pages of 2 MiB.
    mov edi, offset boot_page_directories
    mov eax, PAGE_2M
    xor edx, edx                # bits 32 and up of the entry
    mov ecx, 2048
1:  mov [edi], eax
    mov [edi + 4], edx
    add eax, 0x200000
    add edi, 8
    loop 1b

    # Two page directory pointer tables: physical memory, and the image.
    mov eax, offset boot_page_directories
    or eax, PAGE_PRESENT_WRITABLE
    mov [boot_pdpt_image + 510 * 8], eax
    mov edi, offset boot_pdpt_physical
    mov ecx, 4
2:  mov [edi], eax
    add eax, 0x1000
    add edi, 8
    loop 2b

    mov eax, offset boot_pdpt_physical
    or eax, PAGE_PRESENT_WRITABLE
    mov [boot_pml4], eax
    mov [boot_pml4 + 256 * 8], eax
    mov eax, offset boot_pdpt_image
    or eax, PAGE_PRESENT_WRITABLE
    mov [boot_pml4 + 511 * 8], eax

    mov eax, cr4
    or eax, CR4_PAE
    mov cr4, eax
    mov eax, offset boot_pml4
    mov cr3, eax
    mov ecx, MSR_EFER
    rdmsr
    or eax, EFER_LONG_MODE
    wrmsr
    mov eax, cr0
    or eax, CR0_PAGING_WRITE_PROTECT
    mov cr0, eax
    lgdt [boot_gdt_pointer]
    ljmp 0x8, offset boot_long_mode

9:  # Not a 64-bit CPU: tell the emulator "fail" and stop.
    mov eax, 0x11
    out 0xf4, eax
8:  cli
    hlt
    jmp 8b

.code64
boot_long_mode:
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov esp, esp                # the upper half is undefined after the mode switch
    pop rdi                     # start info
    pop rsi                     # time stamp: pushed as two halves
    movabs rsp, offset BOOT_STACK_TOP
    xor ebp, ebp                # the last frame of every backtrace
    movabs rax, offset pvh_start
    call rax
    ud2

.balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff    # 64-bit code
boot_gdt_pointer:
    .word . - boot_gdt - 1
    .long boot_gdt

.section .boot.tables, "aw", @nobits
.balign 4096
boot_pml4:              .skip 4096
boot_pdpt_physical:     .skip 4096
boot_pdpt_image:        .skip 4096
boot_page_directories:  .skip 4 * 4096
.skip 64
boot_scratch_stack_top:
