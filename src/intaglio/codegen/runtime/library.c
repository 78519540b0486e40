/* The shared library around a generated model: a batch loop, a pool of threads that is created once, and a clock.
 * MODEL is the model's prefix, set by the build.
 */
#define _GNU_SOURCE
#include "model.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define IG_PASTE_(a, b) a##b
#define IG_PASTE(a, b) IG_PASTE_(a, b)
#define MODEL_(name) IG_PASTE(MODEL, _##name)

#if defined(__x86_64__)
#define IG_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define IG_PAUSE() __asm__ volatile("yield")
#else
#define IG_PAUSE() ((void)0)
#endif

enum { IG_SPINS = 20000 }; /* about 0.2 ms: longer than any gap between two steps, then the worker sleeps */

struct ig_pool {
    int32_t threads; /* the caller's included */
    atomic_uint round;
    atomic_int pending;
    atomic_int sleeping;
    atomic_int stop;
    MODEL_(task) task;
    const void *frame;
    int32_t tasks;
    pthread_mutex_t busy; /* one run at a time; who finds it taken runs alone */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_t *workers;
};

struct ig_worker {
    struct ig_pool *pool;
    int32_t index;
};

static void *worker_main(void *argument)
{
    struct ig_worker worker = *(struct ig_worker *)argument;
    struct ig_pool *pool = worker.pool;
    unsigned seen = 0;
    free(argument);
    for (;;) {
        int spins = 0;
        while (atomic_load_explicit(&pool->round, memory_order_acquire) == seen) {
            if (++spins < IG_SPINS) {
                IG_PAUSE();
                continue;
            }
            pthread_mutex_lock(&pool->mutex);
            atomic_fetch_add(&pool->sleeping, 1);
            while (atomic_load(&pool->round) == seen)
                pthread_cond_wait(&pool->wake, &pool->mutex);
            atomic_fetch_sub(&pool->sleeping, 1);
            pthread_mutex_unlock(&pool->mutex);
        }
        seen++;
        if (atomic_load(&pool->stop))
            return NULL;
        for (int32_t task = worker.index; task < pool->tasks; task += pool->threads)
            pool->task(pool->frame, task, pool->tasks);
        atomic_fetch_sub_explicit(&pool->pending, 1, memory_order_release);
    }
}

static void start_round(struct ig_pool *pool)
{
    atomic_fetch_add(&pool->round, 1);
    if (atomic_load(&pool->sleeping) > 0) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
    }
}

static void pool_parallel(void *user, MODEL_(task) task, const void *frame, int32_t tasks)
{
    struct ig_pool *pool = user;
    pool->task = task;
    pool->frame = frame;
    pool->tasks = tasks;
    atomic_store(&pool->pending, pool->threads - 1);
    start_round(pool);
    for (int32_t i = 0; i < tasks; i += pool->threads)
        task(frame, i, tasks);
    while (atomic_load_explicit(&pool->pending, memory_order_acquire) > 0)
        IG_PAUSE();
}

/* A pool of this many threads, the caller's included; NULL where the system gives none. */
struct ig_pool *ig_pool_create(int32_t threads)
{
    struct ig_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pool->threads = 1;
    pthread_mutex_init(&pool->busy, NULL);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->workers = calloc((size_t)(threads > 0 ? threads : 1), sizeof *pool->workers);
    for (int32_t i = 1; pool->workers && i < threads; i++) {
        struct ig_worker *worker = malloc(sizeof *worker);
        if (!worker)
            break;
        *worker = (struct ig_worker){pool, i};
        if (pthread_create(&pool->workers[i], NULL, worker_main, worker)) {
            free(worker);
            break;
        }
        pool->threads = i + 1;
    }
    return pool;
}

void ig_pool_destroy(struct ig_pool *pool)
{
    if (!pool)
        return;
    atomic_store(&pool->stop, 1);
    start_round(pool);
    for (int32_t i = 1; i < pool->threads; i++)
        pthread_join(pool->workers[i], NULL);
    pthread_mutex_destroy(&pool->busy);
    pthread_mutex_destroy(&pool->mutex);
    pthread_cond_destroy(&pool->wake);
    free(pool->workers);
    free(pool);
}

struct ig_clock {
    int64_t last;
    int64_t *nanoseconds; /* one entry per step */
    void (*after_step)(int32_t step);
};

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

struct ig_host {
    struct ig_pool *pool;
    struct ig_clock *clock;
};

static void host_parallel(void *user, MODEL_(task) task, const void *frame, int32_t tasks)
{
    pool_parallel(((struct ig_host *)user)->pool, task, frame, tasks);
}

static void host_after_step(void *user, int32_t step)
{
    struct ig_clock *clock = ((struct ig_host *)user)->clock;
    if (clock->nanoseconds) {
        const int64_t time = now();
        clock->nanoseconds[step] += time - clock->last;
        clock->last = time;
    }
    if (clock->after_step)
        clock->after_step(step);
}

const int64_t ig_library_arena_bytes = MODEL_ARENA_BYTES;

/* Run `batch` samples; inputs and outputs are dense, one sample after the other.
 * pool: NULL, or whose threads to use. nanoseconds: NULL, or one counter per step. after_step: NULL, or a callback.
 */
int ig_library_run(const void *const *inputs, void *const *outputs, int64_t batch, void *arena, size_t arena_bytes,
                   struct ig_pool *pool, int64_t *nanoseconds, void (*after_step)(int32_t))
{
    const int locked = pool && pthread_mutex_trylock(&pool->busy) == 0;
    struct ig_clock clock = {now(), nanoseconds, after_step};
    struct ig_host user = {pool, &clock};
    const struct MODEL_(host) host = {&user, locked ? pool->threads : 1, host_parallel,
                                      nanoseconds || after_step ? host_after_step : NULL};
    int status = 0;
    for (int64_t i = 0; i < batch && !status; i++) {
        const void *in[MODEL_INPUTS];
        void *out[MODEL_OUTPUTS];
        for (int k = 0; k < MODEL_INPUTS; k++)
            in[k] = (const char *)inputs[k] + (size_t)i * MODEL_(input_bytes)[k];
        for (int k = 0; k < MODEL_OUTPUTS; k++)
            out[k] = (char *)outputs[k] + (size_t)i * MODEL_(output_bytes)[k];
        clock.last = now();
        status = MODEL_(run_on)(&host, in, out, arena, arena_bytes);
    }
    if (locked)
        pthread_mutex_unlock(&pool->busy);
    return status;
}
