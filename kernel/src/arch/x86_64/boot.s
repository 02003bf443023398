# The entries: from a loader to Rust.
#
# Two loaders enter in 32-bit protected mode, with paging off, flat segments and
# interrupts off. By PVH (x86/HVM direct boot ABI), ebx is the physical address
# of the start info. By Multiboot2, eax is a magic number and ebx the physical
# address of the tags. Both place the image at the physical addresses of its
# program headers, KERNEL_OFFSET below the virtual ones.
#
# The stub for both builds the "boot map", with pages of 2 MiB. It maps the first
# 4 GiB of physical memory at address 0, for this code, and at the base of the
# physical map. It maps the first GiB, which holds the kernel image, 2 GiB below
# the top of the address space.
#
# By UEFI, the crate `bootloader` enters in 64-bit mode, on page tables that map
# the image at its virtual address. Rust code (uefi.rs) builds the boot map.

.set KERNEL_OFFSET, 0xffffffff80000000
.set CR0_PAGING_WRITE_PROTECT, (1 << 31) | (1 << 16)
.set CR4_PAE, 1 << 5
.set MSR_EFER, 0xc0000080
.set EFER_LONG_MODE, 1 << 8
.set PAGE_PRESENT_WRITABLE, 0x3
.set PAGE_2M, 0x83
.set COM1, 0x3f8
.set DEBUG_EXIT_PORT, 0xf4
.set DEBUG_EXIT_FAIL, 0x11     # protocol::exit::Verdict::Fail
.set BY_PVH, 0
.set BY_MULTIBOOT2, 1

.section .boot.note, "a", @note
.balign 4
.long 4                         # name size
.long 8                         # descriptor size
.long 18                        # XEN_ELFNOTE_PHYS32_ENTRY
.asciz "Xen"
.quad pvh_entry - KERNEL_OFFSET

# Multiboot2 specification 2.0, section 3.1: 8-aligned, in the first 32 KiB of
# the file.
.section .boot.header, "a"
.balign 8
multiboot2_header:
.long 0xe85250d6
.long 0                         # i386, protected mode
.long multiboot2_header_end - multiboot2_header
.long 0 - 0xe85250d6 - (multiboot2_header_end - multiboot2_header)
.short 3, 0                     # physical address of the entry; required
.long 12
.long multiboot2_entry - KERNEL_OFFSET
.balign 8
.short 5, 1                     # a screen; optional
.long 20
.long 1024, 768, 32             # wanted width, height, bits of a pixel
.balign 8
.short 0, 0                     # end
.long 8
multiboot2_header_end:

.section .boot.text, "ax"
.code32
.global pvh_entry
.type pvh_entry, @function
pvh_entry:
    cld
    mov esp, offset boot_scratch_stack_top - KERNEL_OFFSET
    push 0                      # no magic
    push eax
    push 0
    push BY_PVH
    jmp boot_protected_mode

.global multiboot2_entry
.type multiboot2_entry, @function
multiboot2_entry:
    cld
    mov esp, offset boot_scratch_stack_top - KERNEL_OFFSET
    push 0
    push eax                    # magic
    push 0
    push BY_MULTIBOOT2

boot_protected_mode:
    mov ebp, ebx                # start info or tags; cpuid overwrites ebx

    # The CPU has CPUID if bit 21 of the flags can be changed.
    pushfd
    pop eax
    mov ecx, eax
    xor eax, 1 << 21
    push eax
    popfd
    pushfd
    pop eax
    xor eax, ecx
    mov esi, offset name_of_cpuid - KERNEL_OFFSET
    test eax, 1 << 21
    jz feature_missing

    # Features that compiled code and the code below use: bits of edx of leaf 1.
    mov eax, 1
    cpuid
    mov esi, offset needed_features - KERNEL_OFFSET
1:  movzx ecx, byte ptr [esi]
    inc esi
    cmp ecx, 0xff
    je 3f
    bt edx, ecx
    jnc feature_missing
2:  lodsb                       # skip the name
    test al, al
    jnz 2b
    jmp 1b

3:  mov eax, 0x80000000
    cpuid
    mov esi, offset name_of_long_mode - KERNEL_OFFSET
    cmp eax, 0x80000001
    jb feature_missing
    mov eax, 0x80000001
    cpuid
    bt edx, 29
    jnc feature_missing

    rdtsc                       # time 0 of the kernel's clock
    push edx
    push eax
    push 0
    push ebp

    # Four page directories: 2048 pages of 2 MiB.
    mov edi, offset boot_page_directories - KERNEL_OFFSET
    mov eax, PAGE_2M
    xor edx, edx                # bits 32 and up of the entry
    mov ecx, 2048
1:  mov [edi], eax
    mov [edi + 4], edx
    add eax, 0x200000
    add edi, 8
    loop 1b

    # Two page directory pointer tables: one for physical memory, one for the image.
    mov eax, offset boot_page_directories - KERNEL_OFFSET
    or eax, PAGE_PRESENT_WRITABLE
    mov [boot_pdpt_image - KERNEL_OFFSET + 510 * 8], eax
    mov edi, offset boot_pdpt_physical - KERNEL_OFFSET
    mov ecx, 4
