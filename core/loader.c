// The loader: a ring of batches, each a run of rows to claim. Everything under one lock; a row
// takes 50-500 microseconds, so the lock is never contended.
#include "loader.h"
#include "mem.h"
#include "rng.h"
#include "sys.h"
#include "threads.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NICENESS = 10, MESSAGE = 1024, GLANCE_NS = 50000000 }; // how often Ctrl-C is looked for

struct batch {
    struct tensor x;
    uint32_t *indices;
    int rows, claimed, done;
    int failed_row; // the first that failed, or rows
    char message[MESSAGE];
};

struct buffers { // of one thread
    struct picture_buffers pictures;
    float *input, *scratch;
};

struct worker {
    struct loader *loader;
    pthread_t thread;
    struct buffers buffers;
};

struct loader {
    struct loader_plan plan;
    int height, width, channels;
    pthread_mutex_t lock;
    pthread_cond_t work, done; // there are rows to claim (or quit); a batch was finished
    struct batch ring[LOADER_AHEAD];
    int first, count;
    bool quit;
    int workers;
    struct worker worker[THREADS_MAX];
    struct buffers callers;
};

// ---- one row

void loader_stream(struct rng *r, uint64_t seed, uint32_t epoch, uint32_t sample) {
    rng_start(r, seed, epoch, sample, STREAM_TRANSFORM);
}

static double uniform(void *state) { return rng_uniform(state); }
static unsigned below(void *state, unsigned n) { return rng_below(state, n); }

static size_t row_size(const struct loader *l) {
    return (size_t)l->height * (size_t)l->width * (size_t)l->channels;
}

static int read_sample(struct loader *l, uint32_t sample, float *out, struct buffers *b) {
    if (l->plan.pictures) return pictures_read(l->plan.pictures, (int)sample, out, &b->pictures);
    memcpy(out, l->plan.rows.data + sample * row_size(l), row_size(l) * sizeof(float));
    return 0;
}

static int prepare_buffers(const struct loader *l, struct buffers *b) {
    if (!b->input) b->input = mem_alloc(row_size(l) * sizeof(float));
    if (!b->scratch) b->scratch = mem_alloc(row_size(l) * sizeof(float));
    return b->input && b->scratch ? 0 : sys_fail("out of memory while preparing a batch");
}

static int make_row(struct loader *l, uint32_t sample, float *out, struct buffers *b) {
    if (l->plan.transform) {
        if (prepare_buffers(l, b) != 0 || read_sample(l, sample, b->input, b) != 0) return -1;
        struct rng stream;
        struct transform t;
        loader_stream(&stream, l->plan.seed, l->plan.epoch, sample);
        const struct draw draw = {&stream, uniform, below};
        const struct augment *a = &l->plan.augment;
        augment_draw(&t, a, l->height, l->width, &draw);
        transform_apply(out, b->input, &t, l->height, l->width, l->channels, a->fill, a->cval,
                        b->scratch);
    } else if (read_sample(l, sample, out, b) != 0) {
        return -1;
    }
    if (l->plan.standardise)
        standardise(out, &l->plan.augment.standard, l->height * l->width, l->channels);
    return 0;
}

// ---- the ring; called with the lock held

static struct batch *batch_at(struct loader *l, int i) {
    return &l->ring[(l->first + i) % LOADER_AHEAD];
}

static struct batch *claimable(struct loader *l) {
    for (int i = 0; i < l->count; i++)
        if (batch_at(l, i)->claimed < batch_at(l, i)->rows) return batch_at(l, i);
    return NULL;
}

// Makes the next row of the batch; the lock is given up meanwhile.
static void work_on(struct loader *l, struct batch *batch, struct buffers *b) {
    int row = batch->claimed++;
    pthread_mutex_unlock(&l->lock);
    int status = make_row(l, batch->indices[row], batch->x.data + (size_t)row * row_size(l), b);
    pthread_mutex_lock(&l->lock);
    if (status != 0 && row < batch->failed_row) {
        batch->failed_row = row;
        snprintf(batch->message, MESSAGE, "%s", sys_error());
    }
    if (++batch->done == batch->rows) pthread_cond_signal(&l->done);
}

