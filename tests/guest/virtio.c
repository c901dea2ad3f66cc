/*
 * Drives the four virtio devices on the MMIO transport (Virtual I/O Device 1.1, 4.2, 5.1-5.4) of a virt machine: reads and writes a disk, asks the network
 * for the gateway's address, writes to a console, takes random numbers. virtio.sh compares with what Debian's QEMU says.
 */
#ifdef __aarch64__
#include "tests/guest/aarch64/guest.h"
enum { SLOTS = 0xa000000, STRIDE = 0x200, N_SLOTS = 32 };
#define DONE() finish()
void trap(u64 kind, u64 *regs)
{
    show("unexpected", kind);
    show("at", regs[31]);
    finish();
}
#else
#include "tests/guest/riscv/guest.h"
enum { SLOTS = 0x10001000, STRIDE = 0x1000, N_SLOTS = 8 };
#define DONE() finish(0)
u64 trap(u64 *regs);
u64 trap(u64 *regs)
{
    (void)regs;
    unexpected_trap();
}
#endif

enum {
    MAGIC = 0, VERSION = 4, ID = 8, FEATURES = 0x10, FEATURES_SEL = 0x14, ACCEPT = 0x20, ACCEPT_SEL = 0x24, QUEUE = 0x30, QUEUE_MAX = 0x34, QUEUE_SIZE = 0x38,
    QUEUE_READY = 0x44, NOTIFY = 0x50, ISR = 0x60, ACK = 0x64, STATUS = 0x70, DESC = 0x80, AVAIL = 0x90, USED = 0xa0, CONFIG = 0x100,
    NET = 1, BLOCK = 2, CONSOLE = 3, RANDOM = 4, SIZE = 4, NEXT = 1, WRITE = 2,
};
typedef struct Desc { u64 addr; uint32_t len; uint16_t flags, next; } Desc;
typedef struct Queue {
    Desc desc[SIZE];
    volatile uint16_t avail[2 + SIZE + 1] __attribute__((aligned(16)));
    volatile struct { uint16_t flags, idx; struct { uint32_t id, len; } ring[SIZE]; } used __attribute__((aligned(16)));
} Queue;
static Queue queues[2] __attribute__((aligned(4096)));
static unsigned char buf[4][2048] __attribute__((aligned(16)));
static u64 dev;

static void fence(void)
{
#ifdef __aarch64__
    __asm__ volatile("dsb sy" : : : "memory");
#else
    __asm__ volatile("fence iorw, iorw" : : : "memory");
#endif
}

static void queue_init(unsigned n)
{
    Queue *q = &queues[n];
    u64 parts[3] = { (u64)(uintptr_t)q->desc, (u64)(uintptr_t)q->avail, (u64)(uintptr_t)&q->used };
    unsigned regs[3] = { DESC, AVAIL, USED };
    for (unsigned i = 0; i < sizeof(Queue); i++)
        ((volatile char *)q)[i] = 0;
    REG32(dev + QUEUE) = n;
    show("queue is big enough", REG32(dev + QUEUE_MAX) >= SIZE && !REG32(dev + QUEUE_READY));
    REG32(dev + QUEUE_SIZE) = SIZE;
    for (unsigned i = 0; i < 3; i++) {
        REG32(dev + regs[i]) = (uint32_t)parts[i];
        REG32(dev + regs[i] + 4) = (uint32_t)(parts[i] >> 32);
    }
    REG32(dev + QUEUE_READY) = 1;
}

/* The slot of the device of that type, made ready. */
static void start(const char *name, unsigned id, unsigned n_queues)
{
    print(name);
    put('\n');
    for (dev = SLOTS; REG32(dev + ID) != id; dev += STRIDE) {
        if (dev == SLOTS + (N_SLOTS - 1) * STRIDE) {
            print("not there\n");
            DONE();
        }
    }
    show("magic", REG32(dev + MAGIC));
    show("version", REG32(dev + VERSION));
    REG32(dev + STATUS) = 0;
    REG32(dev + STATUS) = 3;
    REG32(dev + FEATURES_SEL) = 1;
    show("is modern", REG32(dev + FEATURES) & 1);
    REG32(dev + ACCEPT_SEL) = 1;
    REG32(dev + ACCEPT) = 1;
    REG32(dev + ACCEPT_SEL) = 0;
    REG32(dev + ACCEPT) = 0;
    REG32(dev + STATUS) = 11;
    show("status", REG32(dev + STATUS));
    for (unsigned i = 0; i < n_queues; i++)
        queue_init(i);
    REG32(dev + STATUS) = 15;
}

