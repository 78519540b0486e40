/* The shared library around a generated model: a batch loop, a pool of threads that is created once, a clock, and the
 * quantization of real inputs.
 * MODEL is the model's prefix, set by the build.
 */
#define _GNU_SOURCE
#include "model.h"
#include "quantize_input.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

#if defined(IG_DELAY)
void IG_DELAY(void); /* a test's pause, by which rare orders of events become common */
#else
#define IG_DELAY() ((void)0)
#endif

#define IG_LINE 64 /* bytes; what one thread writes while another one waits for something else is kept apart */

/* A worker that finds nothing to do looks again for so long before it sleeps: longer than the gap between two runs in a
 * loop, shorter than what another program beside us would notice. The caller, who waits for workers that are at work,
 * gives its processor away after the same time: where there are more threads than processors, to one of them. */
enum { IG_PATIENCE = 200000, IG_LOOKS = 64 }; /* nanoseconds; looks between two glances at the clock */

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* How a round goes. `state` holds the round's number, how many tasks it has, and the next one that nobody has taken.
 * The caller writes task and frame and then the new state (release), and takes task 0. Who sees a task free in the
 * state (acquire) reads task and frame and takes it by adding one to the state it saw: that succeeds only if nothing
 * changed meanwhile, so what was read is of this round, since no round begins before all tasks of the one before are
 * done. So a worker that sleeps, or that the system runs somebody else instead of, delays nobody: its tasks are done by
 * others. The caller waits for those only that workers took; each of them adds one to `done` (release) afterwards, and
 * when the caller sees it (acquire) it sees what they wrote.
 *
 * How sleeping goes: a worker adds itself to `sleeping` and then looks at `state`; the caller changes `state` and then
 * looks at `sleeping`. All four are sequentially consistent, so at least one sees the other; and the caller takes the
 * mutex before it wakes, so the worker that saw nothing is waiting by then. Who wakes them sets `sleeping` to 0: a
 * worker that is waking up is not woken in every round again.
 */
struct ig_pool {
    _Alignas(IG_LINE) atomic_uint_fast64_t state; /* round << 32 | tasks << 16 | next task */
    _Atomic(MODEL_(task)) task;
    _Atomic(const void *) frame;
    atomic_int stop;
    int32_t threads; /* the caller's included */
    _Alignas(IG_LINE) atomic_int done;
    _Alignas(IG_LINE) atomic_int sleeping;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    _Alignas(IG_LINE) pthread_mutex_t busy; /* one run at a time; who finds it taken runs alone */
    pthread_t *workers;
    pid_t process; /* a fork copies the pool, but none of its workers */
};

enum { IG_MOST_THREADS = 0xffff };

static uint64_t round_of(uint64_t state) { return state >> 32; }

