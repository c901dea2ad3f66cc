/* Hot loops of every kind, for the tiers that ordinary programs reach: sorting, calls, floating point in both formats, bits, strings, bytes, atomics. */
#include "tests/guest/riscv/guest.h"

u64 trap(u64 *regs);
u64 trap(u64 *regs)
{
    (void)regs;
    unexpected_trap();
}

static unsigned array[20000], seed = 1;
static unsigned char text[4096], table[256];

static unsigned rnd(void) { return seed = seed * 1664525 + 1013904223; }

static void sort(unsigned *v, long l, long r)
{
    unsigned p = v[(l + r) / 2];
    long i = l, j = r;
    while (i <= j) {
        while (v[i] < p)
            i++;
        while (v[j] > p)
            j--;
        if (i <= j) {
            unsigned t = v[i];
            v[i++] = v[j];
            v[j--] = t;
        }
    }
    if (l < j)
        sort(v, l, j);
    if (i < r)
        sort(v, i, r);
}

static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

static u64 bits_of(double d)
{
    union { double d; u64 u; } v = { d };
    return v.u;
}

static double x[5] = { 0, 1, 2, 3, 4 }, y[5] = { 1, 2, 0, 4, 3 }, vx[5], vy[5], m[5] = { 39, .1, .2, .03, .04 };

static void bodies(void)
{
    for (int i = 0; i < 5; i++)
        for (int j = i + 1; j < 5; j++) {
            double dx = x[i] - x[j], dy = y[i] - y[j], d2 = dx * dx + dy * dy, root;
            __asm__("fsqrt.d %0, %1" : "=f"(root) : "f"(d2));
            double g = 0.001 / (d2 * root);
            vx[i] -= dx * m[j] * g;
            vy[i] -= dy * m[j] * g;
            vx[j] += dx * m[i] * g;
            vy[j] += dy * m[i] * g;
        }
    for (int i = 0; i < 5; i++) {
        x[i] += 0.001 * vx[i];
        y[i] += 0.001 * vy[i];
    }
}

/* Singles, conversions, comparisons, now and then a NaN or an infinity. */
static u64 singles(void)
{
    float sum = 0, v = 1;
    u64 h = 0;
    for (int i = 0; i < 100000; i++) {
        v = v * 1.0001f + (float)(int)rnd() * 1e-9f;
        if (i % 1000 == 999)
            v = v / 0.0f;
        if (v != v || v > 1e6f || v < -1e6f)
            v = (float)(i & 15);
        sum += v < 0.5f ? v : -v;
        h = h * 31 + (u64)(int)(sum * 8) + (unsigned)(v > sum);
        h ^= (u64)(long)((double)v * 1e3);
    }
    return h;
}

static u64 bytes(void)
{
    u64 h = 0;
    for (int i = 0; i < 256; i++)
        table[i] = (unsigned char)(i * 7 + 3);
    for (int k = 0; k < 40; k++) {
        for (int i = 0; i < 4096; i++)
            text[i] = table[text[i] ^ (unsigned char)(i + k)];
        for (int i = 0; i < 4096; i++)
            h = (h << 5 | h >> 59) ^ text[i];
    }
    return h;
}

static u64 wide(void)
{
    u64 a = 0x123456789abcdef, h = 0;
    for (int i = 1; i < 50000; i++) {
        a ^= a << 13;
        a ^= a >> 7;
        a ^= a << 17;
        h += (u64)((unsigned __int128)a * h >> 64) + a / (unsigned)i + (u64)((long)a % (i + 3)) + (u64)((int)a / (i - 25000 ? i - 25000 : 1));
        h = h >> (a & 63) | h << ((64 - (a & 63)) & 63);
    }
    return h;
}

static u64 atomics(void)
{
    static u64 cell[4];
    for (u64 i = 0; i < 20000; i++) {
        __atomic_add_fetch(&cell[i & 3], i, __ATOMIC_SEQ_CST);
        __asm__ volatile("amomax.d zero, %0, (%1)" : : "r"(i * 3), "r"(&cell[1]) : "memory");
        u64 v, fail;
        do
            __asm__ volatile("lr.d %0, (%2)\nxori %0, %0, 5\nsc.d %1, %0, (%2)" : "=&r"(v), "=&r"(fail) : "r"(&cell[2]) : "memory");
        while (fail);
    }
    return cell[0] ^ cell[1] * 3 ^ cell[2] * 5 ^ cell[3] * 7;
}

void hart_main(u64 hart)
{
    if (hart)
        return;
    for (int k = 0; k < 10; k++) {
        for (int i = 0; i < 20000; i++)
            array[i] = rnd();
        sort(array, 0, 19999);
        show("sorted", array[k * 100]);
    }
    show("fib", (u64)fib(27));
    for (int k = 0; k < 60000; k++)
        bodies();
    show("x", bits_of(x[0]));
    show("y", bits_of(y[3]));
    show("singles", singles());
    show("fflags", CSR_READ(fflags));
    show("bytes", bytes());
    show("wide", wide());
    show("atomics", atomics());
    finish(0);
}
