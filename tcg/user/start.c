/* From a file name to a running program: finding it, its interpreter, the first stack (System V ABI 3.4, Linux's auxv). */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tcg/user/internal.h"
#include "util/random.h"

#ifndef AT_RSEQ_FEATURE_SIZE
enum { AT_RSEQ_FEATURE_SIZE = 27, AT_RSEQ_ALIGN = 28 };   /* linux/auxvec.h since 6.3 */
#endif
enum { STACK_DEFAULT = 8 << 20, STACK_MAX = 256 << 20, EXIT_CANNOT = 126, EXIT_NOT_FOUND = 127, SCRIPT_DEPTH = 4, SCRIPT_LINE = 256 };

static const UserAbi *const abis[] = { &user_abi_x86_64, &user_abi_i386, &user_abi_riscv64, &user_abi_aarch64 };

static const UserAbi *find_abi(unsigned machine, unsigned elf_class)
{
    for (unsigned n = 0; n < G_N_ELEMENTS(abis); n++)
        if (abis[n]->elf_machine == machine && abis[n]->elf_class == elf_class)
            return abis[n];
    return NULL;
}

const char *user_guest_name(unsigned machine, unsigned elf_class)
{
    const UserAbi *abi = find_abi(machine, elf_class);
    return abi ? abi->name : NULL;
}

char *user_cpu_help(void)
{
    GString *s = g_string_new(NULL);
    for (unsigned n = 0; n < G_N_ELEMENTS(abis); n++) {
        if (n && abis[n]->cpu_help == abis[n - 1]->cpu_help)
            continue;
        g_autofree char *models = abis[n]->cpu_help();
        g_string_append_printf(s, "%s%s programs, %s", n ? "\n" : "", abis[n]->name, models);
    }
    return g_string_free(s, false);
}

/* ---- the program's file ---- */
/* path: of the interpreter in the end, name: of the file that was asked for */
typedef struct Program { char *path, *name; int fd; GPtrArray *argv; unsigned machine, elf_class; } Program;

static bool set_status(int *ret, int status) { *ret = status; return false; }

static bool open_program(Program *g, int *ret_status, GError **err)
{
    struct stat st;
    g->fd = open(g->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (g->fd < 0 || fstat(g->fd, &st)) {
        bool missing = errno == ENOENT || errno == ENOTDIR;
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOENT, "cannot open '%s': %s", g->path, g_strerror(errno));
        return set_status(ret_status, missing ? EXIT_NOT_FOUND : EXIT_CANNOT);
    }
    if (!S_ISREG(st.st_mode) || !(st.st_mode & 0111)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_ACCES, "'%s' is %s", g->path, S_ISREG(st.st_mode) ? "not executable (chmod +x)" : "no regular file");
        return set_status(ret_status, EXIT_CANNOT);
    }
    return true;
}

/* "#!interpreter [argument]": as the kernel does it (execve(2)). */
static bool follow_script(Program *g, bool *ret_followed, int *ret_status, GError **err)
{
    char line[SCRIPT_LINE + 1];
    ssize_t n = pread(g->fd, line, SCRIPT_LINE, 0);
    *ret_followed = false;
    if (n < 3 || line[0] != '#' || line[1] != '!')
        return true;
    line[n] = 0;
    char *end = strpbrk(line, "\n");
    if (end)
        *end = 0;
    char *name = g_strstrip(line + 2), *arg = strpbrk(name, " \t");
    if (arg) {
        *arg++ = 0;
        arg = g_strstrip(arg);
    }
    if (!*name) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "'%s' names no interpreter behind its #!", g->path);
        return set_status(ret_status, EXIT_CANNOT);
    }
    g_ptr_array_remove_index(g->argv, 0);
    g_ptr_array_insert(g->argv, 0, g->path);
    if (arg && *arg)
        g_ptr_array_insert(g->argv, 0, g_strdup(arg));
    g_ptr_array_insert(g->argv, 0, g_strdup(name));
    close(g->fd);
    g->path = g_strdup(name);
    *ret_followed = true;
    return open_program(g, ret_status, err);
}

/* Without a slash: the current folder's file of that name, else along $PATH as a shell does. */
static char *locate(const char *program)
{
    if (strchr(program, '/') || !access(program, F_OK))
        return g_strdup(program);
    char *found = g_find_program_in_path(program);
    return found ? found : g_strdup(program);
}

