# Interrupt and exception entry: 256 stubs, 16 bytes apart. Each leaves the same
# TrapFrame on the stack and calls trap_dispatch with its address.
#
# The CPU aligns rsp to 16 before it pushes ss to rip, 5 words. With error code
# and vector there are 7 words, with the 15 registers 22. These are 176 bytes, so
# rsp is aligned to 16 again at the call.

.section .text.trap, "ax"
.balign 16
.global trap_stubs
trap_stubs:
.set vector, 0
.rept 256
    .balign 16
    # For these vectors the CPU pushes an error code. TrapFrame::error_code has the same list.
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    push 0
    .endif
    push vector
    jmp trap_common
    .set vector, vector + 1
.endr

.balign 16
.global trap_common
.type trap_common, @function
trap_common:
    push rax
    push rcx
    push rdx
    push rbx
    push rbp
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    cld
    mov rdi, rsp
    call trap_dispatch
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rbp
    pop rbx
    pop rdx
    pop rcx
    pop rax
    add rsp, 16
    iretq
