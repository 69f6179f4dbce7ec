// Optimiser steps: every number by itself.
#include "optim.h"
#include "threads.h"
#include "vec.h"

#include <math.h>

enum { PIECE = 1 << 15 };

struct job {
    float *w, *m, *v;
    const float *g;
    size_t n;
    struct sgd sgd;
    struct adam adam;
    struct rmsprop rmsprop;
};

struct range {
    size_t begin, end;
};

static struct range range_of(const struct job *job, int piece) {
    size_t begin = (size_t)piece * PIECE;
    return (struct range){begin, begin + PIECE < job->n ? begin + PIECE : job->n};
}

static void run(threads_job *piece, struct job *job) {
    threads_run(piece, job, (int)((job->n + PIECE - 1) / PIECE));
}

static void sgd_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    struct range r = range_of(job, piece);
    const struct sgd k = job->sgd;
    const float *g = job->g, decay = 2 * k.l2;
    float *w = job->w, *v = job->v;
    (void)thread;
    if (!v) {
        INDEPENDENT for (size_t i = r.begin; i < r.end; i++) w[i] -= k.lr * (g[i] + decay * w[i]);
    } else if (k.nesterov) {
        INDEPENDENT for (size_t i = r.begin; i < r.end; i++) {
            float step = k.lr * (g[i] + decay * w[i]);
            v[i] = k.momentum * v[i] - step;
            w[i] += k.momentum * v[i] - step;
        }
    } else {
        INDEPENDENT for (size_t i = r.begin; i < r.end; i++) {
            v[i] = k.momentum * v[i] - k.lr * (g[i] + decay * w[i]);
            w[i] += v[i];
        }
    }
}

void optim_sgd(float *w, const float *g, float *v, size_t n, struct sgd k) {
    struct job job = {.w = w, .g = g, .v = v, .n = n, .sgd = k};
    run(sgd_piece, &job);
}

static void adam_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    struct range r = range_of(job, piece);
    const struct adam k = job->adam;
    const float *g = job->g, decay = 2 * k.l2;
    float *w = job->w, *m = job->m, *v = job->v;
    (void)thread;
    INDEPENDENT for (size_t i = r.begin; i < r.end; i++) {
        float d = g[i] + decay * w[i];
        m[i] = k.beta1 * m[i] + (1 - k.beta1) * d;
        v[i] = k.beta2 * v[i] + (1 - k.beta2) * d * d;
        w[i] -= k.lr * m[i] / (sqrtf(v[i]) + k.epsilon);
    }
}

void optim_adam(float *w, const float *g, float *m, float *v, size_t n, struct adam k) {
    struct job job = {.w = w, .g = g, .m = m, .v = v, .n = n, .adam = k};
    run(adam_piece, &job);
}

static void rmsprop_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    struct range r = range_of(job, piece);
    const struct rmsprop k = job->rmsprop;
    const float *g = job->g, decay = 2 * k.l2;
    float *w = job->w, *v = job->v;
    (void)thread;
    INDEPENDENT for (size_t i = r.begin; i < r.end; i++) {
        float d = g[i] + decay * w[i];
        v[i] = k.rho * v[i] + (1 - k.rho) * d * d;
        w[i] -= k.lr * d / (sqrtf(v[i]) + k.epsilon);
    }
}

void optim_rmsprop(float *w, const float *g, float *v, size_t n, struct rmsprop k) {
    struct job job = {.w = w, .g = g, .v = v, .n = n, .rmsprop = k};
    run(rmsprop_piece, &job);
}
