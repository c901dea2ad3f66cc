/* Loading a program (System V ABI, chapters 4 and 5; Linux's binfmt_elf by observation). Every field of the file is hostile. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tcg/user/internal.h"

enum { MAX_PHDRS = 128, MAX_INTERP = 4096, EXIT_CANNOT = 126 };

/* Both classes in one form. */
typedef struct Phdr { uint32_t type, flags; uint64_t off, va, filesz, memsz, align; } Phdr;
typedef struct Load { UserProc *p; int fd; const char *path; UserImage *im; Phdr ph[MAX_PHDRS]; unsigned n; unsigned type; bool program; uint64_t phoff, file_size; int *status; GError **err; } Load;

static bool fail(Load *l, const char *why)
{
    *l->status = EXIT_CANNOT;
    g_set_error(l->err, G_FILE_ERROR, G_FILE_ERROR_INVAL, "'%s' cannot be run: %s", l->path, why);
    return false;
}

static bool read_at(int fd, void *to, size_t len, uint64_t off)
{
    return off <= INT64_MAX - len && pread(fd, to, len, (off_t)off) == (ssize_t)len;
}

bool user_elf_peek(int fd, unsigned *machine, unsigned *elf_class)
{
    unsigned char id[20];
    if (!read_at(fd, id, sizeof(id), 0) || memcmp(id, ELFMAG, SELFMAG) || id[EI_DATA] != ELFDATA2LSB)
        return false;
    *machine = id[18] | (unsigned)id[19] << 8;
    *elf_class = id[EI_CLASS];
    return true;
}

/* The same for both classes but for the structures' widths. */
#define READ_HEADERS(bits) \
    static bool read_headers##bits(Load *l) \
    { \
        Elf##bits##_Ehdr h; \
        Elf##bits##_Phdr ph[MAX_PHDRS]; \
        if (!read_at(l->fd, &h, sizeof(h), 0)) \
            return fail(l, "its ELF header is cut off"); \
        if (h.e_phentsize != sizeof(ph[0]) || !h.e_phnum || h.e_phnum > MAX_PHDRS || !read_at(l->fd, ph, h.e_phnum * sizeof(ph[0]), h.e_phoff)) \
            return fail(l, "its program headers are damaged"); \
        l->type = h.e_type; \
        l->phoff = h.e_phoff; \
        l->n = h.e_phnum; \
        l->im->entry = h.e_entry; \
        for (unsigned n = 0; n < l->n; n++) \
            l->ph[n] = (Phdr){ ph[n].p_type, ph[n].p_flags, ph[n].p_offset, ph[n].p_vaddr, ph[n].p_filesz, ph[n].p_memsz, ph[n].p_align }; \
        return true; \
    }
READ_HEADERS(64)
READ_HEADERS(32)

/* Extent of all loadable segments, page aligned; their order and sizes are sane. */
static bool extent(Load *l, uint64_t *ret_lo, uint64_t *ret_hi)
{
    uint64_t lo = UINT64_MAX, hi = 0, limit = l->im->elf_class == ELFCLASS32 ? 1ull << 32 : 1ull << 46;
    for (unsigned n = 0; n < l->n; n++) {
        const Phdr *ph = &l->ph[n];
        if (ph->type != PT_LOAD || !ph->memsz)
            continue;
        if (ph->filesz > ph->memsz || ph->va >= limit || ph->memsz > limit - ph->va || (ph->va ^ ph->off) & (USER_PAGE - 1))
            return fail(l, "a segment of it is damaged");
        if (ph->filesz && (ph->off > l->file_size || ph->filesz > l->file_size - ph->off))
            return fail(l, "it is cut off: a segment lies beyond its end");
        lo = MIN(lo, ph->va & ~(uint64_t)(USER_PAGE - 1));
        hi = MAX(hi, (ph->va + ph->memsz + USER_PAGE - 1) & ~(uint64_t)(USER_PAGE - 1));
    }
    if (lo >= hi)
        return fail(l, "nothing in it is to be loaded");
    *ret_lo = lo;
    *ret_hi = hi;
    return true;
}

static int prot_of(const Phdr *ph)
{
    return (ph->flags & PF_R ? PROT_READ : 0) | (ph->flags & PF_W ? PROT_WRITE : 0) | (ph->flags & PF_X ? PROT_EXEC : 0);
}

