// Layers' kernels in Lua: activations, pooling, upsampling. Raw: giemsa.ops makes them
// differentiable.
#include "act.h"
#include "bind.h"
#include "norm.h"
#include "pool2d.h"
#include "upsample.h"


// ---- activations

typedef void gradient_kernel(float *dx, const float *dy, const float *y, size_t n);

static int gradient(lua_State *L, gradient_kernel *kernel) {
    struct tensor *dy = check_tensor(L, 1), *y = check_tensor(L, 2);
    require_shape(L, 1, dy, y->ndim, y->shape);
    struct tensor *dx = push_tensor_like(L, y);
    stoppable(L, kernel(dx->data, dy->data, y->data, y->size));
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
    struct tensor *y = push_tensor_like(L, x);
    stoppable(L, act_softmax(y->data, x->data, x->size / (size_t)classes, classes));
    return 1;
}

static int softmax_dx(lua_State *L) {
    struct tensor *dy = check_tensor(L, 1), *y = check_tensor(L, 2);
    int classes = check_classes(L, 2, y);
    require_shape(L, 1, dy, y->ndim, y->shape);
    struct tensor *dx = push_tensor_like(L, y);
    stoppable(L, act_softmax_dx(dx->data, dy->data, y->data, y->size / (size_t)classes, classes));
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
    struct tensor *y = push_tensor_like(L, x);
    stoppable(L, act_dropout(y->data, x->data, x->size, rate, key));
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

// core.max_pool2d(x, pool_h, pool_w, stride_h, stride_w, top, bottom, left, right, zeros [, norm])
// -> y, taps (bytes in a tensor). With norm (5, channels) what will be the largest after that: y is still x's own value.
static int max_pool2d(lua_State *L) {
    lua_settop(L, 11);
    struct pool_shape s = check_pool(L);
    struct tensor *x = check_tensor(L, 1), *norm = opt_tensor(L, 11);
    if (norm) require_shape(L, 11, norm, 2, (int[]){NORM_ROWS, s.c});
    struct tensor *y = push_output(L, &s);
    struct tensor *taps = push_tensor(L, 1, (int[]){taps_floats(&s)});
    const float *scale = norm ? norm_from_rows(norm->data, s.c, true).scale : NULL;
    stoppable(L, pool_max(y->data, taps->data, x->data, scale, &s));
    return 2;
}

// core.max_pool2d_dx(dy, taps, height, width, the same nine) -> dx
static int max_pool2d_dx(lua_State *L) {
    struct tensor *taps = check_tensor(L, 2), *dy = check_tensor(L, 1);
    struct pool_shape s = check_pool_gradient(L, 3);
    require_shape(L, 2, taps, 1, (int[]){taps_floats(&s)});
    struct tensor *dx = push_tensor(L, 4, (int[]){s.n, s.h, s.w, s.c});
    stoppable(L, pool_max_dx(dx->data, dy->data, taps->data, &s));
    return 1;
}

// core.avg_pool2d(x, the same nine) -> y
// core.avg_pool2d_dx(dy, height, width, the same nine) -> dx
static int avg_pool2d(lua_State *L) {
    struct pool_shape s = check_pool(L);
    struct tensor *x = check_tensor(L, 1), *y = push_output(L, &s);
    stoppable(L, pool_mean(y->data, x->data, &s));
    return 1;
}

static int avg_pool2d_dx(lua_State *L) {
    struct pool_shape s = check_pool_gradient(L, 2);
    struct tensor *dy = check_tensor(L, 1), *dx = push_tensor(L, 4, (int[]){s.n, s.h, s.w, s.c});
    stoppable(L, pool_mean_dx(dx->data, dy->data, &s));
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
    bool bilinear = lua_toboolean(L, 4);
    stoppable(L, (bilinear ? upsample_bilinear : upsample_nearest)(y->data, x->data, &s));
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
    bool bilinear = lua_toboolean(L, 4);
    stoppable(L, (bilinear ? upsample_bilinear_dx : upsample_nearest_dx)(dx->data, dy->data, &s));
    return 1;
}

// core.dims(t) -> its dimensions as so many integers: what t.shape holds, without making a table
static int dims(lua_State *L) {
    struct tensor *t = check_tensor(L, 1);
    for (int i = 0; i < t->ndim; i++) lua_pushinteger(L, t->shape[i]);
    return t->ndim;
}

const luaL_Reg ops_functions[] = {
    {"dims", dims}, {"relu_dx", relu_dx}, {"sigmoid_dx", sigmoid_dx},
    {"tanh_dx", tanh_dx}, {"softmax", softmax}, {"softmax_dx", softmax_dx}, {"dropout", dropout},
    {"max_pool2d", max_pool2d}, {"max_pool2d_dx", max_pool2d_dx}, {"avg_pool2d", avg_pool2d},
    {"avg_pool2d_dx", avg_pool2d_dx}, {"upsample", upsample}, {"upsample_dx", upsample_dx},
    {NULL, NULL}};