static bool program_open(Program *g, const char *program, const char *argv0, char **argv, int *ret_status, GError **err)
{
    g->fd = -1;
    g->path = locate(program);
    g->name = g_path_get_basename(g->path);
    g->argv = g_ptr_array_new_with_free_func(g_free);
    for (; *argv; argv++)
        g_ptr_array_add(g->argv, g_strdup(*argv));
    if (!g->argv->len)
        g_ptr_array_add(g->argv, g_strdup(program));
    if (argv0) {
        g_free(g->argv->pdata[0]);
        g->argv->pdata[0] = g_strdup(argv0);
    }
    if (!open_program(g, ret_status, err))
        return false;
    bool followed = true;
    for (int depth = 0; followed && depth <= SCRIPT_DEPTH; depth++)
        if (!follow_script(g, &followed, ret_status, err))
            return false;
    if (!user_elf_peek(g->fd, &g->machine, &g->elf_class)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "'%s' is no ELF program of a little-endian CPU, and no script", g->path);
        return set_status(ret_status, EXIT_CANNOT);
    }
    return true;
}

/* ---- the first stack ---- */
typedef struct Stack { uint64_t low, sp; } Stack;

static uint64_t stack_size(void)
{
    struct rlimit lim;
    if (getrlimit(RLIMIT_STACK, &lim) || lim.rlim_cur == RLIM_INFINITY)
        return STACK_DEFAULT;
    return CLAMP(lim.rlim_cur, 128 << 10, STACK_MAX) & ~(uint64_t)(USER_PAGE - 1);
}

/* Below it lies nothing for as far as the kernel keeps others away (stack_guard_gap): who runs over the end is told. */
static bool map_stack(UserProc *p, bool exec, Stack *s, GError **err)
{
    uint64_t size = stack_size();
    uint8_t *at = user_map_raw(p, p->stack_guard, size + USER_STACK_GAP, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED || mprotect(at + USER_STACK_GAP, size, PROT_READ | PROT_WRITE)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOMEM, "no memory for a stack of %llu KiB: %s", (unsigned long long)size >> 10, g_strerror(errno));
        return false;
    }
    p->stack_guard = (uint64_t)(uintptr_t)at;
    s->low = p->stack_guard + USER_STACK_GAP;
    s->sp = p->stack_top = s->low + size;
    user_map_add(p, s->low, s->sp, PROT_READ | PROT_WRITE | (exec ? PROT_EXEC : 0), false, 0, -1, "[stack]");
    return true;
}

static uint64_t push(Stack *s, const void *data, size_t len)
{
    s->sp -= len;
    if (s->sp < s->low + (64 << 10))
        s->sp = s->low;        /* noticed by the caller */
    else
        memcpy(g2h(s->sp), data, len);
    return s->sp;
}

static uint64_t push_string(Stack *s, const char *str) { return push(s, str, strlen(str) + 1); }

static void aux(UserProc *p, uint64_t type, uint64_t value)
{
    p->auxv[p->n_auxv++] = type;
    p->auxv[p->n_auxv++] = value;
}

static void make_auxv(UserProc *p, Stack *s, const UserImage *exe, const UserImage *interp)
{
    const UserAbi *abi = p->abi;
    uint8_t random[16];
    random_bytes(random, sizeof(random));
    uint64_t platform = abi->platform ? push_string(s, abi->platform) : 0, name = push_string(s, p->exe);
    s->sp &= ~15ull;
    uint64_t rnd = push(s, random, sizeof(random));
    aux(p, AT_PHDR, exe->phdr);
    aux(p, AT_PHENT, abi->elf_class == ELFCLASS64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));
    aux(p, AT_PHNUM, exe->phnum);
    aux(p, AT_PAGESZ, USER_PAGE);
    aux(p, AT_BASE, interp->base);
    aux(p, AT_FLAGS, 0);
    aux(p, AT_ENTRY, exe->entry);
    aux(p, AT_UID, getuid());
    aux(p, AT_EUID, geteuid());
    aux(p, AT_GID, getgid());
    aux(p, AT_EGID, getegid());
    aux(p, AT_SECURE, getauxval(AT_SECURE));
    aux(p, AT_CLKTCK, (uint64_t)sysconf(_SC_CLK_TCK));
    if (abi->hwcap)
        aux(p, AT_HWCAP, abi->hwcap);
    aux(p, AT_HWCAP2, abi->hwcap2);
    aux(p, AT_RANDOM, rnd);
    aux(p, AT_EXECFN, name);
    if (platform)
        aux(p, AT_PLATFORM, platform);
    if (p->vdso)
        aux(p, AT_SYSINFO_EHDR, p->vdso);
    if (abi->auxv)
        p->n_auxv += abi->auxv(p, p->auxv + p->n_auxv);
    aux(p, AT_RSEQ_FEATURE_SIZE, USER_RSEQ_FEATURES);
    aux(p, AT_RSEQ_ALIGN, USER_RSEQ_ALIGN);
    aux(p, AT_NULL, 0);
}

