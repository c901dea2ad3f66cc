#pragma once
#include "cpu/x86/state.h"
#include "tcg/user/convert.h"
#include "tcg/user/internal.h"

/* Private to tcg/user/x86: what x86-64 and i386 programs share (regs.c). */
enum { X86U_CODE32 = 0x23, X86U_DATA = 0x2b, X86U_CODE64 = 0x33, X86U_TLS_FIRST = 12, X86U_TLS_LAST = 14, X86U_GDT = 16, USER_CALLS_I386 = 512 };
enum { X86U_FLAGS = X86_ARITH | X86_TF | X86_DF | X86_RF | X86_AC };   /* what a signal handler may change */

/* Of every thread: its descriptor table, which its GDTR points to. */
typedef struct X86Own { uint64_t gdt[X86U_GDT]; } X86Own;

static inline X86State *x86_user_state(const UserThread *t) { return t->state; }
bool x86_user_setup(UserProc *p, GError **err);
/* As Linux starts a program. */
void x86_user_registers(UserThread *t, bool is32);
/* A copy of the parent's, with the thread's own descriptor table. */
void x86_user_copy(UserThread *child, const UserThread *parent);
bool x86_user_sysreg_read(UserThread *t, uint32_t reg, uint64_t *ret);
/* What a signal handler begins with (Linux's way: the interrupted code's is in the frame only). */
void x86_user_fresh_fpu(X86State *s);
bool x86_user_exception(UserThread *t, unsigned vector, uint64_t error, uint64_t addr, siginfo_t *si);
/* FS or another data segment register from a selector as programs have them; what is not in the table becomes null. */
void x86_user_load_seg(UserThread *t, unsigned seg, uint16_t sel);
/* Registers with selector @sel again, whose descriptor has changed. */
void x86_user_reload(UserThread *t, uint16_t sel);
struct user_desc;
uint64_t x86_user_desc(const struct user_desc *u);
bool x86_user_desc_empty(const struct user_desc *u);
/* ldt.c */
int64_t x86_user_modify_ldt(UserThread *t, const uint64_t *a);
uint64_t x86_user_ldt_entry(const UserThread *t, uint16_t sel);
/* set_thread_area(2) with the struct user_desc at @at; @alloc: entry -1 takes a free one and is told. */
int64_t x86_user_set_tls(UserThread *t, uint64_t at, bool alloc);
int64_t x86_user_get_tls(UserThread *t, uint64_t at);

extern const UserCall user_calls_i386[USER_CALLS_I386];
