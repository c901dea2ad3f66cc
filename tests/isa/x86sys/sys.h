/* What the images of x86sys share: text on port 0xe9, descriptors, one experiment's code. A word is as wide as the image's code. */
#ifndef TESTS_ISA_X86SYS_SYS_H
#define TESTS_ISA_X86SYS_SYS_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long word;

static inline void out8(u16 port, u8 v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline u8 in8(u16 port) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline void text(const char *s) { while (*s) out8(0xe9, (u8)*s++); }
static inline void hex(word v)
{
    int started = 0;
    for (int i = (int)sizeof(v) * 8 - 4; i >= 0; i -= 4) {
        unsigned d = v >> i & 15;
        if (d || started || !i) {
            out8(0xe9, (u8)(d < 10 ? '0' + d : 'a' + d - 10));
            started = 1;
        }
    }
}
static inline void field(const char *name, word v) { text(" "); text(name); text("="); hex(v); }

static inline u64 desc(u32 base, u32 limit, u32 access, u32 flags)
{
    return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 | (u64)(limit >> 16 & 15) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}
struct __attribute__((packed)) dtr { u16 limit; word base; };

/* Our own test machine, not the independent emulator: what that one gets wrong badly enough to stop is run here only. */
static inline int is_ours(void) { return in8(0x2000) == 0x77; }

#define CODE(name, body) void name(void); __asm__(".pushsection .text\n.globl " #name "\n" #name ":\n" body "\nret\n.popsection")
#endif
