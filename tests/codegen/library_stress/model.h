/* A made-up model for the library around it: a few steps, divided among threads, of which each reads what the one
 * before wrote, and one of which takes long enough for the workers to fall asleep.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>

#define MODEL_ARENA_BYTES 1000
#define MODEL_ALIGNMENT 64
#define MODEL_INPUTS 1
#define MODEL_OUTPUTS 1
#define MODEL_STEPS 6

enum { MODEL_OK, MODEL_NULL_POINTER, MODEL_MISALIGNED_ARENA, MODEL_SMALL_ARENA, MODEL_WRONG_PROCESSOR };

typedef void (*model_task)(const void *frame, int32_t task, int32_t tasks);
struct model_host {
    void *user;
    int32_t threads;
    void (*parallel)(void *user, model_task task, const void *frame, int32_t tasks);
    void (*after_step)(void *user, int32_t step);
};

extern const size_t model_input_bytes[MODEL_INPUTS];
extern const size_t model_output_bytes[MODEL_OUTPUTS];
int model_run_on(const struct model_host *host, const void *const *inputs, void *const *outputs, void *arena,
                 size_t arena_bytes);

#endif
