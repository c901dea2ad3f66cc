/*
 * Debian's qemu-img and qemu-io as an independent opinion, in both directions: what we write they check and read, what
 * they write we check and read. 77 (skipped) where they are not installed.
 */
#include "tests/block/model.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int shell(const char *dir, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static int shell(const char *dir, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    g_autofree char *args = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_autofree char *cmd = g_strdup_printf("cd '%s' && { %s ; } > out.log 2>&1", dir, args);
    int r = system(cmd);
    return WIFEXITED(r) ? WEXITSTATUS(r) : 255;
}

static void show_log(const Model *m)
{
    g_autofree char *log = g_build_filename(m->dir, "out.log", NULL);
    g_autofree char *text = NULL;
    if (g_file_get_contents(log, &text, NULL, NULL))
        fprintf(stderr, "%.2000s", text);
}

static void run(Model *m, const char *what, const char *cmd)
{
    int r = shell(m->dir, "%s", cmd);
    if (r)
        show_log(m);
    CHECK(r == 0, "%s: %s: exit code %d: %s", m->config->name, what, r, cmd);
}

/* They find no fault with our image, and read from it what we wrote. */
static void their_opinion(Model *m)
{
    run(m, "check", "qemu-img check a.qcow2");
    run(m, "convert", "qemu-img convert -f qcow2 -O raw a.qcow2 out.raw");
    g_autofree char *raw = g_build_filename(m->dir, "out.raw", NULL);
    g_autofree char *data = NULL;
    gsize len;
    CHECK(g_file_get_contents(raw, &data, &len, NULL) && len == m->size, "%s: size", m->config->name);
    for (uint64_t i = 0; i < len; i++)
        CHECK((uint8_t)data[i] == m->data[i], "%s: byte %#" PRIx64 " is %#x for them, not %#x", m->config->name, i, (uint8_t)data[i], m->data[i]);
    for (int i = 0; i < MODEL_SNAPSHOTS; i++) {
        if (!m->snapshots[i].name || m->snapshots[i].size != m->size)
            continue;
        g_autofree char *cmd = g_strdup_printf("qemu-img convert -f qcow2 -l %s -O raw a.qcow2 out.raw", m->snapshots[i].name);
        run(m, "convert snapshot", cmd);
        g_free(data);
        CHECK(g_file_get_contents(raw, &data, &len, NULL) && len >= m->size && !memcmp(data, m->snapshots[i].data, m->size),
              "%s: snapshot %s", m->config->name, m->snapshots[i].name);
    }
    unlink(raw);
}

/* Their writes: a list of qemu-io commands, followed in the model. */
static void their_writes(Model *m)
{
    GString *cmd = g_string_new("qemu-io -f qcow2 -d unmap");
    for (int i = 0; i < 25; i++) {
        uint64_t len = (uint64_t)(g_rand_int_range(m->rand, 1, 200)) * 512, offset;
        len = MIN(len, m->size);
        offset = (uint64_t)(g_rand_double(m->rand) * (double)((m->size - len) / 512 + 1)) * 512;
        int kind = g_rand_int_range(m->rand, 0, 4), pattern = g_rand_int_range(m->rand, 1, 256);
        if (kind == 0) {
            g_string_append_printf(cmd, " -c 'write -z %s%" PRIu64 " %" PRIu64 "'", pattern & 1 ? "-u " : "", offset, len);
            memset(m->data + offset, 0, len);
        } else {
            g_string_append_printf(cmd, " -c 'write -P %d %" PRIu64 " %" PRIu64 "'", pattern, offset, len);
            memset(m->data + offset, pattern, len);
        }
    }
    g_string_append(cmd, " a.qcow2");
    run(m, "write", cmd->str);
    g_string_free(cmd, TRUE);
}

static void one(const ModelConfig *config, GRand *rand, bool they_create)
{
    Model m;
    model_init(&m, config, rand);
    if (they_create) {
        model_close(&m);
        GString *cmd = g_string_new("qemu-img create -f qcow2");
        for (const char *const *o = config->options; *o; o++)
            g_string_append_printf(cmd, " -o %s", *o);
        g_string_append_printf(cmd, "%s a.qcow2 %" PRIu64, config->backing ? " -b base.raw -F raw" : "", config->size);
        run(&m, "create", cmd->str);
        g_string_free(cmd, TRUE);
        model_open(&m);
        model_compare(&m);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 25; i++)
            model_step(&m);
        model_close(&m);
        their_opinion(&m);
        their_writes(&m);
        model_open(&m);
        model_compare(&m);
        model_check(&m);
    }
    model_close(&m);
    g_autofree char *log = g_build_filename(m.dir, "out.log", NULL);
    unlink(log);
    model_clear(&m);
}

int main(void)
{
    if (shell("/tmp", "qemu-img --version && qemu-io --version")) {
        printf("qemu-img and qemu-io (Debian: qemu-utils) are not installed\n");
        return 77;
    }
    uint32_t seed = getenv("SEED") ? (uint32_t)strtoul(getenv("SEED"), NULL, 10) : g_random_int();
    const char *only = getenv("CONFIG");
    printf("SEED=%u\n", seed);
    fflush(stdout);
    for (unsigned c = 0; c < n_model_configs; c++) {
        if (only && strcmp(only, model_configs[c].name))
            continue;
        /* Who makes the image changes from run to run; BOTH=1 does both. */
        for (unsigned they = 0; they < 2; they++) {
            if (!getenv("BOTH") && they != ((seed + c) & 1))
                continue;
            GRand *rand = g_rand_new_with_seed(seed + c * 2 + they);
            one(&model_configs[c], rand, they);
            g_rand_free(rand);
        }
    }
    return 0;
}
