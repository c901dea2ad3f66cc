/*
 * GLib's locks as the thread sanitizer should see them. Debian's libglib is not instrumented and its mutexes are bare
 * futexes, so TSan would take everything they protect for a race. In the tsan build the linker turns our calls of
 * g_mutex_lock and so on into the functions here (--wrap, see meson.build), which annotate the real ones.
 * Annotated locks also take part in TSan's search for lock-order inversions.
 */
#include <glib.h>
#include <sanitizer/tsan_interface.h>

#define WRAP(type, name, ...) type __real_##name(__VA_ARGS__); type __wrap_##name(__VA_ARGS__); type __wrap_##name(__VA_ARGS__)

static void before_unlock(void *lock, unsigned flags)
{
    __tsan_mutex_pre_unlock(lock, flags);
}

static void after_unlock(void *lock, unsigned flags)
{
    __tsan_mutex_post_unlock(lock, flags);
}

/* ---- GMutex ---- */

WRAP(void, g_mutex_lock, GMutex *mutex)
{
    __tsan_mutex_pre_lock(mutex, 0);
    __real_g_mutex_lock(mutex);
    __tsan_mutex_post_lock(mutex, 0, 0);
}

WRAP(gboolean, g_mutex_trylock, GMutex *mutex)
{
    __tsan_mutex_pre_lock(mutex, __tsan_mutex_try_lock);
    gboolean ok = __real_g_mutex_trylock(mutex);
    __tsan_mutex_post_lock(mutex, ok ? __tsan_mutex_try_lock : __tsan_mutex_try_lock | __tsan_mutex_try_lock_failed, 0);
    return ok;
}

WRAP(void, g_mutex_unlock, GMutex *mutex)
{
    before_unlock(mutex, 0);
    __real_g_mutex_unlock(mutex);
    after_unlock(mutex, 0);
}

WRAP(void, g_mutex_clear, GMutex *mutex)
{
    __tsan_mutex_destroy(mutex, __tsan_mutex_not_static);
    __real_g_mutex_clear(mutex);
}

/* ---- GCond: gives the mutex back while it waits ---- */

WRAP(void, g_cond_wait, GCond *cond, GMutex *mutex)
{
    before_unlock(mutex, 0);
    after_unlock(mutex, 0);
    __real_g_cond_wait(cond, mutex);
    __tsan_mutex_pre_lock(mutex, 0);
    __tsan_mutex_post_lock(mutex, 0, 0);
}

WRAP(gboolean, g_cond_wait_until, GCond *cond, GMutex *mutex, gint64 end_time)
{
    before_unlock(mutex, 0);
    after_unlock(mutex, 0);
    gboolean ok = __real_g_cond_wait_until(cond, mutex, end_time);
    __tsan_mutex_pre_lock(mutex, 0);
    __tsan_mutex_post_lock(mutex, 0, 0);
    return ok;
}

/* ---- GRecMutex ---- */

WRAP(void, g_rec_mutex_lock, GRecMutex *mutex)
{
    __tsan_mutex_pre_lock(mutex, __tsan_mutex_write_reentrant);
    __real_g_rec_mutex_lock(mutex);
    __tsan_mutex_post_lock(mutex, __tsan_mutex_write_reentrant, 1);
}

WRAP(void, g_rec_mutex_unlock, GRecMutex *mutex)
{
    before_unlock(mutex, __tsan_mutex_write_reentrant);
    __real_g_rec_mutex_unlock(mutex);
    after_unlock(mutex, __tsan_mutex_write_reentrant);
}

/* ---- GRWLock: a pthread_rwlock inside, but locked from where TSan does not look ---- */

WRAP(void, g_rw_lock_writer_lock, GRWLock *lock)
{
    __tsan_mutex_pre_lock(lock, 0);
    __real_g_rw_lock_writer_lock(lock);
    __tsan_mutex_post_lock(lock, 0, 0);
}

WRAP(void, g_rw_lock_writer_unlock, GRWLock *lock)
{
    before_unlock(lock, 0);
    __real_g_rw_lock_writer_unlock(lock);
    after_unlock(lock, 0);
}

WRAP(void, g_rw_lock_reader_lock, GRWLock *lock)
{
    __tsan_mutex_pre_lock(lock, __tsan_mutex_read_lock);
    __real_g_rw_lock_reader_lock(lock);
    __tsan_mutex_post_lock(lock, __tsan_mutex_read_lock, 0);
}

WRAP(void, g_rw_lock_reader_unlock, GRWLock *lock)
{
    before_unlock(lock, __tsan_mutex_read_lock);
    __real_g_rw_lock_reader_unlock(lock);
    after_unlock(lock, __tsan_mutex_read_lock);
}

WRAP(void, g_rw_lock_clear, GRWLock *lock)
{
    __tsan_mutex_destroy(lock, __tsan_mutex_not_static);
    __real_g_rw_lock_clear(lock);
}