/* The first string lowest, the next one behind it. */
static void push_list(Stack *s, char **list, unsigned n, uint64_t *at)
{
    at[n] = 0;
    for (unsigned k = n; k-- > 0;)
        at[k] = push_string(s, list[k]);
}

/* Where the kernel thinks the parts of this process are (proc_pid_stat(5)): they stay where they are. */
static bool learn_layout(struct prctl_mm_map *ret)
{
    char text[1024], *word = NULL;
    uint64_t v[48] = { 0 };
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (got > 0) {
        text[got] = 0;
        word = strrchr(text, ')');
    }
    for (unsigned n = 3; word && n < G_N_ELEMENTS(v) && (word = strchr(word, ' ')); n++)
        v[n] = g_ascii_strtoull(++word, NULL, 10);
    *ret = (struct prctl_mm_map){ .start_code = v[26], .end_code = v[27], .start_stack = v[28], .start_data = v[45], .end_data = v[46], .start_brk = v[47] };
    return word;
}

/* /proc/PID/cmdline and environ, for ps and pkill, are the guest's from now on, where it may write over them as it does natively (prctl(2), PR_SET_MM_MAP).
 * Where the kernel does not allow it they stay those of tandem-user. */
static bool show_strings(UserProc *p, uint64_t args, uint64_t envs, uint64_t end)
{
    if (!p->layout.end_code && !learn_layout(&p->layout))
        return false;
    struct prctl_mm_map map = p->layout;
    map.brk = (uint64_t)syscall(SYS_brk, 0);
    map.arg_start = args;
    map.arg_end = map.env_start = envs;
    map.env_end = end;
    map.exe_fd = (uint32_t)-1;
    return !prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0);
}

static bool build_stack(UserProc *p, Stack *s, char **envp, const UserImage *exe, const UserImage *interp, GError **err)
{
    unsigned argc = g_strv_length(p->argv), envc = g_strv_length(envp), word = p->abi->elf_class == ELFCLASS64 ? 8 : 4;
    g_autofree uint64_t *args = g_new(uint64_t, argc + 1), *envs = g_new(uint64_t, envc + 1);
    uint64_t end = s->sp;
    push_list(s, envp, envc, envs);
    uint64_t middle = s->sp;
    push_list(s, p->argv, argc, args);
    p->strings_shown = show_strings(p, (uint64_t)(uintptr_t)g2h(s->sp), (uint64_t)(uintptr_t)g2h(middle), (uint64_t)(uintptr_t)g2h(end));
    make_auxv(p, s, exe, interp);
    uint64_t words = 1 + argc + 1 + envc + 1 + p->n_auxv;
    s->sp = ((s->sp & ~15ull) - words * word) & ~15ull;
    if (s->sp < s->low + (32 << 10)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "arguments and environment are too long for the stack (ulimit -s)");
        return false;
    }
    g_autofree uint64_t *all = g_new(uint64_t, words);
    unsigned n = 0;
    all[n++] = argc;
    memcpy(all + n, args, (argc + 1) * 8);
    memcpy(all + (n += argc + 1), envs, (envc + 1) * 8);
    memcpy(all + (n += envc + 1), p->auxv, p->n_auxv * 8);
    for (unsigned k = 0; k < words; k++)
        memcpy((uint8_t *)g2h(s->sp) + k * word, &all[k], word);
    return true;
}

/* ---- putting it together ---- */
static bool cb_exec_ok(void *opaque, uint64_t va) { return user_can_exec(((UserThread *)opaque)->proc, va); }
static bool cb_write_ok(void *opaque, uint64_t va) { return user_can_write(((UserThread *)opaque)->proc, va); }
static void cb_page_code(void *opaque, uint64_t va, bool armed) { user_page_code(((UserThread *)opaque)->proc, va, armed); }

/* What the process is called, to itself (/proc/self) and to others; @g's arguments are the process's then. */
static void set_names(UserProc *p, Program *g)
{
    g_free(p->exe);
    g_strfreev(p->argv);
    char *real = realpath(g->path, NULL);
    p->exe = g_strdup(real ? real : g->path);
    free(real);
    g_ptr_array_add(g->argv, NULL);
    p->argv = (char **)g_ptr_array_free(g->argv, FALSE);
    g->argv = NULL;
    prctl(PR_SET_NAME, g->name);
}

