#pragma once
#include "tcg/user/internal.h"

/* The system calls that are ours: user_sys_NAME, arguments as the guest gave them, result or -errno. */
#define SYS(name, args)
#define SYSX(name, fn, args) UserSysFn user_sys_##fn;
#define OWNX(name, fn, args) UserSysFn user_sys_##fn;
#include "tcg/user/syscalls.def"
#undef SYS
#undef SYSX

/* Every writable page that code was made of: forget the code. False: there was none. */
bool user_unprotect_code(UserThread *t);
