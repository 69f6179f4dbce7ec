// Moving numbers. A transpose is done in square tiles, so that both sides stay in the cache.
#include "move.h"
#include "elementwise.h"
#include "threads.h"

#include <string.h>

enum { TILE = 32, PIECE = 1 << 15 };

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

// ---- transpose

struct swap_job {
    float *y;
    const float *x;
    struct swap_sizes s;
};

// One tile of rows j of the result: y[a][j][m][i] = x[a][i][m][j], k numbers each.
static void swap_tile(const struct swap_job *job, size_t a, size_t m, size_t j0, size_t j1) {
    const struct swap_sizes *s = &job->s;
    const size_t x_row = s->m * s->j * s->k, y_row = s->m * s->i * s->k;
    const float *x = job->x + a * s->i * x_row + m * s->j * s->k;
    float *y = job->y + a * s->j * y_row + m * s->i * s->k;
    for (size_t i0 = 0; i0 < s->i; i0 += TILE) {
        size_t i1 = smaller(i0 + TILE, s->i);
        for (size_t j = j0; j < j1; j++) {
            if (s->k == 1) {
                for (size_t i = i0; i < i1; i++) y[j * y_row + i] = x[i * x_row + j];
            } else {
                for (size_t i = i0; i < i1; i++)
                    memcpy(y + j * y_row + i * s->k, x + i * x_row + j * s->k,
                           s->k * sizeof(float));
            }
        }
    }
}

static void swap_piece(void *arg, int piece, int thread) {
    const struct swap_job *job = arg;
    size_t tiles = (job->s.j + TILE - 1) / TILE;
    size_t j0 = (size_t)piece % tiles * TILE, am = (size_t)piece / tiles;
    (void)thread;
    swap_tile(job, am / job->s.m, am % job->s.m, j0, smaller(j0 + TILE, job->s.j));
}

void move_swap(float *y, const float *x, struct swap_sizes s) {
    struct swap_job job = {y, x, s};
    if (s.a * s.i * s.m * s.j * s.k == 0) return;
    int pieces = (int)(s.a * s.m * ((s.j + TILE - 1) / TILE));
    if (s.a * s.i * s.m * s.j * s.k > PIECE) {
        threads_run(swap_piece, &job, pieces);
    } else {
        for (int piece = 0; piece < pieces; piece++) swap_piece(&job, piece, 0);
    }
}

// ---- runs

struct runs_job {
    float *y;
    const float *x;
    size_t y_step, x_step, rows, count, rows_a_piece;
};

static void runs_piece(void *arg, int piece, int thread) {
    const struct runs_job *job = arg;
    size_t row = (size_t)piece * job->rows_a_piece,
           end = smaller(row + job->rows_a_piece, job->rows);
    (void)thread;
    for (; row < end; row++)
        memcpy(job->y + row * job->y_step, job->x + row * job->x_step, job->count * sizeof(float));
}

void move_runs(float *y, size_t y_step, const float *x, size_t x_step, size_t rows, size_t count) {
    struct runs_job job = {y, x, y_step, x_step, rows, count, PIECE / (count + 1) + 1};
    if (count == 0) return;
    threads_run(runs_piece, &job, (int)((rows + job.rows_a_piece - 1) / job.rows_a_piece));
}

// ---- pad

struct pad_job {
    float *y;
    const float *x;
    const int *y_shape, *x_shape, *before;
};

static void pad_plane(void *arg, int plane, int thread) {
    const struct pad_job *job = arg;
    const int *in = job->x_shape, *out = job->y_shape, *before = job->before;
    const size_t run = (size_t)in[3], rows = (size_t)in[2], row = (size_t)out[3];
    const size_t a = (size_t)(before[0] + plane / in[1]), b = (size_t)(before[1] + plane % in[1]);
    float *to = job->y + ((a * (size_t)out[1] + b) * (size_t)out[2] + (size_t)before[2]) * row + before[3];
    const float *from = job->x + (size_t)plane * rows * run;
    (void)thread;
    for (size_t c = 0; c < rows; c++) memcpy(to + c * row, from + c * run, run * sizeof(float));
}

void move_pad(float *y, const int y_shape[TENSOR_MAX_DIMS], const float *x, const int x_shape[TENSOR_MAX_DIMS],
              const int before[TENSOR_MAX_DIMS], float value) {
    struct pad_job job = {y, x, y_shape, x_shape, before};
    elementwise_fill(y, value, shape_size(TENSOR_MAX_DIMS, y_shape));
    if (shape_size(TENSOR_MAX_DIMS, x_shape) > 0) threads_run(pad_plane, &job, x_shape[0] * x_shape[1]);
}

// ---- rows

struct take_job {
    float *y;
    const float *x;
    const int *rows;
    size_t n, count, rows_a_piece;
};

static void take_piece(void *arg, int piece, int thread) {
    const struct take_job *job = arg;
    const size_t first = (size_t)piece * job->rows_a_piece, end = smaller(first + job->rows_a_piece, job->n);
    (void)thread;
    for (size_t i = first; i < end; i++)
        memcpy(job->y + i * job->count, job->x + (size_t)job->rows[i] * job->count, job->count * sizeof(float));
}

void move_take(float *y, const float *x, const int *rows, size_t n, size_t count) {
    struct take_job job = {y, x, rows, n, count, PIECE / (count + 1) + 1};
    if (count > 0) threads_run(take_piece, &job, (int)((n + job.rows_a_piece - 1) / job.rows_a_piece));
}

void move_add_rows(float *y, const float *x, const int *rows, size_t n, size_t count) {
    for (size_t i = 0; i < n; i++) {
        float *to = y + (size_t)rows[i] * count;
        for (size_t j = 0; j < count; j++) to[j] += x[i * count + j];
    }
}
