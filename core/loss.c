// Losses, one function a kind: it returns the loss of a row, or writes scale * gradient when it is
// given where (what it returns then is not used). Everything inside a row is done in double.
#include "loss.h"
#include "threads.h"

#include <math.h>

enum { PIECE = 2048 }; // numbers a thread takes at a time: each costs a logarithm or two

// NaN stays NaN.
static double clipped(double p) { return p < 1e-7 ? 1e-7 : p > 1 - 1e-7 ? 1 - 1e-7 : p; }

static double log_clipped(double log_p) {
    const double low = -16.11809565095832, high = -1.0000000500000034e-7; // log 1e-7, log(1 - 1e-7)
    return log_p < low ? low : log_p > high ? high : log_p;
}

struct softmax { // p_i = exp(a_i - largest) / sum
    double largest, sum;
    int place; // of the largest
};

static struct softmax softmax_of(const float *a, int n) {
    struct softmax s = {.largest = a[0]};
    for (int i = 1; i < n; i++)
        if (a[i] > s.largest) s.largest = a[i], s.place = i;
    for (int i = 0; i < n; i++) s.sum += exp(a[i] - s.largest);
    return s;
}

static double softmax_categorical(float *da, const float *a, const float *y, int n, double scale) {
    struct softmax s = softmax_of(a, n);
    double loss = 0, total = 0, log_sum = log(s.sum);
    for (int i = 0; i < n; i++) {
        total += y[i];
        if (y[i] != 0) loss -= y[i] * log_clipped(a[i] - s.largest - log_sum);
    }
    for (int i = 0; da && i < n; i++)
        da[i] = (float)(scale * (exp(a[i] - s.largest) / s.sum * total - y[i]));
    return loss;
}

// The softmax of all classes but `without`.
static struct softmax softmax_of_others(const float *a, int n, int without) {
    struct softmax s = {.largest = -HUGE_VAL, .place = -1};
    for (int i = 0; i < n; i++)
        if (i != without && (a[i] > s.largest || s.place < 0)) s.largest = a[i], s.place = i;
    for (int i = 0; i < n; i++)
        if (i != without) s.sum += exp(a[i] - s.largest);
    return s;
}

static double u_of(double p, double y) { return p * (1 - y) / (1 - p) - y; }

// With u_j = n p_j dL/dp_j = p_j (1 - y_j) / (1 - p_j) - y_j:
//   da_k = (p_k - y_k - p_k * sum of u_j over j != k) / n
// Only the most likely class m can have 1 - p near 0 and u without bound. It is kept apart, with
// 1 - p_m from the others' exponentials and p_k / (1 - p_m) as the softmax among those, so nothing
// cancels or overflows.
static double softmax_binary(float *da, const float *a, const float *y, int n, double scale) {
    const struct softmax all = softmax_of(a, n), others = softmax_of_others(a, n, all.place);
    const int m = all.place;
    const double p_m = 1 / all.sum;
    const double q_m = n > 1 ? others.sum * exp(others.largest - all.largest) / all.sum : 0;
    double loss = -y[m] * log(clipped(p_m)) - (1 - y[m]) * log(clipped(q_m)), rest = 0;
    for (int j = 0; j < n; j++) {
        if (j == m) continue;
        double p = exp(a[j] - all.largest) / all.sum;
        loss -= y[j] * log(clipped(p)) + (1 - y[j]) * log(clipped(1 - p));
        rest += u_of(p, y[j]);
    }
    for (int k = 0; da && k < n; k++) {
        double p = exp(a[k] - all.largest) / all.sum, sum = p * rest;
        if (k != m) {
            double share = exp(a[k] - others.largest) / others.sum;
            sum += p_m * (1 - y[m]) * share - p * (u_of(p, y[k]) + y[m]);
        }
        da[k] = (float)(scale * (p - y[k] - sum) / n);
    }
    return loss / n;
}

static double sigmoid_binary(float *da, const float *a, const float *y, int n, double scale) {
    double loss = 0;
    for (int i = 0; i < n; i++) {
        double e = exp(-fabs(a[i]));
        if (da) {
            da[i] = (float)(scale / n * ((a[i] < 0 ? e : 1) / (1 + e) - y[i]));
            continue;
        }
        double rest = log1p(e), log_p = fmin(a[i], 0) - rest, log_q = fmin(-a[i], 0) - rest;
        loss -= y[i] * log_clipped(log_p) + (1 - y[i]) * log_clipped(log_q);
    }
    return loss / n;
}

