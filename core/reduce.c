// Reductions. A task is one part of one outer row: it leaves inner doubles in scratch, and the
// parts of a row are then joined in order. Small tasks travel together in one piece of work.
#include "reduce.h"
#include "threads.h"
#include "vec.h"

#include <string.h>

enum { TASK = 1 << 15, MOST_PARTS = 64, LANES = 8, COLUMNS = 64 };
typedef float lanes_f __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef double lanes_d __attribute__((vector_size(LANES * 8)));

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

struct reduction reduce_plan(size_t outer, size_t middle, size_t inner) {
    size_t parts = middle * inner / TASK + 1;
    return (struct reduction){outer, middle, inner,
                              smaller(smaller(parts, MOST_PARTS), middle ? middle : 1)};
}

size_t reduce_scratch(const struct reduction *r) { return r->outer * r->parts * r->inner; }

struct job;
// Reduces rows x[0..rows) of `inner` numbers to out[0..inner); first is the row's place in the
// whole.
typedef void reduce_task(double *out, const float *x, size_t rows, size_t first, size_t outer,
                         const struct job *job);

struct job {
    const struct reduction *r;
    const float *x;
    const double *centre;
    double *partial; // (outer, parts, inner)
    reduce_task *task;
    bool largest;
    size_t tasks_a_piece;
};

static void run_tasks(void *arg, int piece, int thread) {
    const struct job *job = arg;
    const struct reduction *r = job->r;
    size_t begin = (size_t)piece * job->tasks_a_piece,
           end = smaller(begin + job->tasks_a_piece, r->outer * r->parts);
    (void)thread;
    for (size_t t = begin; t < end; t++) {
        size_t outer = t / r->parts, part = t % r->parts;
        size_t first = r->middle * part / r->parts, last = r->middle * (part + 1) / r->parts;
        job->task(job->partial + t * r->inner, job->x + (outer * r->middle + first) * r->inner,
                  last - first, first, outer, job);
    }
}

static void run(struct job *job) {
    const struct reduction *r = job->r;
    size_t tasks = r->outer * r->parts, size = r->middle * r->inner / r->parts;
    job->tasks_a_piece = size < TASK ? TASK / (size ? size : 1) : 1;
    threads_run(run_tasks, job, (int)((tasks + job->tasks_a_piece - 1) / job->tasks_a_piece));
}

// ---- sums

INLINE void widen_add(lanes_d *sum, const float *x, double centre, bool squared) {
    lanes_d v = __builtin_convertvector(*(const lanes_f *)x, lanes_d) - centre;
    *sum += squared ? v * v : v;
}

// Four chains of eight, joined in lane order.
INLINE double sum_run(const float *x, size_t n, double centre, bool squared) {
    lanes_d sum[4] = {{0}, {0}, {0}, {0}};
    size_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int k = 0; k < 4; k++) widen_add(&sum[k], x + i + k * LANES, centre, squared);
    for (; i + LANES <= n; i += LANES) widen_add(&sum[0], x + i, centre, squared);
    lanes_d all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    double total = 0;
    for (int k = 0; k < LANES; k++) total += all[k];
    for (; i < n; i++) total += squared ? (x[i] - centre) * (x[i] - centre) : x[i];
    return total;
}

INLINE void sum_columns(double *restrict out, const float *restrict x, size_t rows, size_t inner,
                        const double *centre) {
    for (size_t column = 0; column < inner; column += COLUMNS) {
        size_t n = smaller(COLUMNS, inner - column);
        double sum[COLUMNS] = {0}, middle[COLUMNS] = {0};
        if (centre) memcpy(middle, centre + column, n * sizeof(double));
        for (size_t m = 0; m < rows; m++) {
            const float *row = x + m * inner + column;
            if (centre) {
                for (size_t i = 0; i < n; i++)
                    sum[i] += (row[i] - middle[i]) * (row[i] - middle[i]);
            } else {
                for (size_t i = 0; i < n; i++) sum[i] += row[i];
            }
        }
        memcpy(out + column, sum, n * sizeof(double));
    }
}

static void sum_task(double *out, const float *x, size_t rows, size_t first, size_t outer,
                     const struct job *job) {
    size_t inner = job->r->inner;
    (void)first;
    if (inner > 1) {
        if (job->centre) sum_columns(out, x, rows, inner, job->centre + outer * inner);
        else sum_columns(out, x, rows, inner, NULL);
    } else if (job->centre) {
        *out = sum_run(x, rows, job->centre[outer], true);
    } else {
        *out = sum_run(x, rows, 0, false);
    }
}

