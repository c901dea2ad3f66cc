/*
 * Regions compiled on a thread of their own while the vCPU goes on in the blocks they will replace. Only where the host has a processor to spare: the work
 * is the same, its place is not.
 *
 * A wish lives no longer than the vCPU's stay in tcg_cpu_run. Whoever waits for all vCPUs to be outside (memory remapped, state moved to another engine)
 * thereby waits for the worker too, and the page's host address in a wish stays good.
 */
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "tcg/tcg-internal.h"

enum { WISHES = 32 };
static const uint64_t PAGE_MASK = ~(uint64_t)(TCG_PAGE_SIZE - 1);

typedef struct Wish { TcgCpu *cpu; const uint8_t *page; uint64_t va, gpa, mode, generation; uint32_t ctx_id; } Wish;

struct TcgWorker {
    pthread_t thread;
    pthread_mutex_t lock;      /* leaf: what follows */
    pthread_cond_t work, done;
    Wish wish[WISHES];         /* oldest first */
    unsigned n;
    TcgCpu *busy;              /* whose wish is being fulfilled */
    unsigned waiting;          /* vCPUs, for its end */
    bool started, failed, stop;
    bool idle;                 /* waits for work: only then somebody has to wake it */
    TcgCpu *scratch;           /* stands for the vCPU during translation */
};

TcgWorker *tcg_worker_new(void)
{
    TcgWorker *w = g_new0(TcgWorker, 1);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->done, NULL);
    w->scratch = g_new0(TcgCpu, 1);
    return w;
}

void tcg_worker_free(TcgWorker *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
    if (w->started)
        pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->done);
    g_free(w->scratch);
    g_free(w);
}

static void fulfil(TcgWorker *w, const Wish *wish)
{
    TcgCpu *s = w->scratch, *cpu = wish->cpu;
    s->ctx = cpu->ctx;
    s->isa = cpu->isa;
    s->cb = cpu->cb;
    s->opaque = cpu->opaque;
    s->state = cpu->state;
    s->mode = wish->mode;
    s->ctx_id = wish->ctx_id;
    s->of = cpu;
    tcg_region_make(s, wish->va, wish->gpa, wish->page, wish->generation);
}

static void *worker_main(void *opaque)
{
    TcgWorker *w = opaque;
    pthread_setname_np(pthread_self(), "translate");
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->n && !w->stop) {
            w->idle = true;
            pthread_cond_wait(&w->work, &w->lock);
        }
        w->idle = false;
        if (w->stop)
            break;
        Wish wish = w->wish[0];
        memmove(w->wish, w->wish + 1, --w->n * sizeof(w->wish[0]));
        w->busy = wish.cpu;
        pthread_mutex_unlock(&w->lock);
        fulfil(w, &wish);
        pthread_mutex_lock(&w->lock);
        w->busy = NULL;
        if (w->waiting)
            pthread_cond_broadcast(&w->done);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* No signal of the process shall end up here. w->lock held. */
static bool start(TcgWorker *w)
{
    sigset_t all, old;
    if (w->started || w->failed)
        return w->started;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    w->started = pthread_create(&w->thread, NULL, worker_main, w) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    w->failed = !w->started;
    return w->started;
}

static bool wished(const TcgWorker *w, uint64_t gpa, uint64_t mode)
{
    for (unsigned n = 0; n < w->n; n++)
        if (w->wish[n].gpa == gpa && w->wish[n].mode == mode)
            return true;
    return false;
}

bool tcg_worker_ask(TcgCpu *cpu, uint64_t va, uint64_t gpa)
{
    TcgContext *ctx = cpu->ctx;
    TcgWorker *w = ctx->worker;
    unsigned flags;
    /* The first instruction must not need the next page: the worker cannot fault for the vCPU. */
    if (!w || (ctx->config.worker == TCG_WORKER_SPARE && (ctx->host_cpus <= ctx->cpus->len || cpu->impatient)) || (va & ~PAGE_MASK) > TCG_PAGE_SIZE - 16)
        return false;
    const uint8_t *page = cpu->cb->page(cpu->opaque, gpa & PAGE_MASK, &flags);
    if (!page)
        return false;
    pthread_mutex_lock(&w->lock);
    bool ok = start(w), wake = false;
    if (ok && w->n < WISHES && !wished(w, gpa, cpu->mode)) {
        w->wish[w->n++] = (Wish){ cpu, page, va, gpa, cpu->mode, cpu->code_generation, cpu->ctx_id };
        cpu->wishes = true;
        wake = w->idle;
        w->idle = false;
    }
    pthread_mutex_unlock(&w->lock);
    if (wake)                  /* behind the lock, which the worker would find taken otherwise */
        pthread_cond_signal(&w->work);
    return ok;
}

void tcg_worker_forget(TcgCpu *cpu)
{
    TcgWorker *w = cpu->ctx->worker;
    unsigned kept = 0;
    pthread_mutex_lock(&w->lock);
    for (unsigned n = 0; n < w->n; n++)
        if (w->wish[n].cpu != cpu)
            w->wish[kept++] = w->wish[n];
    cpu->impatient = kept < w->n;
    w->n = kept;
    w->waiting++;
    while (w->busy == cpu)
        pthread_cond_wait(&w->done, &w->lock);
    w->waiting--;
    pthread_mutex_unlock(&w->lock);
    cpu->wishes = false;
}
