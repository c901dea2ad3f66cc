#pragma once
#include "hw/storage/ide.h"
#include "util/bits.h"

/*
 * The IDE channel machine. A command runs on one channel at a time; its progress is data (IdeXfer), so that an error can be tried again and
 * a paused machine saved. Everything under the controller's lock.
 */
enum { IDE_SECTOR = 512, CD_SECTOR = 2048, IDE_BUF = 65536, IDE_MULT_MAX = 16 };
enum {  /* status register */
    ST_ERR = 0x01, ST_DRQ = 0x08, ST_DSC = 0x10, ST_DF = 0x20, ST_DRDY = 0x40, ST_BSY = 0x80,
};
enum {  /* error register */
    ER_ABRT = 0x04, ER_IDNF = 0x10, ER_UNC = 0x40,
};
enum {  /* interrupt reason (nsector of a packet device) */
    IR_COD = 1, IR_IO = 2,
};

typedef struct IdeCtrl IdeCtrl;
typedef struct IdeChannel IdeChannel;
typedef struct IdeReq IdeReq;

typedef struct IdeDrive {
    /* configuration */
    bool present, cd;
    BlockNode *node;            /* NULL: no medium */
    const char *serial, *model, *version, *id;
    BlockOnError rerror, werror;
    uint32_t cyls, heads, secs; /* default geometry */
    /* saved: task file */
    uint8_t feature, error, nsector, lba[3], select, status;
    uint8_t hob_feature, hob_nsector, hob_lba[3];
    uint8_t mult;
    uint8_t dma_mode;           /* SET FEATURES 3 */
    uint32_t cur_heads, cur_secs;
    bool wcache;
    /* saved: packet device */
    uint8_t sense, asc, ascq;
    bool locked, tray_open, media_event, unit_attention;
} IdeDrive;

typedef enum IdeKind {
    XFER_NONE,
    XFER_READ, XFER_WRITE,      /* the medium, through PIO or DMA */
    XFER_FLUSH,
    XFER_DATA,                  /* buf to the host: IDENTIFY, packet replies */
    XFER_PACKET,                /* the host sends a command packet */
} IdeKind;

typedef struct IdeXfer {
    uint8_t kind;               /* IdeKind */
    uint8_t unit;
    bool dma, fua, packet;
    bool io;                    /* waits for the block layer (in flight, or to be tried again) */
    bool bm_wait;               /* DMA: waits for the bus master to be started */
    uint64_t offset, left;      /* bytes on the medium */
    uint32_t block;             /* bytes moved an interrupt (PIO), or the packet's byte count limit */
    uint32_t fill;              /* bytes in buf */
    uint32_t pos, end;          /* the host moves buf[pos, end) now */
} IdeXfer;

typedef struct IdeBm {          /* bus master registers and the place in the PRD table */
    uint8_t cmd, status;
    uint32_t prd;
    uint32_t next_prd, seg_addr, seg_len;
    uint32_t n_prds;
    bool eot;
} IdeBm;

struct IdeChannel {
    IdeCtrl *ctrl;
    unsigned index;
    IdeDrive drive[2];
    Bus *bus;
    unsigned in_flight;         /* requests at the block layer, stale ones included */
    uint32_t generation;
    /* saved: */
    uint8_t control;            /* device control: nIEN, SRST, HOB */
    uint8_t unit;
    bool irq;
    IdeXfer x;
    IdeBm bm;
    uint8_t buf[IDE_BUF];
};

typedef struct IdeBus {
    Bus bus;
    IdeChannel *ch;
} IdeBus;

struct IdeCtrl {
    PciDevice pci;              /* must be first */
    IdeChannel ch[2];
    IdeBus bus[2];
};

/* ide.c */
void ide_ports_init(IdeCtrl *c);
void ide_channel_reset(IdeChannel *ch, bool power_on);
void ide_raise(IdeChannel *ch);
void ide_update_irq(IdeChannel *ch);
void ide_signature(IdeDrive *d);
IdeDrive *ide_selected(IdeChannel *ch);
/* End the command: status, error register, interrupt. */
void ide_ok(IdeChannel *ch);
void ide_fail(IdeChannel *ch, uint8_t error);
/* Reply with buf[0, len) in one piece (not packet). */
void ide_reply(IdeChannel *ch, uint32_t len);
void ide_start(IdeChannel *ch, IdeKind kind, uint64_t offset, uint64_t len, uint32_t block, bool dma, bool fua);
void ide_write_port(IdeChannel *ch, unsigned reg, uint8_t val);
uint8_t ide_read_port(IdeChannel *ch, unsigned reg);
uint64_t ide_data_read(IdeChannel *ch, unsigned size);
void ide_data_write(IdeChannel *ch, uint64_t val, unsigned size);
/* ide-io.c: the next piece of medium or bus master work; call again when something changed. */
void ide_io_step(IdeChannel *ch);
void ide_io_cancel(IdeChannel *ch);     /* what is in flight becomes stale */
/* The block layer filled buf (PIO) or moved everything (DMA): go on. */
void ide_io_done(IdeChannel *ch);
void ide_io_failed(IdeChannel *ch);
void ide_bm_start(IdeChannel *ch);
/* ata.c, atapi.c */
void ata_command(IdeChannel *ch, uint8_t cmd);
void atapi_packet(IdeChannel *ch);      /* buf holds 12 bytes */
void atapi_begin(IdeChannel *ch);       /* PACKET command */
void atapi_identify(IdeChannel *ch);
void atapi_slice(IdeChannel *ch);       /* announce the next piece of buf */
void atapi_done(IdeChannel *ch);
void atapi_io_error(IdeChannel *ch);
void ide_string(uint8_t *dst, const char *src, unsigned len);   /* ATA strings: bytes of each word swapped, spaces behind */