2:  mov [edi], eax
    add eax, 0x1000
    add edi, 8
    loop 2b

    mov eax, offset boot_pdpt_physical - KERNEL_OFFSET
    or eax, PAGE_PRESENT_WRITABLE
    mov [boot_pml4 - KERNEL_OFFSET], eax
    mov [boot_pml4 - KERNEL_OFFSET + 256 * 8], eax
    mov eax, offset boot_pdpt_image - KERNEL_OFFSET
    or eax, PAGE_PRESENT_WRITABLE
    mov [boot_pml4 - KERNEL_OFFSET + 511 * 8], eax

    # The whole register: no bit that a loader left is needed, and some (five levels of tables) would be wrong.
    mov eax, CR4_PAE
    mov cr4, eax
    mov eax, offset boot_pml4 - KERNEL_OFFSET
    mov cr3, eax
    mov ecx, MSR_EFER
    rdmsr
    or eax, EFER_LONG_MODE
    wrmsr
    mov eax, cr0
    or eax, CR0_PAGING_WRITE_PROTECT
    mov cr0, eax
    lgdt [boot_gdt_pointer - KERNEL_OFFSET]
    ljmp 0x8, offset boot_long_mode - KERNEL_OFFSET

# Reports that this CPU cannot run the kernel: esi is the name of the missing
# feature. Writes a line to the first serial port and to the debug port of
# emulators, gives the emulator the verdict "fail", and stops.
feature_missing:
    mov ebx, esi
    mov esi, offset uart_setup - KERNEL_OFFSET
1:  movzx edx, word ptr [esi]
    test edx, edx
    jz 2f
    mov al, [esi + 2]
    out dx, al
    add esi, 3
    jmp 1b
2:  mov esi, offset text_before - KERNEL_OFFSET
    call boot_say
    mov esi, ebx
    call boot_say
    mov esi, offset text_after - KERNEL_OFFSET
    call boot_say
    mov eax, DEBUG_EXIT_FAIL
    out DEBUG_EXIT_PORT, eax
3:  cli
    hlt
    jmp 3b

# Sends the zero-terminated text at esi. The wait for a port that takes nothing
# is bounded.
boot_say:
    lodsb
    test al, al
    jz 3f
    out 0xe9, al
    mov ah, al
    mov ecx, 100000
1:  mov edx, COM1 + 5           # line status
    in al, dx
    test al, 0x20               # transmitter has room for a byte
    jnz 2f
    loop 1b
2:  mov al, ah
    mov edx, COM1
    out dx, al
    jmp boot_say
3:  ret

uart_setup:                     # 115200 baud, 8 bits, no parity, no interrupts
    .word COM1 + 1
    .byte 0
    .word COM1 + 3
    .byte 0x80
    .word COM1
    .byte 1
    .word COM1 + 1
    .byte 0
    .word COM1 + 3
    .byte 3
    .word 0
text_before:        .asciz "ktask: this cpu has no "
text_after:         .asciz ", which the kernel needs\r\n"
name_of_cpuid:      .asciz "cpuid instruction"
name_of_long_mode:  .asciz "long mode (64-bit instructions)"
needed_features:
    .byte 4
    .asciz "tsc (time stamp counter)"
    .byte 5
    .asciz "msr (model-specific registers)"
    .byte 6
    .asciz "pae (physical address extension)"
    .byte 8
    .asciz "cx8 (cmpxchg8b)"
    .byte 9
    .asciz "apic (local interrupt controller)"
    .byte 15
    .asciz "cmov (conditional moves)"
    .byte 24
    .asciz "fxsr (fxsave and fxrstor)"
    .byte 25
    .asciz "sse"
    .byte 26
    .asciz "sse2"
    .byte 0xff

.code64
boot_long_mode:
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov esp, esp                # the upper half is undefined after the mode switch
    pop rdi                     # start info or tags
    pop rsi                     # time stamp, pushed as two halves
    pop rcx                     # loader
    pop rdx                     # magic
    movabs rsp, offset BOOT_STACK_TOP
    xor ebp, ebp                # the last frame of every backtrace
    movabs rax, offset pvh_start
    movabs rbx, offset multiboot2_start
    cmp ecx, BY_MULTIBOOT2
    cmove rax, rbx
    call rax
    ud2

# The crate `bootloader` jumps here in 64-bit mode; rdi is its boot info.
.global uefi_entry
.type uefi_entry, @function
uefi_entry:
    cli
    cld
    rdtsc                       # time 0 of the kernel's clock
    shl rdx, 32
    lea rsi, [rax + rdx]
    movabs rsp, offset BOOT_STACK_TOP
    xor ebp, ebp                # the last frame of every backtrace
    # The loader's segment table lies in its memory.
    lgdt [rip + boot_gdt_pointer_64]
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    lea rax, [rip + 1f]
    push 0x8
    push rax
    retfq
1:  call uefi_start
    ud2

.balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff    # 64-bit code
boot_gdt_pointer:
    .word boot_gdt_pointer - boot_gdt - 1
    .long boot_gdt - KERNEL_OFFSET
boot_gdt_pointer_64:
    .word boot_gdt_pointer - boot_gdt - 1
    .quad boot_gdt

.section .bss.boot_scratch_stack, "aw", @nobits
.balign 16
.skip 128
boot_scratch_stack_top:
