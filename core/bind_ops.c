// Layers' kernels in Lua: batch normalisation, activations, pooling, upsampling. Raw: giemsa.ops
// makes them differentiable.
#include "act.h"
#include "bind.h"
#include "norm.h"
#include "pool2d.h"
#include "upsample.h"

#include <math.h>
#include <string.h>

// ---- batch normalisation
// What forward leaves for backward is `stats` (3, channels): the mean as high and low, and
// 1 / sqrt(variance + epsilon).

// x, gamma and beta (nil: ones, zeros) at `arg`; the last dimension of x is the channels.
struct norm_args {
    struct tensor *x, *gamma, *beta;
    size_t rows;
    int channels;
};

static struct tensor *opt_channels(lua_State *L, int arg, int channels) {
    struct tensor *t = opt_tensor(L, arg);
    if (t) require_shape(L, arg, t, 1, &channels);
    return t;
}

static struct norm_args check_norm(lua_State *L, int arg) {
    struct norm_args n = {.x = check_tensor(L, arg)};
    luaL_argcheck(L, n.x->ndim >= 2, arg,
                  "batch_norm needs 2 dimensions or more, the last being the channels");
    n.channels = n.x->shape[n.x->ndim - 1];
    luaL_argcheck(L, n.channels > 0, arg, "batch_norm needs at least one channel");
    n.rows = n.x->size / (size_t)n.channels;
    n.gamma = opt_channels(L, arg + 1, n.channels);
    n.beta = opt_channels(L, arg + 2, n.channels);
    return n;
}

// Tables of coefficients behind one another, with room for a vector that reads past the last.
enum { TABLES = 6 };

static float *push_tables(lua_State *L, int channels) {
    return push_scratch(L, sizeof(float) * TABLES * (size_t)channels);
}

// Forward and backward both get their coefficients here, so both see the same bits.
static struct norm_coefficients coefficients(float *tables, const struct norm_args *n,
                                             const float *stats, bool relu) {
    const float *high = stats, *low = stats + n->channels, *inverse = low + n->channels;
    float *scale = tables, *offset = tables + n->channels;
    for (int c = 0; c < n->channels; c++) {
        double s = (double)inverse[c] * (n->gamma ? n->gamma->data[c] : 1);
        scale[c] = (float)s;
        offset[c] = (float)((n->beta ? n->beta->data[c] : 0) - s * low[c]);
    }
    return (struct norm_coefficients){.mean = high, .scale = scale, .offset = offset, .relu = relu};
}

// What forward needs, all of it before anything is changed: y and stats on the stack, then the two
// scratches.
struct norm_room {
    struct tensor *y, *stats;
    float *tables;
    double *sums; // 2 * channels, and the kernel's own
};

static struct norm_room push_norm_room(lua_State *L, const struct norm_args *n) {
    struct norm_room room = {.y = push_tensor_like(L, n->x),
                             .stats = push_zeros(L, 2, (int[]){3, n->channels})};
    size_t sums = 2 * (size_t)n->channels + norm_scratch(n->rows, n->channels);
    room.tables = push_tables(L, n->channels);
    room.sums = push_scratch(L, sizeof(double) * sums);
    return room;
}

// y from x and stats; leaves y and stats as results.
static int normalise(lua_State *L, const struct norm_args *n, const struct norm_room *room,
                     bool relu) {
    struct norm_coefficients k = coefficients(room->tables, n, room->stats->data, relu);
    norm_forward(room->y->data, n->x->data, n->rows, n->channels, &k);
    free_scratch(L, -1);
    free_scratch(L, -2);
    lua_pop(L, 2);
    return 2;
}

static void move_towards(struct tensor *moving, const double *value, double times,
                         double momentum) {
    if (!moving) return;
    for (size_t c = 0; c < moving->size; c++)
        moving->data[c] = (float)(moving->data[c] * momentum + value[c] * times * (1 - momentum));
}

// core.batch_norm(x, gamma, beta, moving_mean, moving_variance, momentum, epsilon, relu)
// -> y, stats. By the statistics of x itself; the moving ones (nil: none) are updated in place, the
// variance with Bessel's n / (n - 1).
static int batch_norm(lua_State *L) {
    lua_settop(L, 8);
    struct norm_args n = check_norm(L, 1);
    struct tensor *moving_mean = opt_channels(L, 4, n.channels);
    struct tensor *moving_variance = opt_channels(L, 5, n.channels);
    double momentum = luaL_checknumber(L, 6), epsilon = luaL_checknumber(L, 7);
    luaL_argcheck(L, n.rows > 0, 1, "batch_norm: an empty batch has no mean");
    struct norm_room room = push_norm_room(L, &n);
    size_t channels = (size_t)n.channels;
    double *mean = room.sums, *variance = mean + channels;
    float *high = room.stats->data, *low = high + channels, *inverse = low + channels;
    norm_moments(mean, variance, n.x->data, n.rows, n.channels, variance + channels);
    for (size_t c = 0; c < channels; c++) {
        high[c] = (float)mean[c];
        low[c] = (float)(mean[c] - high[c]);
        inverse[c] = (float)(1 / sqrt(variance[c] + epsilon));
    }
    move_towards(moving_mean, mean, 1, momentum);
    double bessel = n.rows > 1 ? (double)n.rows / (double)(n.rows - 1) : 1;
    move_towards(moving_variance, variance, bessel, momentum);
    return normalise(L, &n, &room, lua_toboolean(L, 8));
}