static void *work(void *argument) {
    struct worker *self = argument;
    struct loader *l = self->loader;
#ifdef __linux__ // there a priority belongs to the thread
    id_t id = (id_t)syscall(SYS_gettid);
    setpriority(PRIO_PROCESS, id, getpriority(PRIO_PROCESS, id) + NICENESS);
#endif
    pthread_mutex_lock(&l->lock);
    while (!l->quit) {
        struct batch *batch = claimable(l);
        if (batch) work_on(l, batch, &self->buffers);
        else pthread_cond_wait(&l->work, &l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

// As many as are useful; with none at all the caller makes every row in loader_wait. Signals stay
// with the caller's thread.
static void start_workers(struct loader *l, int rows) {
    int wanted = threads_count() < rows ? threads_count() : rows;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (l->workers < wanted) {
        struct worker *next = &l->worker[l->workers];
        next->loader = l;
        if (pthread_create(&next->thread, NULL, work, next) != 0) break;
        l->workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

// ---- the interface

struct loader *loader_open(const struct loader_plan *plan) {
    struct loader *l = mem_alloc(sizeof *l);
    if (!l) return sys_fail("out of memory for a loader of batches"), NULL;
    memset(l, 0, sizeof *l);
    l->plan = *plan;
    int shape[3];
    if (plan->pictures) {
        pictures_shape(plan->pictures, shape);
        l->plan.rows = (struct tensor){0};
    } else {
        tensor_view(&l->plan.rows, &plan->rows, 0, 4, plan->rows.shape); // holds its storage
        memcpy(shape, plan->rows.shape + 1, sizeof shape);
    }
    l->height = shape[0], l->width = shape[1], l->channels = shape[2];
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->done, NULL);
    return l;
}

static void drop(struct batch *batch) {
    tensor_release(&batch->x);
    mem_free(batch->indices);
    batch->indices = NULL;
}

int loader_submit(struct loader *l, const struct tensor *x, const uint32_t indices[], int rows) {
    if (l->count == LOADER_AHEAD)
        return sys_fail("submit: %d batches are under way already", LOADER_AHEAD);
    uint32_t *copy = mem_alloc((size_t)rows * sizeof *copy);
    if (!copy) return sys_fail("out of memory for a batch of %d rows", rows);
    memcpy(copy, indices, (size_t)rows * sizeof *copy);
    pthread_mutex_lock(&l->lock);
    struct batch *batch = batch_at(l, l->count);
    tensor_view(&batch->x, x, 0, x->ndim, x->shape);
    batch->indices = copy;
    batch->rows = batch->failed_row = rows;
    batch->claimed = batch->done = 0;
    l->count++;
    if (l->workers == 0) start_workers(l, rows);
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    return 0;
}

// Until a batch is done or a moment is over.
static void wait_a_moment(struct loader *l) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += GLANCE_NS;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    pthread_cond_timedwait(&l->done, &l->lock, &until);
}

int loader_wait(struct loader *l) {
    if (l->count == 0) return sys_fail("wait: no batch was submitted");
    pthread_mutex_lock(&l->lock);
    struct batch *batch = batch_at(l, 0);
    while (batch->done < batch->rows && !sys_interrupted()) {
        if (batch->claimed < batch->rows) work_on(l, batch, &l->callers);
        else wait_a_moment(l);
    }
    if (batch->done < batch->rows) {
        pthread_mutex_unlock(&l->lock);
        return sys_fail("interrupted!");
    }
    int status = batch->failed_row < batch->rows ? sys_fail("%s", batch->message) : 0;
    drop(batch);
    l->first = (l->first + 1) % LOADER_AHEAD;
    l->count--;
    pthread_mutex_unlock(&l->lock);
    return status;
}

static void free_buffers(struct buffers *b) {
    picture_buffers_free(&b->pictures);
    mem_free(b->input);
    mem_free(b->scratch);
}

void loader_close(struct loader *l) {
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->quit = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->workers; i++) {
        pthread_join(l->worker[i].thread, NULL);
        free_buffers(&l->worker[i].buffers);
    }
    free_buffers(&l->callers);
    for (int i = 0; i < l->count; i++) drop(batch_at(l, i));
    tensor_release(&l->plan.rows);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->done);
    mem_free(l);
}
