/* The shared object that Linux maps into every process (vdso(7)): built here from a guest's code and the names in it (System V ABI, chapter 5; GNU's versions). */
#include <elf.h>
#include <string.h>
#include <sys/mman.h>

#include "tcg/user/internal.h"

enum { MAX_SYMS = 16, MAX_STRINGS = 512, MAX_VERSIONS = 3, N_PHDRS = 2, N_DYN = 11, CODE_ALIGN = 32, FIRST_SECTION = 1 };

typedef struct Strings { char text[MAX_STRINGS]; unsigned len; } Strings;

static unsigned add_string(Strings *s, const char *str)
{
    unsigned at = s->len, n = (unsigned)strlen(str) + 1;
    g_assert(at + n <= MAX_STRINGS);
    memcpy(s->text + at, str, n);
    s->len += n;
    return at;
}

static uint32_t elf_hash(const char *name)
{
    uint32_t h = 0;
    for (; *name; name++) {
        h = (h << 4) + (uint8_t)*name;
        h = (h ^ (h >> 24 & 0xf0)) & 0x0fffffff;
    }
    return h;
}

/* One bucket: a list of all symbols. */
static void make_hash(uint32_t *hash, unsigned n_syms)
{
    hash[0] = 1;
    hash[1] = n_syms;
    hash[2] = n_syms > 1;
    for (unsigned k = 0; k < n_syms; k++)
        hash[3 + k] = k && k + 1 < n_syms ? k + 1 : 0;
}

typedef struct Verdef { Elf32_Verdef def; Elf32_Verdaux aux; } Verdef;     /* the same in both classes */

static unsigned make_verdef(Verdef *out, const UserVdso *v, Strings *s)
{
    unsigned n = 0;
    out[n++] = (Verdef){ { 1, VER_FLG_BASE, 1, 1, elf_hash(v->soname), sizeof(Elf32_Verdef), sizeof(Verdef) }, { add_string(s, v->soname), 0 } };
    for (unsigned k = 0; k < 2 && v->versions[k]; k++)
        out[n++] = (Verdef){ { 1, 0, (uint16_t)(k + 2), 1, elf_hash(v->versions[k]), sizeof(Elf32_Verdef), sizeof(Verdef) }, { add_string(s, v->versions[k]), 0 } };
    out[n - 1].def.vd_next = 0;
    return n;
}

/* The page's parts behind the headers, in this order; the code comes last, its distance from the start in *ret_code. */
#define BUILD(bits) \
    static bool build##bits(const UserVdso *v, uint16_t machine, uint8_t *page, unsigned *ret_code) \
    { \
        struct { \
            Elf##bits##_Ehdr ehdr; \
            Elf##bits##_Phdr phdr[N_PHDRS]; \
            Elf##bits##_Dyn dyn[N_DYN]; \
            Elf##bits##_Sym sym[MAX_SYMS + 1]; \
            Verdef def[MAX_VERSIONS]; \
            uint32_t hash[3 + MAX_SYMS + 1]; \
            uint16_t versym[MAX_SYMS + 1]; \
            Strings strings; \
        } o; \
        unsigned code = (sizeof(o) + CODE_ALIGN - 1) & ~(unsigned)(CODE_ALIGN - 1), n = v->n_syms + 1; \
        if (n > MAX_SYMS + 1 || code + v->len > USER_PAGE) \
            return false; \
        memset(&o, 0, sizeof(o)); \
        o.strings.len = 1; \
        unsigned n_def = make_verdef(o.def, v, &o.strings); \
        make_hash(o.hash, n); \
        for (unsigned k = 1; k < n; k++) { \
            const UserVdsoSym *s = &v->syms[k - 1]; \
            o.sym[k].st_name = add_string(&o.strings, s->name); \
            o.sym[k].st_info = ELF##bits##_ST_INFO(STB_GLOBAL, STT_FUNC); \
            o.sym[k].st_shndx = FIRST_SECTION; \
            o.sym[k].st_value = code + s->at; \
            o.sym[k].st_size = s->size; \
            o.versym[k] = (uint16_t)(s->version + 2); \
        } \
        const Elf##bits##_Dyn dyn[N_DYN] = { \
            { DT_SONAME, { o.def[0].aux.vda_name } }, { DT_HASH, { OFF(hash) } }, { DT_STRTAB, { OFF(strings.text) } }, { DT_SYMTAB, { OFF(sym) } }, \
            { DT_STRSZ, { o.strings.len } }, { DT_SYMENT, { sizeof(o.sym[0]) } }, { DT_VERDEF, { OFF(def) } }, { DT_VERDEFNUM, { n_def } }, { DT_VERSYM, { OFF(versym) } }, \
        }; \
        memcpy(o.dyn, dyn, sizeof(dyn)); \
        o.phdr[0] = (Elf##bits##_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = code + v->len, .p_memsz = code + v->len, .p_align = USER_PAGE }; \
        o.phdr[1] = (Elf##bits##_Phdr){ .p_type = PT_DYNAMIC, .p_flags = PF_R, .p_offset = OFF(dyn), .p_vaddr = OFF(dyn), .p_paddr = OFF(dyn), .p_filesz = sizeof(dyn), \
                                        .p_memsz = sizeof(dyn), .p_align = sizeof(o.dyn[0].d_un) }; \
        o.ehdr = (Elf##bits##_Ehdr){ .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS##bits, ELFDATA2LSB, EV_CURRENT }, .e_type = ET_DYN, .e_machine = machine, \
                                     .e_version = EV_CURRENT, .e_phoff = OFF(phdr), .e_ehsize = sizeof(o.ehdr), .e_phentsize = sizeof(o.phdr[0]), .e_phnum = N_PHDRS }; \
        memcpy(page, &o, sizeof(o)); \
        memcpy(page + code, v->code, v->len); \
        *ret_code = code; \
        return true; \
    }
#define OFF(member) ((unsigned)((const uint8_t *)&o.member - (const uint8_t *)&o))
BUILD(64)
BUILD(32)

bool user_vdso(UserProc *p, const UserVdso *v, GError **err)
{
    const UserAbi *abi = p->abi;
    unsigned code = 0;
    uint8_t *page = user_map_raw(p, 0, USER_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_NOMEM, "no memory for the vDSO's page");
        return false;
    }
    bool ok = (abi->elf_class == ELFCLASS64 ? build64 : build32)(v, abi->elf_machine, page, &code);
    g_assert(ok);              /* the tables are ours */
    mprotect(page, USER_PAGE, PROT_READ);
    p->vdso = (uint64_t)(uintptr_t)page;
    p->trampoline = p->vdso + code;
    user_map_add(p, p->vdso, p->vdso + USER_PAGE, PROT_READ | PROT_EXEC, false, 0, -1, "[vdso]");
    return true;
}