// core.batch_norm_inference(x, gamma, beta, mean, variance, epsilon, relu) -> y, stats
static int batch_norm_inference(lua_State *L) {
    lua_settop(L, 7);
    struct norm_args n = check_norm(L, 1);
    struct tensor *mean = check_tensor(L, 4), *variance = check_tensor(L, 5);
    double epsilon = luaL_checknumber(L, 6);
    require_shape(L, 4, mean, 1, &n.channels);
    require_shape(L, 5, variance, 1, &n.channels);
    struct norm_room room = push_norm_room(L, &n);
    float *inverse = room.stats->data + 2 * (size_t)n.channels; // low stays 0
    memcpy(room.stats->data, mean->data, sizeof(float) * (size_t)n.channels);
    for (int c = 0; c < n.channels; c++)
        inverse[c] = (float)(1 / sqrt(variance->data[c] + epsilon));
    return normalise(L, &n, &room, lua_toboolean(L, 7));
}

// With x' = (x - mean) / deviation, dx = scale * (g - mean(g) - x' * mean(g x')); written as
// a * g + b * (x - high) + c. In inference the statistics are constants and only a stays.
static void gradient_coefficients(struct norm_coefficients *k, float *tables,
                                  const struct norm_args *n, const float *stats,
                                  const double *sum_g, const float *dgamma, bool training) {
    const float *low = stats + n->channels, *inverse = low + n->channels;
    float *b = tables + 2 * n->channels, *c = b + n->channels;
    for (int i = 0; i < n->channels; i++) {
        double per_row = training ? (double)k->scale[i] / (double)n->rows : 0;
        double slope = -per_row * inverse[i] * dgamma[i];
        b[i] = (float)slope;
        c[i] = (float)(-per_row * sum_g[i] - slope * low[i]);
    }
    k->a = k->scale;
    k->b = b;
    k->c = c;
}

// core.batch_norm_grad(dy, x, gamma, beta, stats, relu, training, want_dx)
// -> dgamma, dbeta, dx or nil
static int batch_norm_grad(lua_State *L) {
    lua_settop(L, 8);
    struct norm_args n = check_norm(L, 2);
    struct tensor *dy = check_tensor(L, 1), *stats = check_tensor(L, 5);
    require_shape(L, 1, dy, n.x->ndim, n.x->shape);
    require_shape(L, 5, stats, 2, (int[]){3, n.channels});
    size_t channels = (size_t)n.channels;
    struct tensor *dgamma = push_tensor(L, 1, &n.channels), *dx = NULL;
    struct tensor *dbeta = push_tensor(L, 1, &n.channels);
    if (lua_toboolean(L, 8)) dx = push_tensor_like(L, n.x);
    else lua_pushnil(L);
    size_t sums = 2 * channels + norm_scratch(n.rows, n.channels);
    double *sum_g = push_scratch(L, sizeof(double) * sums);
    double *sum_gx = sum_g + channels;
    float *tables = push_tables(L, n.channels);
    struct norm_coefficients k = coefficients(tables, &n, stats->data, lua_toboolean(L, 6));
    norm_sums(sum_g, sum_gx, dy->data, n.x->data, n.rows, n.channels, &k, sum_gx + channels);
    const float *low = stats->data + channels, *inverse = low + channels;
    for (size_t c = 0; c < channels; c++) {
        dbeta->data[c] = (float)sum_g[c];
        dgamma->data[c] = (float)((sum_gx[c] - low[c] * sum_g[c]) * inverse[c]);
    }
    if (dx) {
        gradient_coefficients(&k, tables, &n, stats->data, sum_g, dgamma->data,
                              lua_toboolean(L, 7));
        norm_backward(dx->data, dy->data, n.x->data, n.rows, n.channels, &k);
    }
    free_scratch(L, -1);
    free_scratch(L, -2);
    lua_pop(L, 2);
    return 3;
}

// ---- activations

typedef void gradient_kernel(float *dx, const float *dy, const float *y, size_t n);

static int gradient(lua_State *L, gradient_kernel *kernel) {
    struct tensor *dy = check_tensor(L, 1), *y = check_tensor(L, 2);
    require_shape(L, 1, dy, y->ndim, y->shape);
    kernel(push_tensor_like(L, y)->data, dy->data, y->data, y->size);
    return 1;
}

// core.relu_dx(dy, y) -> dx, and so on
static int relu_dx(lua_State *L) { return gradient(L, act_relu_dx); }
static int sigmoid_dx(lua_State *L) { return gradient(L, act_sigmoid_dx); }
static int tanh_dx(lua_State *L) { return gradient(L, act_tanh_dx); }

static int check_classes(lua_State *L, int arg, const struct tensor *t) {
    luaL_argcheck(L, t->ndim > 0 && t->shape[t->ndim - 1] > 0, arg,
                  "softmax needs at least one class in the last dimension");
    return t->shape[t->ndim - 1];
}

// core.softmax(x) -> y, over the last dimension
static int softmax(lua_State *L) {
    struct tensor *x = check_tensor(L, 1);
    int classes = check_classes(L, 1, x);
    act_softmax(push_tensor_like(L, x)->data, x->data, x->size / (size_t)classes, classes);
    return 1;
}

static int softmax_dx(lua_State *L) {
    struct tensor *dy = check_tensor(L, 1), *y = check_tensor(L, 2);
    int classes = check_classes(L, 2, y);
    require_shape(L, 1, dy, y->ndim, y->shape);
    act_softmax_dx(push_tensor_like(L, y)->data, dy->data, y->data, y->size / (size_t)classes,
                   classes);
    return 1;
}

// core.dropout(x, rate, seed, a, b, c) -> y; the gradient is the same call on dy
static int dropout(lua_State *L) {
    struct tensor *x = check_tensor(L, 1);
    double rate = luaL_checknumber(L, 2);
    luaL_argcheck(L, rate >= 0 && rate < 1, 2, "the rate must be at least 0 and below 1");
    struct dropout_key key = {(uint64_t)luaL_checkinteger(L, 3), (uint32_t)luaL_optinteger(L, 4, 0),
                              (uint32_t)luaL_optinteger(L, 5, 0),
                              (uint32_t)luaL_optinteger(L, 6, 0)};
    act_dropout(push_tensor_like(L, x)->data, x->data, x->size, rate, key);
    return 1;
}

// ---- pooling: window, strides and padding are nine positional arguments from `arg` on

static void check_window(lua_State *L, int arg, struct pool_shape *s) {
    const int most = 1 << 20;
    s->pool_h = check_int(L, arg, 1, most), s->pool_w = check_int(L, arg + 1, 1, most);
    s->stride_h = check_int(L, arg + 2, 1, most), s->stride_w = check_int(L, arg + 3, 1, most);
    s->top = check_int(L, arg + 4, 0, most), s->left = check_int(L, arg + 6, 0, most);
    int bottom = check_int(L, arg + 5, 0, most), right = check_int(L, arg + 7, 0, most);
    s->zeros = lua_toboolean(L, arg + 8);
    bool within = s->top < s->pool_h && bottom < s->pool_h;
    within = within && s->left < s->pool_w && right < s->pool_w;
    luaL_argcheck(L, within, arg + 4, "padding must be smaller than the window");
    int h = s->h + s->top + bottom, w = s->w + s->left + right;
    if (s->pool_h > h || s->pool_w > w)
        luaL_error(L, "pooling: a window of %d x %d does not fit into a picture of %d x %d",
                   s->pool_h, s->pool_w, h, w);
    s->out_h = (h - s->pool_h) / s->stride_h + 1;
    s->out_w = (w - s->pool_w) / s->stride_w + 1;
}

// For functions (x, window...): the input's shape and the window.
static struct pool_shape check_pool(lua_State *L) {
    struct tensor *x = check_tensor_dims(L, 1, 4);
    struct pool_shape s = {.n = x->shape[0], .h = x->shape[1], .w = x->shape[2], .c = x->shape[3]};
    check_window(L, 2, &s);
    return s;
}

// For gradients (dy, height, width, window...).
static struct pool_shape check_pool_gradient(lua_State *L, int arg) {
    struct tensor *dy = check_tensor_dims(L, 1, 4);
    struct pool_shape s = {.n = dy->shape[0], .c = dy->shape[3]};
    s.h = check_int(L, arg, 0, 1 << 30), s.w = check_int(L, arg + 1, 0, 1 << 30);
    check_window(L, arg + 2, &s);
    require_shape(L, 1, dy, 4, (int[]){s.n, s.out_h, s.out_w, s.c});
    return s;
}

static struct tensor *push_output(lua_State *L, const struct pool_shape *s) {
    return push_tensor(L, 4, (int[]){s->n, s->out_h, s->out_w, s->c});
}

