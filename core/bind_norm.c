// Batch normalisation in Lua, in its parts, so that they can be put together in other orders: moments of a batch ->
// coefficients (norm.h's rows) -> the map itself, here or on the way into a convolution; and sums -> the map of gradients.
#include "bind.h"
#include "norm.h"

#include <math.h>

// A tensor whose last dimension is the channels.
struct pixels {
    struct tensor *x;
    size_t rows;
    int channels;
};

static struct pixels check_pixels(lua_State *L, int arg) {
    struct pixels p = {.x = check_tensor(L, arg)};
    luaL_argcheck(L, p.x->ndim >= 2, arg, "batch_norm needs 2 dimensions or more, the last being the channels");
    p.channels = p.x->shape[p.x->ndim - 1];
    luaL_argcheck(L, p.channels > 0, arg, "batch_norm needs at least one channel");
    p.rows = p.x->size / (size_t)p.channels;
    return p;
}

static float *opt_channels(lua_State *L, int arg, int channels) {
    struct tensor *t = opt_tensor(L, arg);
    if (t) require_shape(L, arg, t, 1, &channels);
    return t ? t->data : NULL;
}

static float *opt_channels_to_change(lua_State *L, int arg, int channels) {
    float *data = opt_channels(L, arg, channels);
    if (data) check_tensor_to_change(L, arg);
    return data;
}

static float *check_rows(lua_State *L, int arg, int rows, int channels) {
    struct tensor *t = check_tensor(L, arg);
    require_shape(L, arg, t, 2, (int[]){rows, channels});
    return t->data;
}

// core.moments(x) -> (3, channels)
static int moments(lua_State *L) {
    struct pixels p = check_pixels(L, 1);
    luaL_argcheck(L, p.rows > 0, 1, "batch_norm: an empty batch has no mean");
    size_t channels = (size_t)p.channels;
    struct tensor *rows = push_tensor(L, 2, (int[]){NORM_MOMENTS_ROWS, p.channels});
    double *mean = push_scratch(L, sizeof(double) * (2 * channels + norm_scratch(p.rows, p.channels)));
    stoppable(L, norm_moments(mean, mean + channels, p.x->data, p.rows, p.channels, mean + 2 * channels));
    norm_moments_to_rows(rows->data, mean, mean + channels, p.channels);
    free_scratch(L, -1);
    lua_pop(L, 1);
    return 1;
}

// scale = gamma / sqrt(variance + epsilon); the low part of the mean is folded into the offset.
static void fill_norm(float *rows, int channels, const float *high, const float *low, const float *variance, const float *gamma,
                      const float *beta, double epsilon) {
    for (int c = 0; c < channels; c++) {
        float inverse = (float)(1 / sqrt((double)variance[c] + epsilon)), l = low ? low[c] : 0;
        double scale = (double)inverse * (gamma ? gamma[c] : 1);
        rows[c] = high[c];
        rows[channels + c] = (float)scale;
        rows[2 * channels + c] = (float)((beta ? beta[c] : 0) - scale * l);
        rows[3 * channels + c] = l;
        rows[4 * channels + c] = inverse;
    }
}

static void move_towards(float *moving, int channels, const float *high, const float *low, double times, double momentum) {
    for (int c = 0; moving && c < channels; c++)
        moving[c] = (float)(moving[c] * momentum + ((double)high[c] + (low ? low[c] : 0)) * times * (1 - momentum));
}

// core.norm(moments, pixels, gamma, beta, epsilon, moving_mean, moving_variance, momentum) -> (5, channels). gamma and beta
// may be nil (ones, zeros). The moving ones (nil: none) are moved in place, the variance with Bessel's n / (n - 1).
static int norm(lua_State *L) {
    lua_settop(L, 8);
    struct tensor *t = check_tensor_dims(L, 1, 2);
    const int channels = t->shape[1];
    const float *high = check_rows(L, 1, NORM_MOMENTS_ROWS, channels), *low = high + channels, *variance = low + channels;
    double n = luaL_checknumber(L, 2), epsilon = luaL_checknumber(L, 5), momentum = luaL_optnumber(L, 8, 0);
    float *gamma = opt_channels(L, 3, channels), *beta = opt_channels(L, 4, channels);
    float *moving_mean = opt_channels_to_change(L, 6, channels), *moving_variance = opt_channels_to_change(L, 7, channels);
    struct tensor *rows = push_tensor(L, 2, (int[]){NORM_ROWS, channels});
    fill_norm(rows->data, channels, high, low, variance, gamma, beta, epsilon);
    move_towards(moving_mean, channels, high, low, 1, momentum);
    move_towards(moving_variance, channels, variance, NULL, n > 1 ? n / (n - 1) : 1, momentum);
    return 1;
}

// core.norm_fixed(mean, variance, gamma, beta, epsilon) -> (5, channels): by statistics that are given
static int norm_fixed(lua_State *L) {
    lua_settop(L, 5);
    struct tensor *mean = check_tensor_dims(L, 1, 1), *variance = check_tensor(L, 2);
    const int channels = mean->shape[0];
    require_shape(L, 2, variance, 1, &channels);
    float *gamma = opt_channels(L, 3, channels), *beta = opt_channels(L, 4, channels);
    struct tensor *rows = push_tensor(L, 2, (int[]){NORM_ROWS, channels});
    fill_norm(rows->data, channels, mean->data, NULL, variance->data, gamma, beta, luaL_checknumber(L, 5));
    return 1;
}