/* Hand the chain that begins at descriptor 0 to the device. */
static void offer(unsigned n)
{
    Queue *q = &queues[n];
    q->avail[2 + q->avail[1] % SIZE] = 0;
    fence();
    q->avail[1]++;
    fence();
    REG32(dev + NOTIFY) = n;
}

static uint32_t wait(unsigned n)
{
    Queue *q = &queues[n];
    while (q->used.idx != q->avail[1])
        fence();
    while (!(REG32(dev + ISR) & 1))
        ;
    REG32(dev + ACK) = 1;
    return q->used.ring[(uint16_t)(q->used.idx - 1) % SIZE].len;
}

static Desc part(unsigned b, uint32_t len, uint16_t flags, uint16_t next)
{
    return (Desc){ (u64)(uintptr_t)buf[b], len, flags, next };
}

static void set32(unsigned b, unsigned at, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        buf[b][at + i] = (unsigned char)(v >> 8 * i);
}

static void block_request(uint32_t type, uint32_t sector, unsigned data)
{
    Queue *q = &queues[0];
    for (unsigned i = 0; i < 16; i++)
        buf[0][i] = 0;
    set32(0, 0, type);
    set32(0, 8, sector);
    buf[1][0] = 0xff;
    q->desc[0] = part(0, 16, NEXT, 1);
    q->desc[1] = part(data, 512, NEXT | (type ? 0 : WRITE), 2);
    q->desc[2] = part(1, 1, WRITE, 0);
    offer(0);
    show("length", wait(0));
    show("status", buf[1][0]);
}

static void block(void)
{
    start("block", BLOCK, 1);
    show("sectors", REG32(dev + CONFIG));
    block_request(0, 0, 2);
    print((char *)buf[2]);
    for (unsigned i = 0; i < 512; i++)
        buf[2][i] = (unsigned char)(i * 7);
    block_request(1, 5, 2);
    block_request(0, 5, 3);
    unsigned same = 0;
    for (unsigned i = 0; i < 512; i++)
        same += buf[3][i] == (unsigned char)(i * 7);
    show("bytes as written", same);
    block_request(0, 0x7fffffff, 3);            /* beyond the end */
}

/* Who has 10.0.2.2? */
static void net(void)
{
    static const unsigned char arp[] = { 0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2 };
    enum { HEADER = 12, ETHER = 14 };
    start("net", NET, 2);
    queues[0].desc[0] = part(0, 2048, WRITE, 0);
    offer(0);
    for (unsigned i = 0; i < HEADER + 60; i++)
        buf[1][i] = i >= HEADER && i < HEADER + 6 ? 0xff : 0;
    for (unsigned i = 0; i < 6; i++)
        buf[1][HEADER + 6 + i] = arp[8 + i];
    buf[1][HEADER + 12] = 8;
    buf[1][HEADER + 13] = 6;
    for (unsigned i = 0; i < sizeof(arp); i++)
        buf[1][HEADER + ETHER + i] = arp[i];
    queues[1].desc[0] = part(1, HEADER + 60, 0, 0);
    offer(1);
    while (queues[1].used.idx != 1)
        fence();
    wait(0);
    print("answer");
    for (unsigned i = HEADER; i < HEADER + ETHER + sizeof(arp); i++) {
        put(' ');
        print_hex(buf[0][i]);
    }
    put('\n');
}

static void console(void)
{
    static const char text[] = "to the host\n";
    start("console", CONSOLE, 2);
    for (unsigned i = 0; i < sizeof(text); i++)
        buf[0][i] = (unsigned char)text[i];
    queues[1].desc[0] = part(0, sizeof(text) - 1, 0, 0);
    offer(1);
    show("length", wait(1));
}

static void random_numbers(void)
{
    unsigned n = 0;
    start("random", RANDOM, 1);
    for (unsigned i = 0; i < 64; i++)
        buf[0][i] = 0;
    queues[0].desc[0] = part(0, 64, WRITE, 0);
    offer(0);
    show("length", wait(0));
    for (unsigned i = 0; i < 64; i++)
        n += buf[0][i] != 0;
    show("most are not 0", n > 32);
}

#ifdef __aarch64__
void cpu_main(u64 cpu)
#else
void hart_main(u64 cpu)
#endif
{
    (void)cpu;
    block();
    net();
    console();
    random_numbers();
    DONE();
}
