// The thread pool: workers spin briefly for the next job (a training step has hundreds, microseconds apart), then sleep.
// `ticket` counts jobs. Every worker takes part in every job (perhaps with no piece), and threads_run returns only
// when all have finished, so a worker can never see two jobs at once.
#include "threads.h"
#include "mem.h"
#include "sys.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum { SPINS = 10000 };

static struct {
    threads_job *job;
    void *arg;
    int pieces;
    int wanted;  // threads, the caller included; 0: not asked yet
    int workers; // running now
    bool quit;
    pthread_t worker[THREADS_MAX];
    unsigned first_ticket; // the ticket workers are started with
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Alignas(64) atomic_int next;
    _Alignas(64) atomic_uint ticket;
    _Alignas(64) atomic_int busy; // workers that have not finished the current job
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static float *scratch[THREADS_MAX];
static size_t scratch_floats[THREADS_MAX];

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_pieces(int thread) {
    for (int piece; (piece = atomic_fetch_add(&pool.next, 1)) < pool.pieces;) pool.job(pool.arg, piece, thread);
}

static unsigned wait_for_ticket(unsigned seen) {
    for (int i = 0; i < SPINS; i++) {
        unsigned ticket = atomic_load_explicit(&pool.ticket, memory_order_acquire);
        if (ticket != seen) return ticket;
        relax();
    }
    pthread_mutex_lock(&pool.lock);
    while (atomic_load(&pool.ticket) == seen) pthread_cond_wait(&pool.wake, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    return atomic_load(&pool.ticket);
}

static void *work(void *argument) {
    int thread = (int)(intptr_t)argument;
    for (unsigned seen = pool.first_ticket;;) {
        seen = wait_for_ticket(seen);
        if (pool.quit) return NULL;
        take_pieces(thread);
        atomic_fetch_sub_explicit(&pool.busy, 1, memory_order_release);
    }
}

// Publishes pool.job (or pool.quit) to the workers.
static void issue_ticket(void) {
    pthread_mutex_lock(&pool.lock); // else a worker about to sleep could miss it
    atomic_fetch_add_explicit(&pool.ticket, 1, memory_order_release);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
}

static void stop_workers(void) {
    if (pool.workers == 0) return;
    pool.quit = true;
    issue_ticket();
    for (int i = 0; i < pool.workers; i++) pthread_join(pool.worker[i], NULL);
    pool.quit = false;
    pool.workers = 0;
}

// Workers never receive signals: Ctrl-C belongs to the thread that runs Lua.
static void start_workers(void) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pool.first_ticket = atomic_load(&pool.ticket);
    while (pool.workers < threads_count() - 1) {
        void *thread = (void *)(intptr_t)(pool.workers + 1);
        if (pthread_create(&pool.worker[pool.workers], NULL, work, thread) != 0) break; // fewer threads, same numbers
        pool.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void threads_run(threads_job *job, void *arg, int pieces) {
    bool alone = pieces <= 1 || threads_count() == 1;
    if (alone) {
        for (int piece = 0; piece < pieces; piece++) job(arg, piece, 0);
        return;
    }
    if (pool.workers != threads_count() - 1) {
        stop_workers();
        start_workers();
    }
    pool.job = job;
    pool.arg = arg;
    pool.pieces = pieces;
    atomic_store(&pool.next, 0);
    atomic_store(&pool.busy, pool.workers);
    issue_ticket();
    take_pieces(0);
    for (int i = 0; atomic_load_explicit(&pool.busy, memory_order_acquire) > 0; i++) {
        if (i < SPINS) relax();
        else sched_yield();
    }
}

static int cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    return CPU_COUNT(&set);
}

void threads_set(int count) { pool.wanted = count < 1 ? 1 : count > THREADS_MAX ? THREADS_MAX : count; }

int threads_count(void) {
    if (pool.wanted == 0) {
        const char *asked = getenv("GIEMSA_THREADS");
        int count = asked ? atoi(asked) : 0;
        threads_set(count > 0 ? count : cores());
    }
    return pool.wanted;
}

int threads_reserve(size_t floats) {
    for (int i = 0; i < threads_count(); i++) { // each by itself: the number of threads may have changed in between
        if (scratch[i] && floats <= scratch_floats[i]) continue;
        float *larger = mem_resize(scratch[i], floats * sizeof(float));
        if (!larger) return sys_fail("out of memory: %zu bytes of scratch for each of %d threads",
                                     floats * sizeof(float), threads_count());
        scratch[i] = larger;
        scratch_floats[i] = floats;
    }
    return 0;
}

float *threads_scratch(int thread) { return scratch[thread]; }