/* The range is reserved (PROT_NONE) already. */
static bool map_segment(Load *l, const Phdr *ph)
{
    uint64_t va = ph->va + l->im->bias, start = va & ~(uint64_t)(USER_PAGE - 1), file_end = va + ph->filesz, end = va + ph->memsz;
    uint64_t map_end = (file_end + USER_PAGE - 1) & ~(uint64_t)(USER_PAGE - 1), all_end = (end + USER_PAGE - 1) & ~(uint64_t)(USER_PAGE - 1);
    int prot = prot_of(ph), host = (prot & (PROT_READ | PROT_WRITE)) | (prot & PROT_EXEC ? PROT_READ : 0);
    bool tail = file_end < MIN(end, map_end) && ph->filesz;
    if (ph->filesz) {
        if (mmap(g2h(start), map_end - start, host | (tail ? PROT_READ | PROT_WRITE : 0), MAP_PRIVATE | MAP_FIXED, l->fd, (off_t)(ph->off - (va - start))) == MAP_FAILED)
            return fail(l, g_strerror(errno));
        if (tail) {
            memset(g2h(file_end), 0, map_end - file_end);
            mprotect(g2h(start), map_end - start, host);
        }
        user_map_add(l->p, start, map_end, prot, false, ph->off - (va - start), l->fd, NULL);
    } else {
        map_end = start;
    }
    if (all_end > map_end) {
        if (mmap(g2h(map_end), all_end - map_end, host, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
            return fail(l, g_strerror(errno));
        user_map_add(l->p, map_end, all_end, prot, false, 0, -1, NULL);
    }
    return true;
}

/* Far from the host's program, libraries and stack; 24 random bits as those have, in a small address space 8 as Linux there. */
static uint64_t pie_base(unsigned elf_class)
{
    uint32_t random;
    memcpy(&random, g2h(getauxval(AT_RANDOM)), sizeof(random));
    if (elf_class == ELFCLASS32)
        return 0x56555000 + (uint64_t)(random & 0xff) * USER_PAGE;
    return 0x2aaaaaaaa000ull + (uint64_t)(random & 0xffffff) * USER_PAGE;
}

static bool map_all(Load *l)
{
    uint64_t lo, hi;
    if (!extent(l, &lo, &hi))
        return false;
    bool fixed = l->type == ET_EXEC;
    /* Programs that may lie anywhere get a place with room for the break above; interpreters go where the kernel likes. */
    uint64_t hint = fixed ? lo : l->program ? pie_base(l->im->elf_class) : user_kept_home(l->p, l->fd);
    void *at = user_map_raw(l->p, hint, hi - lo, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (fixed ? MAP_FIXED_NOREPLACE : 0), -1, 0);
    if (at == MAP_FAILED || (fixed && (at != g2h(lo) || hi > l->p->limit)))
        return fail(l, "its addresses are in use (try it as a position-independent program)");
    user_map_add(l->p, (uint64_t)(uintptr_t)at, (uint64_t)(uintptr_t)at + (hi - lo), PROT_NONE, false, 0, -1, NULL);
    l->im->bias = (uint64_t)(uintptr_t)at - lo;
    l->im->base = (uint64_t)(uintptr_t)at;
    l->im->end = l->im->base + (hi - lo);
    l->im->entry += l->im->bias;
    for (unsigned n = 0; n < l->n; n++)
        if (l->ph[n].type == PT_LOAD && l->ph[n].memsz && !map_segment(l, &l->ph[n]))
            return false;
    return true;
}

static bool interp_name(Load *l, const Phdr *ph)
{
    if (ph->filesz < 2 || ph->filesz > MAX_INTERP)
        return fail(l, "the name of its interpreter is damaged");
    l->im->interp = g_malloc0(ph->filesz + 1);
    return read_at(l->fd, l->im->interp, ph->filesz, ph->off) || fail(l, "the name of its interpreter is damaged");
}

static bool other_headers(Load *l)
{
    UserImage *im = l->im;
    im->phnum = l->n;
    for (unsigned n = 0; n < l->n; n++) {
        const Phdr *ph = &l->ph[n];
        if (ph->type == PT_PHDR)
            im->phdr = ph->va + im->bias;
        if (ph->type == PT_LOAD && !im->phdr && l->phoff >= ph->off && l->phoff < ph->off + ph->filesz)
            im->phdr = ph->va + im->bias + (l->phoff - ph->off);
        if (ph->type == PT_GNU_STACK)
            im->exec_stack = ph->flags & PF_X;
        if (ph->type == PT_INTERP && !im->interp && !interp_name(l, ph))
            return false;
    }
    return true;
}

static bool read_headers(Load *l)
{
    UserImage *im = l->im;
    struct stat st;
    memset(im, 0, sizeof(*im));
    if (!user_elf_peek(l->fd, &im->machine, &im->elf_class) || fstat(l->fd, &st) || !S_ISREG(st.st_mode))
        return fail(l, "it is no ELF program of a little-endian CPU");
    l->file_size = (uint64_t)st.st_size;
    return im->elf_class == ELFCLASS64 ? read_headers64(l) : im->elf_class == ELFCLASS32 ? read_headers32(l) : fail(l, "unknown ELF class");
}

bool user_elf_interp(int fd, char **ret)
{
    g_autofree Load *l = g_new0(Load, 1);
    g_autoptr(GError) err = NULL;
    UserImage im;
    int status;
    uint64_t lo, hi;
    *l = (Load){ .fd = fd, .path = "", .program = true, .im = &im, .status = &status, .err = &err };
    if (!read_headers(l) || (l->type != ET_EXEC && l->type != ET_DYN) || !extent(l, &lo, &hi))
        return false;
    for (unsigned n = 0; n < l->n; n++)
        if (l->ph[n].type == PT_INTERP && !im.interp && !interp_name(l, &l->ph[n])) {
            user_elf_close(&im);
            return false;
        }
    *ret = im.interp;
    return true;
}

bool user_elf_load(UserProc *p, int fd, const char *path, bool program, UserImage *ret, int *ret_status, GError **err)
{
    g_autofree Load *l = g_new0(Load, 1);
    *l = (Load){ .p = p, .fd = fd, .path = path, .program = program, .im = ret, .status = ret_status, .err = err };
    if (!read_headers(l))
        return false;
    if (l->type != ET_EXEC && l->type != ET_DYN)
        return fail(l, "it is an object file or a core dump, no program");
    return map_all(l) && other_headers(l);
}

void user_elf_close(UserImage *im)
{
    g_free(im->interp);
    im->interp = NULL;
}
