// The thread pool: workers spin briefly for the next job (a training step has hundreds, microseconds apart), then sleep.
// One number says it all: the job's ticket in its upper half, the pieces nobody has taken yet in the lower. Pieces are
// taken by counting that down; whoever took some may read the job, which cannot change before they are done. A worker that
// comes too late finds nothing and is not waited for, so a busy machine costs no more than the help it withholds.
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
    int started; // threads when the workers were last started; written while none runs
    int workers; // running now
    pthread_t worker[THREADS_MAX];
    uint64_t first; // `state` when the workers were started
    pthread_mutex_t lock;
    pthread_cond_t wake;
    atomic_bool quit;
    _Alignas(64) _Atomic uint64_t state; // ticket << 32 | pieces left
    _Alignas(64) atomic_int done;        // pieces of the current job that are finished
} pool = {.started = 1, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static _Thread_local int running = -1; // this thread's number while it is inside a job

static struct {
    bool (*asked)(void *); // NULL: what is begun is finished
    void *arg;
    atomic_bool said_yes; // only thread 0 asks; the others hear of it here
} stop;

static float *scratch[THREADS_MAX];
static size_t scratch_floats[THREADS_MAX];

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint32_t pieces_left(uint64_t state) { return (uint32_t)state; }
static uint64_t ticket_of(uint64_t state) { return state >> 32; }

bool threads_stopped(void) {
    if (!stop.asked) return false;
    bool is_asking = running <= 0 && !atomic_load_explicit(&stop.said_yes, memory_order_relaxed);
    if (is_asking && stop.asked(stop.arg)) atomic_store_explicit(&stop.said_yes, true, memory_order_relaxed);
    return atomic_load_explicit(&stop.said_yes, memory_order_relaxed);
}

void threads_stop_when(bool (*asked)(void *), void *arg) {
    stop.asked = asked;
    stop.arg = arg;
    atomic_store_explicit(&stop.said_yes, false, memory_order_relaxed);
}

bool threads_stop_never(void) {
    stop.asked = NULL;
    return atomic_load_explicit(&stop.said_yes, memory_order_relaxed);
}

// A thread takes half its share of the pieces left: many at first, the last ones one by one.
static void take_pieces(int thread) {
    const int shares = 2 * pool.started;
    running = thread;
    uint64_t state = atomic_load_explicit(&pool.state, memory_order_acquire);
    while (pieces_left(state) > 0) {
        const int left = (int)pieces_left(state), some = left / shares, taken = some > 1 ? some : 1;
        if (!atomic_compare_exchange_weak_explicit(&pool.state, &state, state - (uint64_t)taken, memory_order_acquire,
                                                   memory_order_acquire))
            continue;
        for (int i = 0; i < taken && !threads_stopped(); i++) pool.job(pool.arg, pool.pieces - left + i, thread);
        atomic_fetch_add_explicit(&pool.done, taken, memory_order_release);
        state = atomic_load_explicit(&pool.state, memory_order_acquire);
    }
    running = -1;
}

// Returns the state of a job later than `seen`.
static uint64_t wait_for_job(uint64_t seen) {
    for (int i = 0; i < SPINS; i++) {
        uint64_t state = atomic_load_explicit(&pool.state, memory_order_acquire);
        if (ticket_of(state) != ticket_of(seen)) return state;
        relax();
    }
    pthread_mutex_lock(&pool.lock);
    while (ticket_of(atomic_load(&pool.state)) == ticket_of(seen)) pthread_cond_wait(&pool.wake, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    return atomic_load(&pool.state);
}

static void *work(void *argument) {
    int thread = (int)(intptr_t)argument;
    for (uint64_t seen = pool.first;;) {
        seen = wait_for_job(seen);
        if (atomic_load(&pool.quit)) return NULL;
        take_pieces(thread);
    }
}

// A new ticket, with so many pieces.
static void issue_ticket(int pieces) {
    pthread_mutex_lock(&pool.lock); // else a worker about to sleep could miss it
    uint64_t ticket = ticket_of(atomic_load(&pool.state)) + 1;
    atomic_store_explicit(&pool.state, ticket << 32 | (uint32_t)pieces, memory_order_release);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
}

static void stop_workers(void) {
    atomic_store(&pool.quit, true);
    issue_ticket(0);
    for (int i = 0; i < pool.workers; i++) pthread_join(pool.worker[i], NULL);
    atomic_store(&pool.quit, false);
    pool.workers = 0;
}

// Workers never receive signals: Ctrl-C belongs to the thread that runs Lua.
static void start_workers(void) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pool.first = atomic_load(&pool.state);
    pool.started = threads_count();
    while (pool.workers < pool.started - 1) {
        void *thread = (void *)(intptr_t)(pool.workers + 1);
        if (pthread_create(&pool.worker[pool.workers], NULL, work, thread) != 0) break; // fewer threads, same numbers
        pool.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void threads_run(threads_job *job, void *arg, int pieces) {
    bool inside = running >= 0;
    if (inside || pieces <= 1 || threads_count() == 1) {
        for (int piece = 0; piece < pieces && !threads_stopped(); piece++) job(arg, piece, inside ? running : 0);
        return;
    }
    if (pool.started != threads_count()) {
        stop_workers();
        start_workers();
    }
    pool.job = job;
    pool.arg = arg;
    pool.pieces = pieces;
    atomic_store_explicit(&pool.done, 0, memory_order_relaxed);
    issue_ticket(pieces);
    take_pieces(0);
    for (int i = 0; atomic_load_explicit(&pool.done, memory_order_acquire) < pieces; i++) {
        if (i < SPINS) relax();
        else {
            threads_stopped(); // else a Ctrl-C that comes now would wait for the others' long pieces
            sched_yield();
        }
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