static UserProc *proc_new(const UserOptions *o, const UserAbi *abi, Program *g, GError **err)
{
    UserProc *p = g_new0(UserProc, 1);
    p->options = *o;
    p->abi = abi;
    set_names(p, g);
    p->threads = g_ptr_array_new();
    pthread_mutex_init(&p->signal_lock, NULL);
    pthread_mutex_init(&p->thread_lock, NULL);
    user_map_init(p);
    user_limits_init(p);
    TcgConfig config = { .tier = o->tier, .direct = true, .others = IR_ALONE, .log = o->log };
    p->tcg = tcg_new(&config, err);
    if (!p->tcg || (abi->setup && !abi->setup(p, err)))
        return NULL;
    return p;
}

static char *interp_path(const UserProc *p, const char *name)
{
    if (p->options.sysroot && name[0] == '/') {
        char *in_root = g_build_filename(p->options.sysroot, name, NULL);
        if (!access(in_root, F_OK))
            return in_root;
        g_free(in_root);
    }
    return g_strdup(name);
}

static bool load_interp(UserProc *p, const UserImage *exe, UserImage *interp, int *ret_status, GError **err)
{
    g_autofree char *path = interp_path(p, exe->interp);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno != ENOENT && errno != ENOTDIR) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_ACCES, "'%s' needs the interpreter '%s': %s", p->exe, path, g_strerror(errno));
        return set_status(ret_status, EXIT_CANNOT);
    }
    if (fd < 0) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOENT, "'%s' needs the interpreter '%s', which is not there: name the folder with the guest's libraries by -L",
                    p->exe, path);
        return set_status(ret_status, EXIT_NOT_FOUND);
    }
    bool ok = user_elf_load(p, fd, path, false, interp, ret_status, err);
    if (ok && (interp->machine != p->abi->elf_machine || interp->elf_class != p->abi->elf_class)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "the interpreter '%s' is for another CPU than '%s' (-L names the right folder)", path, p->exe);
        *ret_status = EXIT_CANNOT;
        ok = false;
    }
    close(fd);
    return ok;
}

/* The program's image and first stack. */
static bool load(UserProc *p, const Program *g, char **envp, uint64_t *ret_pc, uint64_t *ret_sp, int *ret_status, GError **err)
{
    UserImage exe, interp = { 0 };
    Stack stack;
    if (!user_elf_load(p, g->fd, p->exe, true, &exe, ret_status, err) || (exe.interp && !load_interp(p, &exe, &interp, ret_status, err)))
        return false;
    p->brk_start = p->brk = p->brk_mapped = exe.end;
    if (!map_stack(p, exe.exec_stack, &stack, err) || !build_stack(p, &stack, envp, &exe, &interp, err))
        return set_status(ret_status, EXIT_CANNOT);
    close(g->fd);
    *ret_pc = exe.interp ? interp.entry : exe.entry;
    *ret_sp = stack.sp;
    user_elf_close(&exe);
    return true;
}

bool user_run(const UserOptions *o, const char *program, char **argv, char **envp, int *ret_status, GError **err)
{
    Program g = { 0 };
    uint64_t pc, sp;
    if (!program_open(&g, program, o->argv0, argv, ret_status, err))
        return false;
    const UserAbi *abi = find_abi(g.machine, g.elf_class);
    *ret_status = EXIT_CANNOT;
    if (!abi) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "'%s' is for a CPU that is not supported (ELF machine %u, %s-bit)", g.path, g.machine,
                    g.elf_class == ELFCLASS64 ? "64" : "32");
        return false;
    }
    UserProc *p = proc_new(o, abi, &g, err);
    if (!p || !load(p, &g, envp, &pc, &sp, ret_status, err))
        return false;
    UserThread *t = user_thread_new(p);
    p->abi->start(t, pc, sp);
    user_signal_init(p);
    user_thread_bind(t);
    user_thread_loop(t);
}

/* ---- exec in this process ---- */
static void program_close(Program *g)
{
    if (g->fd >= 0)
        close(g->fd);
    if (g->argv)
        g_ptr_array_unref(g->argv);
    g_free(g->path);
    g_free(g->name);
}

