/*
 * A kernel that starts in real mode after firmware: an option ROM with a boot entry vector (BIOS Boot Specification 1.01, section 3.3; Plug and Play BIOS
 * Specification 1.0A, section 3.2). Firmware calls it as the first thing to boot; it fetches the plan's parts by fw_cfg's DMA and enters the setup code.
 */
#include <string.h>

#include "hw/board/pc-internal.h"
#include "hw/misc/fw_cfg.h"
#include "util/bits.h"

enum { ROM_SIZE = 1024, ROM_INIT = 3, ROM_PNP_AT = 0x1a, ROM_PNP = 0x20, ROM_NAME = 0x40, ROM_ARGS = 0x70, ROM_CODE = 0x80, ROM_TABLE = 0x100, DESC_SIZE = 16 };

/*
 * Entered with a stack in the first 64 KiB, which is not in the ROM's segment: the descriptors are copied there, because the answer to one is written
 * into it. A descriptor of control 0 ends the table. Where something cannot be fetched, INT 18h tells firmware to boot something else.
 */
static const uint8_t code[] = {
    0xfc, 0x0e, 0x1f,                   /*       cld; push cs; pop ds */
    0x83, 0xec, DESC_SIZE, 0x89, 0xe5,  /*       sub sp, 16; mov bp, sp */
    0xbe, 0x00, ROM_TABLE >> 8,         /*       mov si, ROM_TABLE */
    0x66, 0x83, 0x3c, 0x00, 0x74, 0x38, /* next: cmp dword [si], 0; je go */
    0x16, 0x07, 0x89, 0xef,             /*       push ss; pop es; mov di, bp */
    0xb9, 0x08, 0x00, 0xf3, 0xa5,       /*       mov cx, 8; rep movsw */
    0x66, 0x31, 0xc0, 0xba, 0x14, 0x05, /*       xor eax, eax; mov dx, 514h */
    0x66, 0xef, 0x8c, 0xd0,             /*       out dx, eax; mov ax, ss */
    0x66, 0xc1, 0xe0, 0x04,             /*       shl eax, 4 */
    0x66, 0x0f, 0xb7, 0xcd,             /*       movzx ecx, bp */
    0x66, 0x01, 0xc8, 0x66, 0x0f, 0xc8, /*       add eax, ecx; bswap eax */
    0xb2, 0x18, 0x66, 0xef,             /*       mov dl, 18h; out dx, eax */
    0x66, 0x8b, 0x46, 0x00,             /* wait: mov eax, [bp] */
    0x66, 0x85, 0xc0, 0x74, 0xcc,       /*       test eax, eax; jz next */
    0x66, 0x3d, 0x00, 0x00, 0x00, 0x01, /*       cmp eax, 1000000h (the error bit, big endian) */
    0x75, 0xef, 0xcd, 0x18,             /*       jne wait; int 18h */
    0xfa, 0xa1, ROM_ARGS, 0x00,         /* go:   cli; mov ax, [ROM_ARGS] */
    0x8b, 0x1e, ROM_ARGS + 2, 0x00,     /*       mov bx, [ROM_ARGS + 2] */
    0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xe0, /*       mov ds, ax; mov es, ax; mov fs, ax */
    0x8e, 0xe8, 0x8e, 0xd0, 0x89, 0xdc, /*       mov gs, ax; mov ss, ax; mov sp, bx */
    0x83, 0xc0, 0x20, 0x50, 0x6a, 0x00, /*       add ax, 20h; push ax; push 0 */
    0xcb,                               /*       retf */
};
G_STATIC_ASSERT(ROM_CODE + sizeof(code) <= ROM_TABLE && (ROM_TABLE & 0xff) == 0);

/* fw_cfg's items for the plan's segments, in their order. */
static const unsigned items[] = { FW_CFG_KERNEL_DATA, FW_CFG_SETUP_DATA, FW_CFG_CMDLINE_DATA, FW_CFG_INITRD_DATA };

static uint8_t bytes_sum(const uint8_t *p, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + p[i]);
    return sum;
}

static void put_header(uint8_t *rom, const BootPlan *plan)
{
    static const uint8_t init[] = { 0x31, 0xc0, 0xcb };         /* xor ax, ax; retf */
    uint8_t *pnp = rom + ROM_PNP;
    store_le16(rom, 0xaa55);
    rom[2] = ROM_SIZE / 512;
    memcpy(rom + ROM_INIT, init, sizeof(init));
    store_le16(rom + ROM_PNP_AT, ROM_PNP);
    memcpy(pnp, "$PnP", 4);
    pnp[4] = 1;                         /* revision */
    pnp[5] = 2;                         /* length in 16 bytes */
    store_le16(pnp + 0x10, ROM_NAME);
    pnp[0x12] = 1;                      /* base type: mass storage, as what boots by a vector of its own says (PnP BIOS 3.2) */
    pnp[0x15] = 0x64;                   /* not a display or input device, an IPL device, nothing hooked */
    store_le16(pnp + 0x1a, ROM_CODE);   /* boot entry vector */
    pnp[9] = (uint8_t)-bytes_sum(pnp, 0x20);
    memcpy(rom + ROM_NAME, "the kernel of -kernel", 22);
    store_le16(rom + ROM_ARGS, (uint16_t)((plan->entry - 0x200) >> 4));
    store_le16(rom + ROM_ARGS + 2, (uint16_t)plan->stack);
    memcpy(rom + ROM_CODE, code, sizeof(code));
}

void pc_offer_kernel(Pc *pc)
{
    enum { CONTROL_READ = 2, CONTROL_SELECT = 8 };
    uint8_t rom[ROM_SIZE] = { 0 };
    put_header(rom, &pc->plan);
    for (unsigned i = 0; i < MIN(pc->plan.segments->len, (guint)ARRAY_LEN(items)); i++) {
        const BootSegment *s = &g_array_index(pc->plan.segments, BootSegment, i);
        uint8_t *d = rom + ROM_TABLE + DESC_SIZE * i;
        store_be32(d, items[i] << 16 | CONTROL_SELECT | CONTROL_READ);
        store_be32(d + 4, (uint32_t)s->len);
        store_be64(d + 8, s->gpa);
        fw_cfg_set_bytes(pc->fw_cfg, items[i], s->data);
    }
    rom[6] = (uint8_t)-bytes_sum(rom, sizeof(rom));
    machine_set_fw_file(pc->m, PC_KERNEL_ROM, rom, sizeof(rom));
}
