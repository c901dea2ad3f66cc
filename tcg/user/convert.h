#pragma once
#include <sys/uio.h>

#include "tcg/user/internal.h"

/*
 * Guests whose words or alignment are not the host's: structures by description, system calls by a table of what each argument is. A call is first brought
 * to the form that a 64-bit guest would have used, in buffers of ours (guest addresses are host addresses), then goes the same way.
 */

/* Types of members as the guest has them. */
typedef enum UserKind {
    K_PAD,             /* the guest's alone, 0; count bytes */
    K_BYTES,           /* count bytes as they are */
    K_U16, K_U32, K_S32, K_U64,
    K_ID16,            /* a user or group id cut to 16 bits as Linux does it */
    K_LONG, K_ULONG,   /* words; to the guest: cut */
    K_SIZE,            /* word, to the guest: EOVERFLOW when it does not fit */
    K_LIMIT,           /* word, all ones = no limit; to the guest: what is more is no limit */
    K_PTR,
} UserKind;
typedef struct UserField { uint8_t kind, size; uint16_t at, count; } UserField;   /* host's size and offset; count: of K_PAD, K_BYTES */

typedef enum UserStructId {
    UST_NONE,
#define STRUCT(id, host) UST_##id,
#define M(kind, member)
#define PAD(n)
#define BYTES(member)
#define END
#include "tcg/user/structs.def"
    UST_COUNT
} UserStructId;
enum { USER_STRUCT_MAX = 256 };

unsigned user_struct_host_size(UserStructId id);
unsigned user_struct_guest_size(const UserAbi *abi, UserStructId id);
/* Whole structures in buffers. to_guest: 0 or -EOVERFLOW. */
void user_struct_to_host(const UserAbi *abi, UserStructId id, void *host, const void *guest);
int user_struct_to_guest(const UserAbi *abi, UserStructId id, void *guest, const void *host);
/* From and to the guest's memory: 0, -EFAULT, -EOVERFLOW. */
int64_t user_struct_get(UserThread *t, UserStructId id, void *host, uint64_t at);
int64_t user_struct_put(UserThread *t, UserStructId id, uint64_t at, const void *host);
/* siginfo_t with 32-bit words (sigaction(2), asm-generic/siginfo.h). */
enum { USER_SIGINFO_BYTES = 128 };
void user_siginfo_to_guest(const siginfo_t *si, void *guest);
void user_siginfo_to_host(siginfo_t *si, const void *guest);

/* What becomes of an argument. */
typedef enum UserHow {
    HOW_NONE, HOW_S, HOW_U,    /* a word, signed or not */
    HOW_IN, HOW_OUT, HOW_IO,   /* pointer to a structure, may be NULL; OUT is written if the call succeeds, IO always */
    HOW_REST,                  /* pointer to a structure: the time that was left, written if a signal came */
    HOW_PAIR,                  /* two words of the guest: low, high half */
    HOW_PAGES,                 /* in pages of 4096 */
    HOW_CONST,                 /* the host has one (its value: st) that the guest has not */
    HOW_IOV,                   /* array of iovec, its length is the next argument */
    HOW_FDS,                   /* fd_set, the number of bits is the first argument */
    HOW_ID16,                  /* 16-bit id, all ones = -1 */
    HOW_INFO_IN, HOW_INFO_OUT, /* siginfo_t */
    HOW_RESULT16,              /* (last) the result is a 16-bit id */
} UserHow;
typedef struct UserArg { uint8_t how, st; } UserArg;
enum { USER_CALL_ARGS = 7 };
/* args empty: all words, signedness as the table of calls has it. */
typedef struct UserCall { uint16_t sys; UserArg args[USER_CALL_ARGS]; } UserCall;

int64_t user_call_converted(UserThread *t, const UserCall *call, const uint64_t g[6]);

/* As the host's kernel has them. */
typedef struct KernelMsghdr { uint64_t name; uint32_t namelen, pad; uint64_t iov, iovlen, control, controllen; uint32_t flags, pad2; } KernelMsghdr;
typedef struct KernelIfreq { char name[16]; uint8_t u[16]; uint8_t pad[8]; } KernelIfreq;
typedef struct KernelIfreqPtr { char name[16]; uint64_t data; uint8_t pad[16]; } KernelIfreqPtr;
typedef struct KernelIfconf { int32_t len, pad; uint64_t buf; } KernelIfconf;
typedef struct KernelFprog { uint16_t len; uint64_t filter; } KernelFprog;

/* Array of @n iovec of the guest in the host's form, a byte behind them 0. Freed by the caller. */
int64_t user_iovec_get(UserThread *t, uint64_t at, uint64_t n, struct iovec **ret);
/* Guest word or pointer at @at. */
bool user_get_word(UserThread *t, uint64_t *ret, uint64_t at);
static inline unsigned user_word(const UserAbi *abi) { return abi->elf_class == 2 ? 8 : 4; }
