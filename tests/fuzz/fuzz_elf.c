/* tandem-user's ELF loader: any file either loads or is refused, and what it mapped is within what it said. */
#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tcg/user/internal.h"

enum { INPUT_MAX_BYTES = 64 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    UserProc p = { 0 };
    UserImage im;
    GError *err = NULL;
    int status = 0, fd = memfd_create("elf", MFD_CLOEXEC);
    if (size > INPUT_MAX_BYTES || fd < 0 || write(fd, data, size) != (ssize_t)size) {
        close(fd);
        return 0;
    }
    unsigned machine, elf_class;
    p.abi = user_elf_peek(fd, &machine, &elf_class) && elf_class == ELFCLASS32 ? &user_abi_i386 : &user_abi_x86_64;
    user_map_init(&p);
    bool ok = user_elf_load(&p, fd, "input", true, &im, &status, &err);
    g_assert(ok ? !err : err && (status == 126 || status == 127));
    for (guint n = 0; n < p.map->len; n++) {
        const UserRegion *r = &g_array_index(p.map, UserRegion, n);
        g_assert(r->start >= im.base && r->end <= im.end);
    }
    if (im.end)
        munmap(g2h(im.base), im.end - im.base);
    g_array_free(p.map, TRUE);
    pthread_rwlock_destroy(&p.map_lock);
    user_elf_close(&im);
    g_clear_error(&err);
    close(fd);
    return 0;
}