static int taps_floats(const struct pool_shape *s) { return (int)((pool_taps_bytes(s) + 3) / 4); }

// core.max_pool2d(x, pool_h, pool_w, stride_h, stride_w, top, bottom, left, right, zeros)
// -> y, taps (bytes in a tensor)
static int max_pool2d(lua_State *L) {
    struct pool_shape s = check_pool(L);
    struct tensor *x = check_tensor(L, 1), *y = push_output(L, &s);
    struct tensor *taps = push_tensor(L, 1, (int[]){taps_floats(&s)});
    pool_max(y->data, taps->data, x->data, &s);
    return 2;
}

// core.max_pool2d_dx(dy, taps, height, width, the same nine) -> dx
static int max_pool2d_dx(lua_State *L) {
    struct tensor *taps = check_tensor(L, 2), *dy = check_tensor(L, 1);
    struct pool_shape s = check_pool_gradient(L, 3);
    require_shape(L, 2, taps, 1, (int[]){taps_floats(&s)});
    pool_max_dx(push_tensor(L, 4, (int[]){s.n, s.h, s.w, s.c})->data, dy->data, taps->data, &s);
    return 1;
}

// core.avg_pool2d(x, the same nine) -> y
// core.avg_pool2d_dx(dy, height, width, the same nine) -> dx
static int avg_pool2d(lua_State *L) {
    struct pool_shape s = check_pool(L);
    struct tensor *x = check_tensor(L, 1);
    pool_mean(push_output(L, &s)->data, x->data, &s);
    return 1;
}

static int avg_pool2d_dx(lua_State *L) {
    struct pool_shape s = check_pool_gradient(L, 2);
    struct tensor *dy = check_tensor(L, 1);
    pool_mean_dx(push_tensor(L, 4, (int[]){s.n, s.h, s.w, s.c})->data, dy->data, &s);
    return 1;
}

// ---- upsampling

static struct upsample_shape check_factors(lua_State *L, const struct tensor *t) {
    struct upsample_shape s = {t->shape[0], t->shape[1], t->shape[2], t->shape[3], 0, 0};
    s.fy = check_int(L, 2, 1, 1 << 12), s.fx = check_int(L, 3, 1, 1 << 12);
    return s;
}

// core.upsample(x, fy, fx, bilinear) -> y
static int upsample(lua_State *L) {
    struct tensor *x = check_tensor_dims(L, 1, 4);
    struct upsample_shape s = check_factors(L, x);
    luaL_argcheck(L, (double)s.h * s.fy < 1e9 && (double)s.w * s.fx < 1e9, 2,
                  "the result is too large");
    struct tensor *y = push_tensor(L, 4, (int[]){s.n, s.h * s.fy, s.w * s.fx, s.c});
    (lua_toboolean(L, 4) ? upsample_bilinear : upsample_nearest)(y->data, x->data, &s);
    return 1;
}

// core.upsample_dx(dy, fy, fx, bilinear) -> dx
static int upsample_dx(lua_State *L) {
    struct tensor *dy = check_tensor_dims(L, 1, 4);
    struct upsample_shape s = check_factors(L, dy);
    luaL_argcheck(L, s.h % s.fy == 0 && s.w % s.fx == 0, 1,
                  "the picture is not a multiple of the factors");
    s.h /= s.fy, s.w /= s.fx;
    struct tensor *dx = push_tensor(L, 4, (int[]){s.n, s.h, s.w, s.c});
    (lua_toboolean(L, 4) ? upsample_bilinear_dx : upsample_nearest_dx)(dx->data, dy->data, &s);
    return 1;
}

// core.dims(t) -> its dimensions as so many integers: what t.shape holds, without making a table
static int dims(lua_State *L) {
    struct tensor *t = check_tensor(L, 1);
    for (int i = 0; i < t->ndim; i++) lua_pushinteger(L, t->shape[i]);
    return t->ndim;
}

const luaL_Reg ops_functions[] = {
    {"dims", dims}, {"batch_norm", batch_norm}, {"batch_norm_inference", batch_norm_inference},
    {"batch_norm_grad", batch_norm_grad}, {"relu_dx", relu_dx}, {"sigmoid_dx", sigmoid_dx},
    {"tanh_dx", tanh_dx}, {"softmax", softmax}, {"softmax_dx", softmax_dx}, {"dropout", dropout},
    {"max_pool2d", max_pool2d}, {"max_pool2d_dx", max_pool2d_dx}, {"avg_pool2d", avg_pool2d},
    {"avg_pool2d_dx", avg_pool2d_dx}, {"upsample", upsample}, {"upsample_dx", upsample_dx},
    {NULL, NULL}};
