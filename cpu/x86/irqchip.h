#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "util/fielddesc.h"

/*
 * State of the PC's interrupt controllers and its interval timer, as both the models in hw/ and an engine with in-kernel
 * chips may own it. Plain data without pointers: hand-over of ownership copies these structs, snapshots save them through the tables below.
 */

/* One 8259A (Intel 231468). Bit n of a byte is IR n. */
typedef struct X86Pic {
    uint8_t line;           /* level of the inputs */
    uint8_t irr, imr, isr;
    uint8_t lowest;         /* IR with the lowest priority, 0..7 */
    uint8_t base;           /* ICW2 bits 7:3 */
    uint8_t elcr;           /* level triggered inputs (PIIX 4d0h/4d1h) */
    uint8_t init_state;     /* 0: operating; 1, 2, 3: waits for ICW2, ICW3, ICW4 */
    uint8_t icw1;           /* bits 0 (IC4) and 1 (SNGL) of the running initialization */
    bool read_isr, poll, special_mask, aeoi, rotate_aeoi, sfnm;
} X86Pic;
typedef struct X86PicState { X86Pic chip[2]; } X86PicState;     /* 0 master, 1 slave */

/* One counter of the 8254 (Intel 231164). Ticks are PIT clocks since virtual time 0. */
typedef struct X86PitChannel {
    uint32_t count;         /* 1..65536: what CE was loaded with last */
    uint32_t next_count;    /* CR; 1..65536 */
    uint64_t start;         /* tick at which @count began to run; running only */
    uint64_t elapsed;       /* ticks run so far while not running */
    uint64_t switch_at;     /* modes 2 and 3 with null_count: ticks after @start at which @next_count is loaded */
    uint16_t latch;
    uint8_t latched;        /* bytes of @latch still to be read */
    uint8_t status, status_latched;
    uint8_t rw;             /* 1 LSB, 2 MSB, 3 both */
    uint8_t mode;           /* 0..5 */
    uint8_t write_low;      /* first byte of a two-byte write */
    bool bcd, gate, read_msb, write_msb;    /* *_msb: the next byte is the second one */
    bool armed;             /* a count was written since the control word */
    bool loaded;            /* and is in CE (modes 1 and 5: the gate triggered) */
    bool null_count;        /* CR not yet in CE */
} X86PitChannel;
typedef struct X86PitState {
    X86PitChannel ch[3];
    uint8_t port61;         /* bits 3:0 as written */
} X86PitState;

/* 82093AA (Intel 290566). */
enum { X86_IOAPIC_PINS = 24 };
typedef struct X86IoapicState {
    uint64_t redir[X86_IOAPIC_PINS];
    uint32_t id;            /* bits 27:24 as in the register */
    uint32_t irr;           /* edges latched, levels present */
    uint32_t line;          /* level of the inputs */
    uint8_t select;
} X86IoapicState;

/* Local APIC (SDM 3A chapter 11). reg[n] is the register at xAPIC offset n * 16, IRR, ISR and TMR included. */
typedef struct X86LapicState {
    uint32_t reg[64];
    uint64_t apic_base;     /* IA32_APIC_BASE */
    uint64_t tsc_deadline;  /* IA32_TSC_DEADLINE; 0 = disarmed */
    int64_t timer_start;    /* virtual ns at which the present countdown began */
    bool timer_running;     /* one-shot and periodic modes */
    uint32_t esr_pending;   /* errors since the last write to ESR */
    uint8_t lint;           /* level of LINT0 (bit 0) and LINT1 (bit 1) */
} X86LapicState;

/* All of a machine but the local APICs, which travel with their vCPUs. */
typedef struct X86Irqchips {
    X86PicState pic;
    X86PitState pit;
    X86IoapicState ioapic;
    unsigned n_lapics;
    X86LapicState *lapic;   /* @n_lapics, by vCPU index; the caller's */
    bool has_pit;           /* out: the engine owned the PIT too; in: it takes it if it can */
    uint64_t pit_now;       /* the virtual clock's tick (1.193 MHz) that pit is of */
} X86Irqchips;

extern const FieldDesc x86_pic_fields[], x86_pit_fields[], x86_ioapic_fields[], x86_lapic_fields[];
