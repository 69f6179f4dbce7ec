// The thread pool of the kernels. Work is a number of pieces that depends on shapes only, never on the thread count;
// whoever is free takes the next piece. A result is therefore the same, bit for bit, on any number of threads as long
// as a piece writes only what is its own and sums over pieces are taken afterwards in piece order.
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { THREADS_MAX = 64 };

// job(arg, piece, thread) for piece 0..pieces-1; returns when all are done. thread is 0..threads_count()-1 and names
// the scratch memory below. From inside a job, threads_run does all its pieces on the calling thread.
typedef void threads_job(void *arg, int piece, int thread);
void threads_run(threads_job *job, void *arg, int pieces);

// Work that may be broken off: from stop_when on, threads_run on this thread asks asked(arg) between pieces. Once the answer
// is yes it leaves out what is not begun, there and in later runs, until stop_never, which says whether that happened. The
// results are then worthless. A job whose pieces are long asks threads_stopped itself, in between.
void threads_stop_when(bool (*asked)(void *), void *arg);
bool threads_stop_never(void);
bool threads_stopped(void);

int threads_count(void);       // GIEMSA_THREADS, else the cores this process may use
void threads_set(int count);   // 1..THREADS_MAX; takes effect at the next threads_run

// At least `floats` floats of scratch for every thread. A binding calls reserve (it may fail: -1), kernels take.
int threads_reserve(size_t floats);
float *threads_scratch(int thread);
