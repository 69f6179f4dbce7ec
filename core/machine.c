#include "machine.h"
#include "sys.h"
#include "threads.h"
#include "vec.h"

// Enough sums to hide the latency of an addition, few enough for 16 registers.
enum { SUMS = 12, STEPS = 200000 };

static void multiply_and_add(void *arg, int piece, int thread) {
    (void)piece, (void)thread;
    vec sum[SUMS], a = splat(0.5f), b = splat(1.0f);
    UNROLL for (int k = 0; k < SUMS; k++) sum[k] = splat((float)k);
    for (int i = 0; i < STEPS; i++) UNROLL for (int k = 0; k < SUMS; k++) {
        sum[k] = sum[k] * a + b;
        PIN(sum[k]);
    }
    float all = 0;
    UNROLL for (int k = 0; k < SUMS; k++) all += sum_lanes(sum[k]);
    *(volatile float *)arg = all; // somebody wants to know
}

double machine_flops(double seconds) {
    float result;
    int pieces = threads_count();
    double best = 0, stop = sys_now() + seconds;
    do {
        double start = sys_now();
        threads_run(multiply_and_add, &result, pieces);
        double rate = 2.0 * VL * SUMS * STEPS * pieces / (sys_now() - start);
        if (rate > best) best = rate;
    } while (sys_now() < stop);
    return best;
}

struct scaling {
    float *y;
    const float *x;
    size_t floats; // a thread
    int passes;
};

static void scale(void *arg, int piece, int thread) {
    (void)thread;
    const struct scaling *s = arg;
    float *y = s->y + (size_t)piece * s->floats;
    const float *x = s->x + (size_t)piece * s->floats;
    vec a = splat(1.5f);
    for (int pass = 0; pass < s->passes; pass++) {
        for (size_t i = 0; i + VL <= s->floats; i += VL) store(y + i, a * load(x + i));
        __asm__ volatile("" ::: "memory"); // each pass counts
    }
}

double machine_bandwidth(float *y, const float *x, size_t floats, double seconds) {
    int pieces = threads_count();
    struct scaling s = {y, x, floats / (size_t)pieces / VL * VL, 1};
    double bytes = 8.0 * (double)s.floats * pieces;
    while (bytes * s.passes < 3e7) s.passes *= 2; // long enough for the clock
    double best = 0, stop = sys_now() + seconds;
    do {
        double start = sys_now();
        threads_run(scale, &s, pieces);
        double rate = bytes * s.passes / (sys_now() - start);
        if (rate > best) best = rate;
    } while (sys_now() < stop);
    return best;
}
