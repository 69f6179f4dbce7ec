// Runs the steps.
#include "program.h"
#include "act.h"
#include "elementwise.h"
#include "norm.h"
#include "threads.h"

enum { TOGETHER = 3 }; // so many images at most go through a step together

struct run {
    const struct program *p;
    float *y;
    const float *x;
};

// ---- one step, for n images

static struct conv_forward forward_of(const struct step *s, int n, bool shared_out) {
    struct conv_forward f = {.shape = s->conv, .packed = s->packed, .bias = s->bias, .relu = s->relu};
    f.shape.batch = n;
    f.shared_out = shared_out;
    return f;
}

static void run_conv(const struct step *s, float *y, const float *x, const float *other, int n, bool shared_out) {
    struct conv_forward f = forward_of(s, n, shared_out);
    struct norm_coefficients k;
    f.y = y, f.x = x, f.add = other;
    if (s->norm) {
        k = norm_from_rows(s->norm, s->conv.in, s->norm_relu);
        f.norm = &k;
    }
    conv_forward(&f, NULL);
}

static void run_pool(const struct step *s, float *y, const float *x, int n) {
    struct pool_shape shape = s->pool;
    shape.n = n;
    if (s->kind == STEP_MAX_POOL) pool_max(y, NULL, x, NULL, &shape);
    else pool_mean(y, x, &shape);
}

static void run_norm(const struct step *s, float *y, const float *x, int n) {
    int channels = (int)(s->size / s->rows);
    struct norm_coefficients k = norm_from_rows(s->norm, channels, s->norm_relu);
    norm_forward(y, x, (size_t)n * s->rows, channels, &k);
}

static void run_add(const struct step *s, float *y, const float *a, const float *b, int n) {
    int shape[1] = {(int)(s->size * (size_t)n)};
    elementwise_binary(BINARY_ADD, y, 1, shape, &(struct operand){a, 1, {shape[0]}}, &(struct operand){b, 1, {shape[0]}});
    if (s->relu) elementwise_unary(UNARY_RELU, y, y, (size_t)shape[0]);
}

static void run_step(const struct step *s, float *y, const float *x, const float *other, int n, bool shared_out) {
    size_t size = s->size * (size_t)n, rows = s->rows * (size_t)n;
    switch (s->kind) {
    case STEP_CONV: run_conv(s, y, x, other, n, shared_out); break;
    case STEP_MAX_POOL:
    case STEP_MEAN_POOL: run_pool(s, y, x, n); break;
    case STEP_NORM: run_norm(s, y, x, n); break;
    case STEP_ADD: run_add(s, y, x, other, n); break;
    case STEP_RELU: elementwise_unary(UNARY_RELU, y, x, size); break;
    case STEP_SIGMOID: elementwise_unary(UNARY_SIGMOID, y, x, size); break;
    case STEP_SOFTMAX: act_softmax(y, x, rows, (int)(size / rows)); break;
    }
}

// ---- all steps

static void run_images(const struct run *r, size_t first, int n, float *memory, bool shared_out) {
    const struct program *p = r->p;
    const int last = p->buffers - 1;
    float *at[p->buffers];
    for (int i = 0; i < p->buffers; i++) at[i] = memory + p->buffer_at[i] * (size_t)n;
    at[0] = (float *)r->x + first * p->buffer_floats[0]; // only read
    at[last] = r->y + first * p->buffer_floats[last];
    for (int i = 0; i < p->steps; i++) {
        const struct step *s = &p->step[i];
        run_step(s, at[s->output], at[s->input], s->other < 0 ? NULL : at[s->other], n, shared_out);
    }
}

static void run_image(void *arg, int piece, int thread) {
    const struct run *r = arg;
    run_images(r, (size_t)piece, 1, r->p->memory + (size_t)thread * r->p->image_floats, true);
}

size_t program_memory(const struct program *p, int n) {
    return p->image_floats * (size_t)(n > TOGETHER ? threads_count() : n);
}

// How images are grouped depends on their number alone, so the numbers are the same on any number of threads.
void program_run(const struct program *p, float *y, const float *x, int n) {
    struct run r = {p, y, x};
    if (n > TOGETHER) threads_run(run_image, &r, n);
    else run_images(&r, 0, n, p->memory, false);
}

void program_finish(struct program *p) {
    p->image_floats = p->scratch_floats = 0;
    for (int i = 0; i < p->buffers; i++) {
        p->buffer_at[i] = p->image_floats;
        if (i > 0 && i < p->buffers - 1) p->image_floats += (p->buffer_floats[i] + 63) / 64 * 64;
    }
    for (int i = 0; i < p->steps; i++) {
        const struct step *s = &p->step[i];
        if (s->kind != STEP_CONV) continue;
        for (int n = 0; n <= TOGETHER; n++) { // 0: one of many
            struct conv_forward f = forward_of(s, n > 0 ? n : 1, n == 0);
            struct norm_coefficients k;
            if (s->norm) f.norm = &k;
            size_t scratch = conv_forward_scratch(&f);
            if (scratch > p->scratch_floats) p->scratch_floats = scratch;
        }
    }
}