/* For the same CPU, with an interpreter that is there; who gains rights by it does not here. */
static bool can_be_here(const UserProc *p, const Program *g)
{
    struct stat st;
    unsigned machine, elf_class;
    g_autofree char *interp = NULL, *path = NULL;
    if (find_abi(g->machine, g->elf_class) != p->abi || fstat(g->fd, &st) || st.st_mode & (S_ISUID | S_ISGID) || !user_elf_interp(g->fd, &interp))
        return false;
    if (!interp)
        return true;
    path = interp_path(p, interp);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ok = fd >= 0 && user_elf_peek(fd, &machine, &elf_class) && find_abi(machine, elf_class) == p->abi;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* On the first stack beside everything else. */
static bool there_is_room(char **argv, char **envp)
{
    uint64_t bytes = 0;
    for (; *argv; argv++)
        bytes += strlen(*argv) + 1 + sizeof(*argv);
    for (; *envp; envp++)
        bytes += strlen(*envp) + 1 + sizeof(*envp);
    return bytes < stack_size() / 4;
}

static bool stays(void *opaque, uint64_t va) { return user_can_exec(opaque, va); }

/* Nobody is left who could be told of an error. */
static void replace(UserThread *t, Program *g, char **envp)
{
    UserProc *p = t->proc;
    g_autoptr(GError) err = NULL;
    g_autofree char *was = g_strdup(p->exe);
    uint64_t pc, sp;
    int status;
    set_names(p, g);
    if (p->vdso)
        user_map_add(p, p->vdso, p->vdso + USER_PAGE, PROT_READ | PROT_EXEC, false, 0, -1, "[vdso]");
    if (!load(p, g, envp, &pc, &sp, &status, &err))
        user_die(t, SIGKILL);
    g->fd = -1;
    p->abi->start(t, pc, sp);
    tcg_program_replaced(t->cpu, stays, p, !strcmp(was, p->exe));
}

bool user_exec_here(UserThread *t, const char *path, char **argv, char **envp)
{
    Program g = { .fd = -1 };
    g_autoptr(GError) err = NULL;
    GArray *files = NULL;
    int status;
    bool done = false;
    uint64_t mask = t->mask;
    if (user_exec_may(t) && there_is_room(argv, envp) && program_open(&g, path, *argv ? NULL : "", argv, &status, &err) && can_be_here(t->proc, &g) && (files = user_exec_files(g.fd))) {
        user_set_mask(t, ~0ull);
        if (!t->have_signal) {
            user_exec_undo(t, files);
            replace(t, &g, envp);
            t->keep_registers = done = true;
            tcg_cpu_kick(t->cpu);          /* nothing of this run is as it was */
        }
        user_set_mask(t, mask);
    }
    if (files)
        g_array_free(files, TRUE);
    program_close(&g);
    return done;
}

/* What translated code asks; the thread is its opaque. */
static void cb_exception(void *opaque, unsigned vector, uint64_t error, uint64_t addr)
{
    UserThread *t = opaque;
    t->exc.valid = true;
    t->exc.vector = vector;
    t->exc.error = error;
    t->exc.addr = addr;
    tcg_leave_with(t->cpu, TCG_LEAVE_EXCEPTION);
}

static TCG_CALL_PATH void cb_syscall(void *opaque, unsigned kind)
{
    user_syscall(opaque, kind);
}

static uint8_t *cb_page(void *opaque, uint64_t va, unsigned *ret_flags)
{
    *ret_flags = 0;
    return user_can_exec(((UserThread *)opaque)->proc, va) ? g2h(va) : NULL;
}

static bool cb_sysreg_read(void *opaque, uint32_t reg, uint64_t *ret)
{
    UserThread *t = opaque;
    const UserAbi *abi = t->proc->abi;
    *ret = 0;
    return abi->sysreg_read && abi->sysreg_read(t, reg, ret);
}

static bool cb_sysreg_write(void *opaque, uint32_t reg, uint64_t v) { (void)opaque, (void)reg, (void)v; return false; }
static bool cb_irq_pending(void *opaque) { (void)opaque; return false; }
static int cb_irq_ack(void *opaque) { (void)opaque; return -1; }
static uint64_t cb_time_counter(void *opaque) { (void)opaque; return __builtin_ia32_rdtsc(); }

const TcgCallbacks user_callbacks = {
    .page = cb_page, .page_code = cb_page_code, .exec_ok = cb_exec_ok, .write_ok = cb_write_ok, .exception = cb_exception,
    .syscall = cb_syscall, .sysreg_read = cb_sysreg_read, .sysreg_write = cb_sysreg_write, .irq_pending = cb_irq_pending, .irq_ack = cb_irq_ack, .time_counter = cb_time_counter,
};
