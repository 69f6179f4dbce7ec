// Activations, number by number or row by row; pieces are cut at fixed places.
#include "act.h"
#include "rng.h"
#include "threads.h"
#include "vec.h"

#include <math.h>

enum { PIECE = 1 << 15 }; // numbers a thread takes at a time; a multiple of 4

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static int pieces_of(size_t n, size_t piece) { return (int)((n + piece - 1) / piece); }

struct job {
    float *out;
    const float *a, *b;
    size_t n, row, piece; // numbers, or rows of `row` numbers; how many of them make a piece
    double rate;
    struct dropout_key key;
};

static size_t begin_of(const struct job *job, int piece) { return (size_t)piece * job->piece; }
static size_t end_of(const struct job *job, int piece) {
    return smaller(begin_of(job, piece) + job->piece, job->n);
}

// ---- gradients from y

static void relu_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    const float *dy = job->a, *y = job->b;
    float *dx = job->out;
    (void)thread;
    INDEPENDENT for (size_t i = begin_of(job, piece); i < end_of(job, piece); i++)
        dx[i] = y[i] > 0 ? dy[i] : 0;
}

static void sigmoid_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    const float *dy = job->a, *y = job->b;
    float *dx = job->out;
    (void)thread;
    INDEPENDENT for (size_t i = begin_of(job, piece); i < end_of(job, piece); i++)
        dx[i] = dy[i] * y[i] * (1 - y[i]);
}

static void tanh_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    const float *dy = job->a, *y = job->b;
    float *dx = job->out;
    (void)thread;
    INDEPENDENT for (size_t i = begin_of(job, piece); i < end_of(job, piece); i++)
        dx[i] = dy[i] * (1 - y[i] * y[i]);
}

static void run(threads_job *piece, float *dx, const float *dy, const float *y, size_t n) {
    struct job job = {.out = dx, .a = dy, .b = y, .n = n, .piece = PIECE};
    threads_run(piece, &job, pieces_of(n, PIECE));
}

void act_relu_dx(float *dx, const float *dy, const float *y, size_t n) {
    run(relu_piece, dx, dy, y, n);
}
void act_sigmoid_dx(float *dx, const float *dy, const float *y, size_t n) {
    run(sigmoid_piece, dx, dy, y, n);
}
void act_tanh_dx(float *dx, const float *dy, const float *y, size_t n) {
    run(tanh_piece, dx, dy, y, n);
}

// ---- softmax

static void softmax_row(float *y, const float *x, size_t n) {
    float largest = x[0];
    for (size_t i = 1; i < n; i++) largest = x[i] > largest || x[i] != x[i] ? x[i] : largest;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += y[i] = expf(x[i] - largest);
    for (size_t i = 0; i < n; i++) y[i] = (float)(y[i] / sum);
}

static void softmax_dx_row(float *dx, const float *dy, const float *y, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)dy[i] * y[i];
    for (size_t i = 0; i < n; i++) dx[i] = (float)(y[i] * (dy[i] - sum));
}

static void softmax_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    (void)thread;
    for (size_t r = begin_of(job, piece); r < end_of(job, piece); r++)
        softmax_row(job->out + r * job->row, job->a + r * job->row, job->row);
}

static void softmax_dx_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    (void)thread;
    for (size_t r = begin_of(job, piece); r < end_of(job, piece); r++)
        softmax_dx_row(job->out + r * job->row, job->a + r * job->row, job->b + r * job->row,
                       job->row);
}

static void run_rows(threads_job *piece, float *out, const float *a, const float *b, size_t rows,
                     int classes) {
    if (classes == 0) return;
    size_t row = (size_t)classes, piece_rows = PIECE / 8 / row + 1; // exp is slow: smaller pieces
    struct job job = {.out = out, .a = a, .b = b, .n = rows, .row = row, .piece = piece_rows};
    threads_run(piece, &job, pieces_of(rows, piece_rows));
}

void act_softmax(float *y, const float *x, size_t rows, int classes) {
    run_rows(softmax_piece, y, x, NULL, rows, classes);
}

void act_softmax_dx(float *dx, const float *dy, const float *y, size_t rows, int classes) {
    run_rows(softmax_dx_piece, dx, dy, y, rows, classes);
}

// ---- dropout: number i is word i % 4 of block i / 4 of its stream

static void dropout_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    const float keep = (float)(1 / (1 - job->rate)), *x = job->a;
    const uint32_t limit = (uint32_t)(job->rate * 4294967296.0); // rate < 1
    uint32_t words[4 * RNG_BLOCKS];
    size_t i = begin_of(job, piece), end = end_of(job, piece);
    struct rng r;
    (void)thread;
    rng_start(&r, job->key.seed, job->key.a, job->key.b, job->key.c);
    for (r.block = (uint32_t)(i / 4); i < end;) {
        size_t n = smaller(end - i, 4 * RNG_BLOCKS);
        rng_blocks(&r, words);
        for (size_t j = 0; j < n; j++, i++) job->out[i] = words[j] < limit ? 0 : x[i] * keep;
    }
}

void act_dropout(float *y, const float *x, size_t n, double rate, struct dropout_key key) {
    struct job job = {.out = y, .a = x, .n = n, .piece = PIECE / 4, .rate = rate, .key = key};
    threads_run(dropout_piece, &job, pieces_of(n, PIECE / 4));
}
