#include "cpu/x86/irqchip.h"

static const FieldDesc pic_chip_fields[] = {
    FIELD(X86Pic, line), FIELD(X86Pic, irr), FIELD(X86Pic, imr), FIELD(X86Pic, isr), FIELD(X86Pic, lowest), FIELD(X86Pic, base),
    FIELD(X86Pic, elcr), FIELD(X86Pic, init_state), FIELD(X86Pic, icw1), FIELD(X86Pic, read_isr), FIELD(X86Pic, poll),
    FIELD(X86Pic, special_mask), FIELD(X86Pic, aeoi), FIELD(X86Pic, rotate_aeoi), FIELD(X86Pic, sfnm), { 0 }
};
const FieldDesc x86_pic_fields[] = { FIELD_SUB_ARRAY(X86PicState, chip, pic_chip_fields), { 0 } };

static const FieldDesc pit_channel_fields[] = {
    FIELD(X86PitChannel, count), FIELD(X86PitChannel, next_count), FIELD(X86PitChannel, start), FIELD(X86PitChannel, elapsed),
    FIELD(X86PitChannel, switch_at),
    FIELD(X86PitChannel, latch), FIELD(X86PitChannel, latched), FIELD(X86PitChannel, status), FIELD(X86PitChannel, status_latched),
    FIELD(X86PitChannel, rw), FIELD(X86PitChannel, mode), FIELD(X86PitChannel, write_low), FIELD(X86PitChannel, bcd),
    FIELD(X86PitChannel, gate), FIELD(X86PitChannel, read_msb), FIELD(X86PitChannel, write_msb), FIELD(X86PitChannel, loaded),
    FIELD(X86PitChannel, null_count), FIELD(X86PitChannel, armed), { 0 }
};
const FieldDesc x86_pit_fields[] = { FIELD_SUB_ARRAY(X86PitState, ch, pit_channel_fields), FIELD(X86PitState, port61), { 0 } };

const FieldDesc x86_ioapic_fields[] = {
    FIELD_ARRAY(X86IoapicState, redir), FIELD(X86IoapicState, id), FIELD(X86IoapicState, irr), FIELD(X86IoapicState, line),
    FIELD(X86IoapicState, select), { 0 }
};

const FieldDesc x86_lapic_fields[] = {
    FIELD_ARRAY(X86LapicState, reg), FIELD(X86LapicState, apic_base), FIELD(X86LapicState, tsc_deadline), FIELD(X86LapicState, timer_start),
    FIELD(X86LapicState, timer_running), FIELD(X86LapicState, esr_pending), FIELD(X86LapicState, lint), { 0 }
};