void reduce_sum(double *y, const float *x, const struct reduction *r, const double *centre,
                double *scratch) {
    struct job job = {.r = r, .x = x, .centre = centre, .partial = scratch, .task = sum_task};
    run(&job);
    for (size_t o = 0; o < r->outer; o++) {
        const double *part = scratch + o * r->parts * r->inner;
        memcpy(y + o * r->inner, part, r->inner * sizeof(double));
        for (size_t p = 1; p < r->parts; p++)
            for (size_t i = 0; i < r->inner; i++) y[o * r->inner + i] += part[p * r->inner + i];
    }
}

// ---- the largest and the smallest. Smallest is largest of the negated; NaN beats everything.

// Without branches, so that loops become vectors.
INLINE bool beats(float b, float a, bool largest) {
    return (largest ? b > a : b < a) | ((b != b) & (a == a));
}

INLINE float better(float a, float b, bool largest) { return beats(b, a, largest) ? b : a; }

INLINE vec better_lanes(vec a, vec b, bool largest) {
    veci beats = largest ? b > a : b < a;
    return choose(beats | ((b != b) & (a == a)), b, a);
}

// The best lane, by folding halves together: which lane wins is anybody's guess, so branches would
// be slow.
INLINE float best_lane(vec lanes, bool largest) {
    float twice[2 * VL];
    store(twice + VL, lanes);
    for (int half = VL / 2; half > 0; half /= 2) {
        store(twice, lanes);
        lanes = better_lanes(lanes, load(twice + half), largest);
    }
    return lanes[0];
}

INLINE float extreme_run(const float *x, size_t n, bool largest) {
    float best = x[0];
    size_t i = 0;
    if (n >= VL) {
        vec lanes = load(x);
        for (i = VL; i + VL <= n; i += VL) lanes = better_lanes(lanes, load(x + i), largest);
        best = best_lane(lanes, largest);
    }
    for (; i < n; i++) best = better(best, x[i], largest);
    return best;
}

INLINE void extreme_columns(double *out, const float *x, size_t rows, size_t inner, bool largest) {
    for (size_t column = 0; column < inner; column += COLUMNS) {
        size_t n = smaller(COLUMNS, inner - column);
        float best[COLUMNS];
        memcpy(best, x + column, n * sizeof(float));
        for (size_t m = 1; m < rows; m++) {
            const float *row = x + m * inner + column;
            for (size_t i = 0; i < n; i++) best[i] = better(best[i], row[i], largest);
        }
        for (size_t i = 0; i < n; i++) out[column + i] = best[i];
    }
}

static void extreme_task(double *out, const float *x, size_t rows, size_t first, size_t outer,
                         const struct job *job) {
    size_t inner = job->r->inner;
    (void)first, (void)outer;
    if (inner == 1) *out = job->largest ? extreme_run(x, rows, true) : extreme_run(x, rows, false);
    else if (job->largest) extreme_columns(out, x, rows, inner, true);
    else extreme_columns(out, x, rows, inner, false);
}

void reduce_extreme(double *y, const float *x, const struct reduction *r, bool largest,
                    double *scratch) {
    struct job job = {.r = r, .x = x, .partial = scratch, .task = extreme_task, .largest = largest};
    run(&job);
    for (size_t o = 0; o < r->outer; o++) {
        const double *part = scratch + o * r->parts * r->inner;
        for (size_t i = 0; i < r->inner; i++) {
            float best = (float)part[i];
            for (size_t p = 1; p < r->parts; p++)
                best = better(best, (float)part[p * r->inner + i], largest);
            y[o * r->inner + i] = best;
        }
    }
}

// ---- and where it is

static void place_task(double *out, const float *x, size_t rows, size_t first, size_t outer,
                       const struct job *job) {
    size_t inner = job->r->inner;
    (void)outer;
    for (size_t i = 0; i < inner; i++) {
        size_t best = 0;
        for (size_t m = 1; m < rows; m++) {
            if (beats(x[m * inner + i], x[best * inner + i], job->largest)) best = m;
        }
        out[i] = (double)(first + best);
    }
}

void reduce_place(double *y, const float *x, const struct reduction *r, bool largest,
                  double *scratch) {
    struct job job = {.r = r, .x = x, .partial = scratch, .task = place_task, .largest = largest};
    run(&job);
    for (size_t o = 0; o < r->outer; o++) {
        const double *part = scratch + o * r->parts * r->inner;
        for (size_t i = 0; i < r->inner; i++) {
            const float *column = x + o * r->middle * r->inner + i;
            size_t best = (size_t)part[i];
            for (size_t p = 1; p < r->parts; p++) {
                size_t place = (size_t)part[p * r->inner + i];
                if (beats(column[place * r->inner], column[best * r->inner], largest)) best = place;
            }
            y[o * r->inner + i] = (double)best;
        }
    }
}
