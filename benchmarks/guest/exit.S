# A multiboot (1) kernel that ends the machine with its first instructions: out of isa-debug-exit's port.
    .set FLAGS, 1 << 16                 # addresses are in the header
    .section .text
    .code32
    .globl start
header:
    .long 0x1badb002, FLAGS, -(0x1badb002 + FLAGS)
    .long header, header, end, end, start
start:
    mov $0, %al
    mov $0x501, %dx
    out %al, %dx
1:  hlt
    jmp 1b
end:
