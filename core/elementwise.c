// Number by number. A broadcast is first folded: neighbouring dimensions over which every operand
// walks on evenly become one, so that what is left innermost is a plain run in which an operand
// either advances by 1 or stands still.
#include "elementwise.h"
#include "threads.h"
#include "vec.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { PIECE = 1 << 15, OPERANDS = 3 }; // numbers a thread takes at a time

static int pieces_of(size_t n) { return (int)((n + PIECE - 1) / PIECE); }
static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

// ---- folding a broadcast

int broadcast_shape(int shape[TENSOR_MAX_DIMS], int a_ndim, const int a[], int b_ndim,
                    const int b[]) {
    int result[TENSOR_MAX_DIMS], ndim = a_ndim > b_ndim ? a_ndim : b_ndim;
    for (int back = 1; back <= ndim; back++) {
        int m = back <= a_ndim ? a[a_ndim - back] : 1, n = back <= b_ndim ? b[b_ndim - back] : 1;
        if (m != n && m != 1 && n != 1) return -1;
        result[ndim - back] = m == 1 ? n : m;
    }
    for (int i = 0; i < ndim; i++) shape[i] = result[i];
    return ndim;
}

struct walk { // dimension 0 is the innermost
    int dims;
    size_t total, size[TENSOR_MAX_DIMS];
    size_t step[OPERANDS][TENSOR_MAX_DIMS]; // in floats; innermost 0 or 1
    const float *data[OPERANDS];
};

static bool folds(const struct walk *w, int operands, const size_t step[]) {
    if (w->dims == 0) return false;
    for (int o = 0; o < operands; o++)
        if (step[o] != w->step[o][w->dims - 1] * w->size[w->dims - 1]) return false;
    return true;
}

static void fold(struct walk *w, int ndim, const int shape[], int operands,
                 const struct operand *const operand[]) {
    size_t next[OPERANDS]; // the step of the operand's own next dimension outwards
    *w = (struct walk){.total = shape_size(ndim, shape)};
    for (int o = 0; o < operands; o++) next[o] = 1, w->data[o] = operand[o]->data;
    for (int back = 1; back <= ndim; back++) {
        size_t step[OPERANDS], n = (size_t)shape[ndim - back];
        for (int o = 0; o < operands; o++) {
            size_t own =
                back <= operand[o]->ndim ? (size_t)operand[o]->shape[operand[o]->ndim - back] : 1;
            step[o] = own == 1 ? 0 : next[o];
            next[o] *= own;
        }
        if (n == 1) continue;
        if (folds(w, operands, step)) {
            w->size[w->dims - 1] *= n;
            continue;
        }
        for (int o = 0; o < operands; o++) w->step[o][w->dims] = step[o];
        w->size[w->dims++] = n;
    }
    if (w->dims == 0) w->size[w->dims++] = 1;
}

// Where operand o stands at output number `index`; index is at column `column` of the innermost
// run.
static const float *at(const struct walk *w, int o, size_t row, size_t column) {
    const float *p = w->data[o] + column * w->step[o][0];
    for (int d = 1; d < w->dims; d++) {
        p += row % w->size[d] * w->step[o][d];
        row /= w->size[d];
    }
    return p;
}

// ---- two operands

INLINE float apply_binary(enum binary_op op, float a, float b) {
    switch (op) {
    case BINARY_ADD: return a + b;
    case BINARY_SUB: return a - b;
    case BINARY_MUL: return a * b;
    case BINARY_DIV: return a / b;
    case BINARY_POW: return powf(a, b);
    case BINARY_MAX: return a > b || a != a ? a : b;
    case BINARY_MIN: return a < b || a != a ? a : b;
    case BINARY_EQ: return a == b ? 1 : 0;
    case BINARY_NE: return a != b ? 1 : 0;
    case BINARY_LT: return a < b ? 1 : 0;
    case BINARY_LE: return a <= b ? 1 : 0;
    case BINARY_GT: return a > b ? 1 : 0;
    case BINARY_GE: return a >= b ? 1 : 0;
    }
    return 0;
}

INLINE void binary_loop(enum binary_op op, float *y, const float *a, size_t a_step, const float *b,
                        size_t b_step, size_t n) {
    const float a0 = *a, b0 = *b;
    if (a_step && b_step) {
        INDEPENDENT for (size_t i = 0; i < n; i++) y[i] = apply_binary(op, a[i], b[i]);
    } else if (a_step) {
        INDEPENDENT for (size_t i = 0; i < n; i++) y[i] = apply_binary(op, a[i], b0);
    } else {
        INDEPENDENT for (size_t i = 0; i < n; i++) y[i] = apply_binary(op, a0, b[b_step * i]);
    }
}