static struct tensor *check_as(lua_State *L, int arg, const struct tensor *x) {
    struct tensor *t = check_tensor(L, arg);
    require_shape(L, arg, t, x->ndim, x->shape);
    return t;
}

// core.norm_apply(x, norm, relu [, add]) -> y
static int norm_apply(lua_State *L) {
    lua_settop(L, 4);
    struct pixels p = check_pixels(L, 1);
    const float *add = lua_isnil(L, 4) ? NULL : check_as(L, 4, p.x)->data;
    struct norm_coefficients k = norm_from_rows(check_rows(L, 2, NORM_ROWS, p.channels), p.channels, lua_toboolean(L, 3));
    struct tensor *y = push_tensor_like(L, p.x);
    stoppable(L, norm_forward_add(y->data, p.x->data, add, p.rows, p.channels, &k));
    return 1;
}

// core.norm_sums(dy, x, norm, relu [, y]) -> (2, channels) [, g]: sum g, sum g * (x - mean), with g = dy where relu did not
// cut off: by x, or where y, the result after relu, is given, by that
static int norm_sums_of(lua_State *L) {
    lua_settop(L, 5);
    struct pixels p = check_pixels(L, 2);
    struct tensor *dy = check_as(L, 1, p.x), *y = lua_isnil(L, 5) ? NULL : check_as(L, 5, p.x);
    struct norm_coefficients k = norm_from_rows(check_rows(L, 3, NORM_ROWS, p.channels), p.channels, lua_toboolean(L, 4));
    size_t channels = (size_t)p.channels;
    struct tensor *sums = push_tensor(L, 2, (int[]){2, p.channels});
    struct tensor *g = y ? push_tensor_like(L, p.x) : NULL;
    double *sum_g = push_scratch(L, sizeof(double) * (2 * channels + norm_scratch(p.rows, p.channels)));
    stoppable(L, norm_sums(sum_g, sum_g + channels, g ? g->data : NULL, dy->data, y ? y->data : NULL, p.x->data, p.rows, p.channels,
                           &k, sum_g + 2 * channels));
    for (size_t i = 0; i < 2 * channels; i++) sums->data[i] = (float)sum_g[i];
    free_scratch(L, -1);
    lua_pop(L, 1);
    return y ? 2 : 1;
}

// core.norm_gradient(sums, norm, pixels, training) -> dgamma, dbeta, map (4, channels). With x' = (x - mean) / deviation,
// dx = scale * (g - mean(g) - x' * mean(g x')), written as a * g + b * (x - high) + c. Outside training the statistics are
// constants and only a stays.
static int norm_gradient(lua_State *L) {
    struct tensor *t = check_tensor_dims(L, 1, 2);
    const int channels = t->shape[1];
    const float *sum_g = check_rows(L, 1, 2, channels), *sum_gx = sum_g + channels;
    const float *rows = check_rows(L, 2, NORM_ROWS, channels);
    double n = luaL_checknumber(L, 3);
    bool training = lua_toboolean(L, 4);
    float *dgamma = push_tensor(L, 1, &channels)->data, *dbeta = push_tensor(L, 1, &channels)->data;
    float *map = push_tensor(L, 2, (int[]){NORM_MAP_ROWS, channels})->data;
    for (int c = 0; c < channels; c++) {
        double scale = rows[channels + c], low = rows[3 * channels + c], inverse = rows[4 * channels + c];
        double gamma_gradient = (sum_gx[c] - low * sum_g[c]) * inverse, per_row = training ? scale / n : 0;
        double slope = -per_row * inverse * gamma_gradient;
        dgamma[c] = (float)gamma_gradient;
        dbeta[c] = sum_g[c];
        map[c] = rows[c];
        map[channels + c] = (float)scale;
        map[2 * channels + c] = (float)slope;
        map[3 * channels + c] = (float)(-per_row * sum_g[c] - slope * low);
    }
    return 3;
}

// core.norm_dx(dy, x, map [, norm]) -> a * g + b * (x - mean) + c; g is dy, or with norm: dy where its relu did not cut off
static int norm_dx(lua_State *L) {
    lua_settop(L, 4);
    struct pixels p = check_pixels(L, 2);
    struct tensor *dy = check_as(L, 1, p.x);
    struct norm_coefficients k = norm_map_from_rows(check_rows(L, 3, NORM_MAP_ROWS, p.channels), p.channels);
    const float *norm = lua_isnil(L, 4) ? k.mean : check_rows(L, 4, NORM_ROWS, p.channels);
    k.relu = !lua_isnil(L, 4);
    k.scale = norm + p.channels, k.offset = norm + 2 * p.channels; // read, though not used, without relu
    struct tensor *dx = push_tensor_like(L, p.x);
    stoppable(L, norm_backward(dx->data, dy->data, p.x->data, p.rows, p.channels, &k));
    return 1;
}

const luaL_Reg norm_functions[] = {{"moments", moments}, {"norm", norm}, {"norm_fixed", norm_fixed}, {"norm_apply", norm_apply},
                                   {"norm_sums", norm_sums_of}, {"norm_gradient", norm_gradient}, {"norm_dx", norm_dx}, {NULL, NULL}};