static double categorical(float *da, const float *a, const float *y, int n, double scale) {
    double loss = 0, total = 0, sum = 0;
    for (int i = 0; i < n; i++) sum += a[i], total += y[i];
    for (int i = 0; i < n; i++) {
        double p = clipped(a[i] / sum);
        if (y[i] != 0) loss -= y[i] * log(p);
        if (da) da[i] = (float)(scale * (total - y[i] / p) / sum);
    }
    return loss;
}

static double binary(float *da, const float *a, const float *y, int n, double scale) {
    double loss = 0;
    for (int i = 0; i < n; i++) {
        double p = clipped(a[i]);
        loss -= y[i] * log(p) + (1 - y[i]) * log(1 - p);
        if (da) da[i] = (float)(scale / n * ((1 - y[i]) / (1 - p) - y[i] / p));
    }
    return loss / n;
}

static double squared(float *da, const float *a, const float *y, int n, double scale) {
    double loss = 0;
    for (int i = 0; i < n; i++) {
        double d = (double)a[i] - y[i];
        loss += d * d;
        if (da) da[i] = (float)(scale / n * 2 * d);
    }
    return loss / n;
}

typedef double row_function(float *da, const float *a, const float *y, int n, double scale);

static row_function *const row_loss[] = {
    [LOSS_SOFTMAX_CATEGORICAL] = softmax_categorical,
    [LOSS_SOFTMAX_BINARY] = softmax_binary,
    [LOSS_SIGMOID_BINARY] = sigmoid_binary,
    [LOSS_CATEGORICAL] = categorical,
    [LOSS_BINARY] = binary,
    [LOSS_SQUARED] = squared,
};

// ---- all rows, in pieces of whole rows

struct job {
    enum loss_kind kind;
    const float *a, *y;
    float *da;
    double *sums; // (pieces)
    size_t rows, piece_rows, n;
    double scale;
};

static size_t rows_of_piece(int n) { return n < PIECE ? (size_t)(PIECE / (n + 1) + 1) : 1; }
static size_t pieces_of(size_t rows, int n) {
    return (rows + rows_of_piece(n) - 1) / rows_of_piece(n);
}

static void rows_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    size_t begin = (size_t)piece * job->piece_rows, end = begin + job->piece_rows;
    double sum = 0;
    (void)thread;
    for (size_t r = begin; r < end && r < job->rows; r++) {
        size_t at = r * job->n;
        sum += row_loss[job->kind](job->da ? job->da + at : NULL, job->a + at, job->y + at,
                                   (int)job->n, job->scale);
    }
    if (job->sums) job->sums[piece] = sum;
}

size_t loss_scratch(size_t rows, int n) { return pieces_of(rows, n); }

double loss_value(enum loss_kind kind, const float *a, const float *y, size_t rows, int n,
                  double *scratch) {
    struct job job = {kind, a, y, NULL, scratch, rows, rows_of_piece(n), (size_t)n, 0};
    int pieces = (int)pieces_of(rows, n);
    double sum = 0;
    threads_run(rows_piece, &job, pieces);
    for (int p = 0; p < pieces; p++) sum += scratch[p];
    return sum / (double)rows;
}

void loss_da(enum loss_kind kind, float *da, const float *a, const float *y, size_t rows, int n,
             double scale) {
    struct job job = {
        kind, a, y, da, NULL, rows, rows_of_piece(n), (size_t)n, scale / (double)rows};
    threads_run(rows_piece, &job, (int)pieces_of(rows, n));
}

double loss_sum_squares(const float *w, size_t n) {
    double sums[16] = {0}, sum = 0; // 16 side by side: no addition waits for the one before
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) sums[j] += (double)w[i + (size_t)j] * w[i + (size_t)j];
    for (; i < n; i++) sum += (double)w[i] * w[i];
    for (int j = 0; j < 16; j++) sum += sums[j];
    return sum;
}