// One loop is compiled for each op: the constant picks its line of apply_binary.
static void binary_run(enum binary_op op, float *y, const float *a, size_t sa, const float *b,
                       size_t sb, size_t n) {
    switch (op) {
    case BINARY_ADD: binary_loop(BINARY_ADD, y, a, sa, b, sb, n); break;
    case BINARY_SUB: binary_loop(BINARY_SUB, y, a, sa, b, sb, n); break;
    case BINARY_MUL: binary_loop(BINARY_MUL, y, a, sa, b, sb, n); break;
    case BINARY_DIV: binary_loop(BINARY_DIV, y, a, sa, b, sb, n); break;
    case BINARY_POW: binary_loop(BINARY_POW, y, a, sa, b, sb, n); break;
    case BINARY_MAX: binary_loop(BINARY_MAX, y, a, sa, b, sb, n); break;
    case BINARY_MIN: binary_loop(BINARY_MIN, y, a, sa, b, sb, n); break;
    case BINARY_EQ: binary_loop(BINARY_EQ, y, a, sa, b, sb, n); break;
    case BINARY_NE: binary_loop(BINARY_NE, y, a, sa, b, sb, n); break;
    case BINARY_LT: binary_loop(BINARY_LT, y, a, sa, b, sb, n); break;
    case BINARY_LE: binary_loop(BINARY_LE, y, a, sa, b, sb, n); break;
    case BINARY_GT: binary_loop(BINARY_GT, y, a, sa, b, sb, n); break;
    case BINARY_GE: binary_loop(BINARY_GE, y, a, sa, b, sb, n); break;
    }
}

struct binary_job {
    enum binary_op op;
    float *y;
    struct walk walk;
};

static void binary_piece(void *arg, int piece, int thread) {
    const struct binary_job *job = arg;
    const struct walk *w = &job->walk;
    size_t i = (size_t)piece * PIECE, end = smaller(i + PIECE, w->total), inner = w->size[0];
    (void)thread;
    while (i < end) {
        size_t row = i / inner, column = i % inner, n = smaller(inner - column, end - i);
        binary_run(job->op, job->y + i, at(w, 0, row, column), w->step[0][0], at(w, 1, row, column),
                   w->step[1][0], n);
        i += n;
    }
}

void elementwise_binary(enum binary_op op, float *y, int ndim, const int shape[],
                        const struct operand *a, const struct operand *b) {
    struct binary_job job = {.op = op, .y = y};
    fold(&job.walk, ndim, shape, 2, (const struct operand *const[]){a, b});
    threads_run(binary_piece, &job, pieces_of(job.walk.total));
}

// ---- where

struct where_job {
    float *y;
    struct walk walk;
};

static void where_piece(void *arg, int piece, int thread) {
    const struct where_job *job = arg;
    const struct walk *w = &job->walk;
    size_t i = (size_t)piece * PIECE, end = smaller(i + PIECE, w->total), inner = w->size[0];
    (void)thread;
    while (i < end) {
        size_t row = i / inner, column = i % inner, n = smaller(inner - column, end - i);
        const float *c = at(w, 0, row, column), *a = at(w, 1, row, column),
                    *b = at(w, 2, row, column);
        for (size_t j = 0; j < n; j++) {
            float yes = a[j * w->step[1][0]], no = b[j * w->step[2][0]];
            job->y[i + j] = c[j * w->step[0][0]] != 0 ? yes : no;
        }
        i += n;
    }
}

void elementwise_where(float *y, int ndim, const int shape[], const struct operand *c,
                       const struct operand *a, const struct operand *b) {
    struct where_job job = {.y = y};
    fold(&job.walk, ndim, shape, 3, (const struct operand *const[]){c, a, b});
    threads_run(where_piece, &job, pieces_of(job.walk.total));
}

// ---- one operand

INLINE float apply_unary(enum unary_op op, float x) {
    switch (op) {
    case UNARY_NEG: return -x;
    case UNARY_EXP: return expf(x);
    case UNARY_LOG: return logf(x);
    case UNARY_SQRT: return sqrtf(x);
    case UNARY_ABS: return fabsf(x);
    case UNARY_SQUARE: return x * x;
    case UNARY_TANH: return tanhf(x);
    case UNARY_SIGMOID: return 1 / (1 + expf(-x));
    case UNARY_RELU: return x < 0 ? 0 : x;
    case UNARY_SIGN: return x > 0 ? 1 : x < 0 ? -1 : x;
    case UNARY_ROUND: return rintf(x);
    case UNARY_FLOOR: return floorf(x);
    }
    return 0;
}

