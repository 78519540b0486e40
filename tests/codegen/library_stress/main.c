#define _GNU_SOURCE
#include "model.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct ig_pool;
struct ig_pool *ig_pool_create(int32_t threads);
void ig_pool_destroy(struct ig_pool *pool);
int ig_library_run(const void *const *inputs, const int64_t *strides, void *const *outputs, int64_t samples,
                   void *arena, size_t arena_bytes, struct ig_pool *pool, int64_t *nanoseconds);

enum { SIZE = 100, THREADS = 3, CALLERS = 3, ROUNDS = 150, MOST = 9, PAUSE = 400 /* microseconds */ };

const size_t model_input_bytes[] = {SIZE};
const size_t model_output_bytes[] = {SIZE};

void delay(void)
{
    static atomic_uint calls;
    if (atomic_fetch_add(&calls, 1) % 5 == 0)
        usleep(PAUSE);
}

struct frame {
    const uint8_t *from;
    uint8_t *to;
    int step;
};

static void turn(const void *argument, int32_t task, int32_t tasks)
{
    const struct frame *frame = argument;
    for (int i = SIZE * task / tasks; i < SIZE * (task + 1) / tasks; i++)
        frame->to[i] = (uint8_t)(3 * frame->from[(i + 1) % SIZE] + frame->from[i] + frame->step);
}

int model_run_on(const struct model_host *host, const void *const *inputs, void *const *outputs, void *arena,
                 size_t arena_bytes)
{
    uint8_t *ping = arena, *pong = ping + SIZE;
    if ((uintptr_t)arena % MODEL_ALIGNMENT)
        return MODEL_MISALIGNED_ARENA;
    if (arena_bytes < MODEL_ARENA_BYTES)
        return MODEL_SMALL_ARENA;
    for (int step = 0; step < MODEL_STEPS; step++) {
        const struct frame frame = {step ? (step % 2 ? ping : pong) : inputs[0],
                                    step == MODEL_STEPS - 1 ? outputs[0] : (step % 2 ? pong : ping), step};
        if (step == 2 && frame.from[0] % 8 == 0)
            usleep(frame.from[1] * 2u); /* about as long as workers wait before they fall asleep */
        if (host && host->threads > 1 && step != 3)
            host->parallel(host->user, turn, &frame, step % 2 ? host->threads : 2);
        else
            turn(&frame, 0, 1);
        if (host && host->after_step)
            host->after_step(host->user, step);
    }
    return MODEL_OK;
}

/* Samples of one caller on the pool and alone; how many bytes differ. */
static int differences(struct ig_pool *pool, unsigned *seed, int64_t *nanoseconds)
{
    static const size_t arena = (MODEL_ARENA_BYTES + MODEL_ALIGNMENT - 1) / MODEL_ALIGNMENT * MODEL_ALIGNMENT;
    const int64_t samples = 1 + rand_r(seed) % MOST;
    const int64_t stride = rand_r(seed) % 4 ? SIZE : 0;
    uint8_t *x = malloc(MOST * SIZE), *y = malloc((size_t)samples * SIZE), *want = malloc((size_t)samples * SIZE);
    const size_t room = arena * (size_t)(1 + rand_r(seed) % THREADS);
    uint8_t *memory = aligned_alloc(MODEL_ALIGNMENT, room);
    const void *in[] = {x};
    void *out[] = {y}, *alone[] = {want};
    int wrong = 0;
    for (int i = 0; i < MOST * SIZE; i++)
        x[i] = (uint8_t)rand_r(seed);
    wrong += ig_library_run(in, &stride, out, samples, memory, room, pool, nanoseconds) != MODEL_OK;
    wrong += ig_library_run(in, &stride, alone, samples, memory, arena, NULL, NULL) != MODEL_OK;
    for (int64_t i = 0; i < samples * SIZE; i++)
        wrong += y[i] != want[i];
    wrong += ig_library_run(in, &stride, out, samples, memory, MODEL_ARENA_BYTES - 1, pool, NULL) != MODEL_SMALL_ARENA;
    wrong += ig_library_run(in, &stride, out, samples, memory + 1, arena, pool, NULL) != MODEL_MISALIGNED_ARENA;
    wrong += ig_library_run(in, &stride, out, samples, NULL, arena, pool, NULL) != MODEL_NULL_POINTER;
    free(x);
    free(y);
    free(want);
    free(memory);
    return wrong;
}

struct caller {
    struct ig_pool *pool;
    unsigned seed;
    int wrong;
};

static void *call(void *argument)
{
    struct caller *caller = argument;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t nanoseconds[MODEL_STEPS] = {0};
        caller->wrong += differences(caller->pool, &caller->seed, i % 5 ? NULL : nanoseconds);
        if (i % 16 == 0)
            usleep(PAUSE);
    }
    return NULL;
}

/* Runs with pauses about as long as the worker's patience, then the end, for which the worker has to be woken. */
static int idle(unsigned seed)
{
    struct ig_pool *pool = ig_pool_create(2);
    int wrong = 0;
    for (int i = 0; i < ROUNDS; i++) {
        wrong += differences(pool, &seed, NULL);
        usleep(100 + (unsigned)rand_r(&seed) % PAUSE);
    }
    ig_pool_destroy(pool);
    return wrong;
}

static int forked(struct ig_pool *pool)
{
    unsigned seed = 7;
    int status;
    const pid_t child = fork();
    if (child == 0) {
        const int wrong = differences(pool, &seed, NULL);
        ig_pool_destroy(pool);
        _exit(wrong ? 1 : 0);
    }
    return waitpid(child, &status, 0) != child || status;
}

int main(void)
{
    int wrong = 0;
    for (int32_t threads = 0; threads <= THREADS; threads++) {
        struct ig_pool *pool = ig_pool_create(threads);
        struct caller callers[CALLERS];
        pthread_t ids[CALLERS];
        for (unsigned i = 0; i < CALLERS; i++) {
            callers[i] = (struct caller){pool, 100 * (unsigned)threads + i, 0};
            pthread_create(&ids[i], NULL, call, &callers[i]);
        }
        for (int i = 0; i < CALLERS; i++) {
            pthread_join(ids[i], NULL);
            wrong += callers[i].wrong;
        }
        wrong += forked(pool);
        ig_pool_destroy(pool);
    }
    for (unsigned seed = 0; seed < 3; seed++)
        wrong += idle(seed);
    for (int i = 0; i < 50; i++) /* workers that have not begun yet are stopped as well */
        ig_pool_destroy(ig_pool_create(THREADS));
    ig_pool_destroy(NULL);
    puts(wrong ? "DIFFERENT" : "all equal");
    return wrong ? 1 : 0;
}