static void sleep_until_round_changes(struct ig_pool *pool, uint64_t seen)
{
    IG_DELAY();
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        /* Each time: a wake-up that was meant for the round before took it away. */
        atomic_fetch_add(&pool->sleeping, 1);
        if (round_of(atomic_load(&pool->state)) != seen)
            break;
        pthread_cond_wait(&pool->wake, &pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
}

/* The new round's number. */
static uint64_t wait_until_round_changes(struct ig_pool *pool, uint64_t seen)
{
    int64_t until = 0;
    for (int looks = 1;; looks++) {
        const uint64_t current = round_of(atomic_load_explicit(&pool->state, memory_order_acquire));
        if (current != seen)
            return current;
        IG_PAUSE();
        if (looks % IG_LOOKS)
            continue;
        const int64_t time = now();
        if (!until)
            until = time + IG_PATIENCE;
        else if (time > until)
            sleep_until_round_changes(pool, seen);
    }
}

static void wait_until_done(struct ig_pool *pool, int count)
{
    int64_t until = 0;
    for (int looks = 1; atomic_load_explicit(&pool->done, memory_order_acquire) < count; looks++) {
        IG_PAUSE();
        if (looks % IG_LOOKS)
            continue;
        const int64_t time = now();
        if (!until)
            until = time + IG_PATIENCE;
        else if (time > until)
            sched_yield();
    }
}

/* Take tasks and do them until none is free; how many. What was taken is counted as done by the caller of this, and
 * until then no other round begins. */
static int work(struct ig_pool *pool)
{
    int count = 0;
    uint64_t state = atomic_load_explicit(&pool->state, memory_order_acquire);
    for (;;) {
        const int32_t next = (int32_t)(state & 0xffff), tasks = (int32_t)(state >> 16 & 0xffff);
        const MODEL_(task) task = atomic_load_explicit(&pool->task, memory_order_relaxed);
        const void *frame = atomic_load_explicit(&pool->frame, memory_order_relaxed);
        IG_DELAY();
        if (next >= tasks)
            return count;
        if (atomic_compare_exchange_weak_explicit(&pool->state, &state, state + 1, memory_order_acq_rel,
                                                  memory_order_acquire)) {
            state++;
            task(frame, next, tasks);
            count++;
        }
    }
}

static void *worker_main(void *argument)
{
    struct ig_pool *pool = argument;
    uint64_t round = 0;
    for (;;) {
        round = wait_until_round_changes(pool, round);
        if (atomic_load_explicit(&pool->stop, memory_order_relaxed)) /* written before the state was */
            return NULL;
        const int count = work(pool);
        if (count)
            atomic_fetch_add_explicit(&pool->done, count, memory_order_release);
    }
}

/* A new round with tasks 1 to tasks - 1 free. */
static void start_round(struct ig_pool *pool, int32_t tasks)
{
    const uint64_t round = (round_of(atomic_load_explicit(&pool->state, memory_order_relaxed)) + 1) & 0xffffffff;
    atomic_store(&pool->state, round << 32 | (uint64_t)tasks << 16 | 1);
    if (atomic_load(&pool->sleeping) > 0) {
        IG_DELAY();
        pthread_mutex_lock(&pool->mutex);
        atomic_store(&pool->sleeping, 0);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
    }
}

static void pool_parallel(void *user, MODEL_(task) task, const void *frame, int32_t tasks)
{
    struct ig_pool *pool = user;
    atomic_store_explicit(&pool->task, task, memory_order_relaxed);
    atomic_store_explicit(&pool->frame, frame, memory_order_relaxed);
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    start_round(pool, tasks);
    task(frame, 0, tasks);
    wait_until_done(pool, tasks - 1 - work(pool));
}

void ig_pool_destroy(struct ig_pool *pool)
{
    if (!pool)
        return;
    if (pool->process == getpid()) {
        atomic_store(&pool->stop, 1);
        start_round(pool, 0);
        pthread_mutex_lock(&pool->mutex); /* whoever still sleeps */
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
        for (int32_t i = 1; i < pool->threads; i++)
            pthread_join(pool->workers[i], NULL);
        pthread_mutex_destroy(&pool->busy);
        pthread_mutex_destroy(&pool->mutex);
        pthread_cond_destroy(&pool->wake);
    }
    free(pool->workers);
    free(pool);
}

/* A pool of this many threads, the caller's included; fewer where the system does not give so many; NULL where there is
 * no memory for it, and then every run is its caller's alone. */
struct ig_pool *ig_pool_create(int32_t threads)
{
    struct ig_pool *pool = aligned_alloc(IG_LINE, sizeof *pool);
    if (!pool)
        return NULL;
    memset(pool, 0, sizeof *pool);
    pool->threads = 1;
    pool->process = getpid();
    threads = threads < IG_MOST_THREADS ? threads : IG_MOST_THREADS;
    pool->workers = calloc((size_t)(threads > 0 ? threads : 1), sizeof *pool->workers);
    if (!pool->workers) {
        free(pool);
        return NULL;
    }
    pthread_mutex_init(&pool->busy, NULL);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    for (int32_t i = 1; i < threads; i++) {
        if (pthread_create(&pool->workers[i], NULL, worker_main, pool))
            break;
        pool->threads = i + 1;
    }
    return pool;
}

struct ig_clock {
    struct ig_pool *pool;
    int64_t last;
    int64_t *nanoseconds; /* one entry per step */
};

static void clock_parallel(void *user, MODEL_(task) task, const void *frame, int32_t tasks)
{
    pool_parallel(((struct ig_clock *)user)->pool, task, frame, tasks);
}

static void clock_after_step(void *user, int32_t step)
{
    struct ig_clock *clock = user;
    const int64_t time = now();
    clock->nanoseconds[step] += time - clock->last;
    clock->last = time;
}

struct ig_batch {
    const void *const *inputs;
    const int64_t *strides;
    void *const *outputs;
    int64_t samples;
    char *arena;
    atomic_int_fast64_t next; /* sample that nobody has taken */
    atomic_int status;        /* of any sample that failed */
};

static int run_sample(const struct ig_batch *batch, int64_t sample, char *arena, const struct MODEL_(host) *host)
{
    const void *in[MODEL_INPUTS];
    void *out[MODEL_OUTPUTS];
    for (int k = 0; k < MODEL_INPUTS; k++)
        in[k] = (const char *)batch->inputs[k] + sample * batch->strides[k];
    for (int k = 0; k < MODEL_OUTPUTS; k++)
        out[k] = (char *)batch->outputs[k] + (size_t)sample * MODEL_(output_bytes)[k];
    return MODEL_(run_on)(host, in, out, arena, MODEL_ARENA_BYTES);
}

#define IG_ARENA (((size_t)MODEL_ARENA_BYTES + MODEL_ALIGNMENT - 1) / MODEL_ALIGNMENT * MODEL_ALIGNMENT)

/* As many of the samples as one thread gets hold of, in an arena of its own. */
static void run_samples(const void *frame, int32_t task, int32_t tasks)
{
    struct ig_batch *batch = *(struct ig_batch *const *)frame;
    int64_t i;
    (void)tasks;
    while ((i = atomic_fetch_add_explicit(&batch->next, 1, memory_order_relaxed)) < batch->samples) {
        const int status = run_sample(batch, i, batch->arena + (size_t)task * IG_ARENA, NULL);
        if (status)
            atomic_store(&batch->status, status);
    }
}

const int64_t ig_library_arena_bytes = MODEL_ARENA_BYTES;

/* Run samples. Several of them are divided among the threads, a single one is divided itself; same integers.
 *
 * inputs, strides: of the first sample, and by how many bytes each moves on to the next (0: the same for all).
 * outputs: dense, one sample after the other.
 * arena: one for each sample that runs at the same time, so many in a row as arena_bytes has room for.
 * pool: NULL, or whose threads to use. nanoseconds: NULL, or one counter per step; the samples then run in turn.
 */
int ig_library_run(const void *const *inputs, const int64_t *strides, void *const *outputs, int64_t samples,
                   void *arena, size_t arena_bytes, struct ig_pool *pool, int64_t *nanoseconds)
{
    struct ig_batch batch = {inputs, strides, outputs, samples, arena, 0, 0};
    const int locked = pool && pool->process == getpid() && pthread_mutex_trylock(&pool->busy) == 0;
    const int32_t threads = locked ? pool->threads : 1;
    const int64_t room = (int64_t)(arena_bytes / IG_ARENA);
    if (!inputs || !strides || !outputs || !arena) {
        atomic_store(&batch.status, MODEL_NULL_POINTER);
    } else if (arena_bytes < MODEL_ARENA_BYTES) {
        atomic_store(&batch.status, MODEL_SMALL_ARENA);
    } else if (threads > 1 && samples > 1 && room > 1 && !nanoseconds) {
        int64_t tasks = samples < room ? samples : room;
        struct ig_batch *frame = &batch;
        pool_parallel(pool, run_samples, &frame, (int32_t)(tasks < threads ? tasks : threads));
    } else {
        struct ig_clock clock = {pool, 0, nanoseconds};
        const struct MODEL_(host) host = {&clock, threads, clock_parallel, nanoseconds ? clock_after_step : NULL};
        for (int64_t i = 0; i < samples && !atomic_load(&batch.status); i++) {
            if (nanoseconds)
                clock.last = now();
            atomic_store(&batch.status, run_sample(&batch, i, batch.arena, &host));
        }
    }
    if (locked)
        pthread_mutex_unlock(&pool->busy);
    return atomic_load(&batch.status);
}