INLINE void unary_loop(enum unary_op op, float *y, const float *x, size_t n) {
    INDEPENDENT for (size_t i = 0; i < n; i++) y[i] = apply_unary(op, x[i]);
}

static void unary_run(enum unary_op op, float *y, const float *x, size_t n) {
    switch (op) {
    case UNARY_NEG: unary_loop(UNARY_NEG, y, x, n); break;
    case UNARY_EXP: unary_loop(UNARY_EXP, y, x, n); break;
    case UNARY_LOG: unary_loop(UNARY_LOG, y, x, n); break;
    case UNARY_SQRT: unary_loop(UNARY_SQRT, y, x, n); break;
    case UNARY_ABS: unary_loop(UNARY_ABS, y, x, n); break;
    case UNARY_SQUARE: unary_loop(UNARY_SQUARE, y, x, n); break;
    case UNARY_TANH: unary_loop(UNARY_TANH, y, x, n); break;
    case UNARY_SIGMOID: unary_loop(UNARY_SIGMOID, y, x, n); break;
    case UNARY_RELU: unary_loop(UNARY_RELU, y, x, n); break;
    case UNARY_SIGN: unary_loop(UNARY_SIGN, y, x, n); break;
    case UNARY_ROUND: unary_loop(UNARY_ROUND, y, x, n); break;
    case UNARY_FLOOR: unary_loop(UNARY_FLOOR, y, x, n); break;
    }
}

struct unary_job {
    enum unary_op op;
    float *y;
    const float *x;
    float low, high; // clip; low is also axpy's alpha
    size_t n;
};

static void unary_piece(void *arg, int piece, int thread) {
    const struct unary_job *job = arg;
    size_t i = (size_t)piece * PIECE;
    (void)thread;
    unary_run(job->op, job->y + i, job->x + i, smaller(PIECE, job->n - i));
}

void elementwise_unary(enum unary_op op, float *y, const float *x, size_t n) {
    struct unary_job job = {.op = op, .y = y, .x = x, .n = n};
    threads_run(unary_piece, &job, pieces_of(n));
}

static void clip_piece(void *arg, int piece, int thread) {
    const struct unary_job *job = arg;
    size_t begin = (size_t)piece * PIECE, end = smaller(begin + PIECE, job->n);
    const float *x = job->x;
    float *y = job->y, low = job->low, high = job->high;
    (void)thread;
    INDEPENDENT for (size_t i = begin; i < end; i++) {
        float raised = x[i] < low ? low : x[i];
        y[i] = raised > high ? high : raised;
    }
}

void elementwise_clip(float *y, const float *x, float low, float high, size_t n) {
    struct unary_job job = {.y = y, .x = x, .low = low, .high = high, .n = n};
    threads_run(clip_piece, &job, pieces_of(n));
}

static void fill_piece(void *arg, int piece, int thread) {
    const struct unary_job *job = arg;
    size_t begin = (size_t)piece * PIECE, end = smaller(begin + PIECE, job->n);
    float *y = job->y, value = job->low;
    (void)thread;
    for (size_t i = begin; i < end; i++) y[i] = value;
}

void elementwise_fill(float *y, float value, size_t n) {
    struct unary_job job = {.y = y, .low = value, .n = n};
    threads_run(fill_piece, &job, pieces_of(n));
}

static void copy_piece(void *arg, int piece, int thread) {
    const struct unary_job *job = arg;
    size_t begin = (size_t)piece * PIECE, end = smaller(begin + PIECE, job->n);
    (void)thread;
    memcpy(job->y + begin, job->x + begin, (end - begin) * sizeof(float));
}

void elementwise_copy(float *y, const float *x, size_t n) {
    struct unary_job job = {.y = y, .x = x, .n = n};
    threads_run(copy_piece, &job, pieces_of(n));
}

static void axpy_piece(void *arg, int piece, int thread) {
    const struct unary_job *job = arg;
    size_t begin = (size_t)piece * PIECE, end = smaller(begin + PIECE, job->n);
    const float *x = job->x;
    float *y = job->y, alpha = job->low;
    (void)thread;
    INDEPENDENT for (size_t i = begin; i < end; i++) y[i] += alpha * x[i];
}

void elementwise_axpy(float *y, float alpha, const float *x, size_t n) {
    struct unary_job job = {.y = y, .x = x, .low = alpha, .n = n};
    threads_run(axpy_piece, &job, pieces_of(n));
}
