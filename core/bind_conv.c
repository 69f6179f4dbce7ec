// Convolution in Lua: core.conv2d, core.conv2d_grad, and the two halves of that, conv2d_dx and conv2d_dw. The geometry is
// positional integers (giemsa.ops turns options into them); everything else stands in a table.
#include "bind.h"
#include "conv.h"
#include "sys.h"
#include "threads.h"

// Reads strides, pads and dilations from `arg` on: sh, sw, top, bottom, left, right, dh, dw. Works out the output's size.
static void check_geometry(lua_State *L, int arg, struct conv *c) {
    const int most = 1 << 20;
    c->stride_h = check_int(L, arg, 1, most), c->stride_w = check_int(L, arg + 1, 1, most);
    int top = check_int(L, arg + 2, 0, most), bottom = check_int(L, arg + 3, 0, most);
    int left = check_int(L, arg + 4, 0, most), right = check_int(L, arg + 5, 0, most);
    c->dilation_h = (int)luaL_optinteger(L, arg + 6, 1), c->dilation_w = (int)luaL_optinteger(L, arg + 7, 1);
    luaL_argcheck(L, c->dilation_h >= 1 && c->dilation_w >= 1 && c->dilation_h <= most && c->dilation_w <= most, arg + 6, "dilation must be >= 1");
    c->pad_top = top, c->pad_left = left;
    if (c->kernel_h < 1 || c->kernel_w < 1 || c->kernel_h > CONV_KERNEL_MAX || c->kernel_w > CONV_KERNEL_MAX)
        luaL_error(L, "conv2d: a kernel of %d x %d; each side must be 1..%d", c->kernel_h, c->kernel_w, CONV_KERNEL_MAX);
    int free_h = c->height + top + bottom - (c->kernel_h - 1) * c->dilation_h - 1;
    int free_w = c->width + left + right - (c->kernel_w - 1) * c->dilation_w - 1;
    if (free_h < 0 || free_w < 0)
        luaL_error(L, "conv2d: a picture of %d x %d (with padding %d x %d) is smaller than the kernel of %d x %d (dilation %d x %d)", c->height, c->width,
                   c->height + top + bottom, c->width + left + right, c->kernel_h, c->kernel_w, c->dilation_h, c->dilation_w);
    c->out_h = free_h / c->stride_h + 1;
    c->out_w = free_w / c->stride_w + 1;
}

static void set_kernel(struct conv *c, const struct tensor *w) {
    c->kernel_h = w->shape[0], c->kernel_w = w->shape[1];
    c->in = w->shape[2], c->out = w->shape[3];
}

// ---- the table of extras

static bool get_flag(lua_State *L, int table, const char *key) {
    if (lua_isnoneornil(L, table)) return false;
    lua_getfield(L, table, key);
    bool flag = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

// The tensor under a key, of the shape given; NULL when there is none. The table keeps it alive.
static struct tensor *get_tensor(lua_State *L, int table, const char *key, int ndim, const int shape[]) {
    if (lua_isnoneornil(L, table)) return NULL;
    lua_getfield(L, table, key);
    struct tensor *t = opt_tensor(L, lua_gettop(L));
    bool fits = !t || t->ndim == ndim;
    for (int i = 0; t && fits && i < ndim; i++) fits = t->shape[i] == shape[i];
    if (!fits) {
        char want[SHAPE_TEXT], got[SHAPE_TEXT];
        luaL_error(L, "conv2d: %s has shape %s, expected %s", key, shape_text(got, t->ndim, t->shape), shape_text(want, ndim, shape));
    }
    lua_pop(L, 1);
    return t;
}

static const float *get_data(lua_State *L, int table, const char *key, int ndim, const int shape[]) {
    struct tensor *t = get_tensor(L, table, key, ndim, shape);
    return t ? t->data : NULL;
}

// `norm` (5, channels), as core.norm gives it, and the flag `norm_relu`.
static const struct norm_coefficients *get_norm(lua_State *L, int table, struct norm_coefficients *k, int channels) {
    const float *norm = get_data(L, table, "norm", 2, (int[]){NORM_ROWS, channels});
    if (!norm) return NULL;
    *k = norm_from_rows(norm, channels, get_flag(L, table, "norm_relu"));
    return k;
}

// `map` (4, channels), as core.norm_gradient gives it.
static const struct norm_coefficients *get_map(lua_State *L, int table, struct norm_coefficients *k, int channels) {
    const float *map = get_data(L, table, "map", 2, (int[]){NORM_MAP_ROWS, channels});
    if (!map) return NULL;
    *k = norm_map_from_rows(map, channels);
    return k;
}

// ---- forward

static float *push_work(lua_State *L, size_t scratch, size_t work) {
    if (threads_reserve(scratch) != 0) raise_error(L);
    return push_scratch(L, work * sizeof(float));
}

// core.conv2d(x, w, sh, sw, top, bottom, left, right, dh, dw, bias [, {norm =, norm_relu =, add =, relu =, moments =}])
// -> y, moments or nil
static int conv2d(lua_State *L) {
    lua_settop(L, 12);
    struct tensor *x = check_tensor_dims(L, 1, 4), *w = check_tensor_dims(L, 2, 4), *bias = opt_tensor(L, 11);
    struct conv c = {.batch = x->shape[0], .height = x->shape[1], .width = x->shape[2]};
    set_kernel(&c, w);
    if (x->shape[3] != c.in) shape_mismatch(L, 2, "conv2d: the input's channels and the kernel's third dimension", x, w);
    check_geometry(L, 3, &c);
    if (bias) require_shape(L, 11, bias, 1, &c.out);
    int shape[4] = {c.batch, c.out_h, c.out_w, c.out};
    struct norm_coefficients k;
    struct conv_forward f = {.shape = c, .x = x->data, .w = w->data, .bias = bias ? bias->data : NULL,
                             .norm = get_norm(L, 12, &k, c.in), .add = get_data(L, 12, "add", 4, shape), .relu = get_flag(L, 12, "relu")};
    struct tensor *y = push_tensor(L, 4, shape);
    if (y->size == 0) return 1;
    f.y = y->data;
    struct tensor *moments = NULL;
    double *sums = NULL;
    if (get_flag(L, 12, "moments")) {
        moments = push_tensor(L, 2, (int[]){NORM_MOMENTS_ROWS, c.out});
        sums = push_scratch(L, sizeof(double) * 2 * (size_t)c.out);
        f.mean = sums, f.variance = sums + c.out;
    }
    conv_forward(&f, push_work(L, conv_forward_scratch(&f), conv_forward_work(&f)));
    free_scratch(L, -1);
    if (!moments) return lua_settop(L, 13), 1;
    norm_moments_to_rows(moments->data, f.mean, f.variance, c.out);
    free_scratch(L, -2);
    return lua_settop(L, 14), 2;
}

// ---- backward

// core.conv2d_grad(dy, x, w, sh, sw, top, bottom, left, right, dh, dw, {want_dx =, want_dw =, want_sums =, want_dy =,
// norm =, norm_relu =, before =, map =, map_x =, map_add =}) -> dx, dw, sums (2, in), dy; nil for what is not wanted. See struct
// conv_backward.
static int conv2d_grad(lua_State *L) {
    struct tensor *dy = check_tensor_dims(L, 1, 4), *x = check_tensor_dims(L, 2, 4), *w = check_tensor_dims(L, 3, 4);
    luaL_checktype(L, 12, LUA_TTABLE);
    lua_settop(L, 12);
    struct conv c = {.batch = x->shape[0], .height = x->shape[1], .width = x->shape[2]};
    set_kernel(&c, w);
    if (x->shape[3] != c.in) shape_mismatch(L, 3, "conv2d: the input's channels and the kernel's third dimension", x, w);
    check_geometry(L, 4, &c);
    int out[4] = {c.batch, c.out_h, c.out_w, c.out}, in[4] = {c.batch, c.height, c.width, c.in};
    require_shape(L, 1, dy, 4, out);
    struct norm_coefficients k, map;
    struct conv_backward b = {.shape = c, .dy = dy->data, .x = x->data, .w = w->data, .norm = get_norm(L, 12, &k, c.in),
                              .before = get_data(L, 12, "before", 4, in), .dy_norm = get_map(L, 12, &map, c.out),
                              .dy_x = get_data(L, 12, "map_x", 4, out), .dy_add = get_data(L, 12, "map_add", 4, out)};
    luaL_argcheck(L, !b.dy_norm || b.dy_x, 12, "map needs map_x");
    struct tensor *sums = NULL;
    double *totals = NULL;
    if (get_flag(L, 12, "want_dx")) b.dx = push_tensor_like(L, x)->data;
    else lua_pushnil(L);
    if (get_flag(L, 12, "want_dw")) b.dw = push_tensor_like(L, w)->data;
    else lua_pushnil(L);
    if (b.dx && b.norm && get_flag(L, 12, "want_sums")) sums = push_tensor(L, 2, (int[]){2, c.in});
    else lua_pushnil(L);
    if (get_flag(L, 12, "want_dy")) b.dy_dense = push_tensor_like(L, dy)->data;
    else lua_pushnil(L);
    if (sums) {
        totals = push_scratch(L, sizeof(double) * 2 * (size_t)c.in);
        b.sum_g = totals, b.sum_gx = totals + c.in;
    }
    if (dy->size == 0 || x->size == 0) return luaL_error(L, "conv2d: there are no gradients of an empty batch");
    conv_backward(&b, push_work(L, conv_backward_scratch(&b), conv_backward_work(&b)));
    free_scratch(L, -1);
    for (int i = 0; sums && i < 2 * c.in; i++) sums->data[i] = (float)totals[i];
    if (sums) free_scratch(L, -2);
    return lua_settop(L, 16), 4;
}

// core.conv2d_dx(dy, w, height, width, sh, sw, top, bottom, left, right [, dh, dw]) -> dx
static int conv2d_dx(lua_State *L) {
    struct tensor *dy = check_tensor_dims(L, 1, 4), *w = check_tensor_dims(L, 2, 4);
    struct conv c = {.batch = dy->shape[0], .height = check_int(L, 3, 0, 1 << 30), .width = check_int(L, 4, 0, 1 << 30)};
    set_kernel(&c, w);
    check_geometry(L, 5, &c);
    int want[4] = {c.batch, c.out_h, c.out_w, c.out}, shape[4] = {c.batch, c.height, c.width, c.in};
    require_shape(L, 1, dy, 4, want);
    if (dy->size == 0) return push_zeros(L, 4, shape), 1;
    struct tensor *dx = push_tensor(L, 4, shape);
    if (dx->size == 0) return 1;
    struct conv_backward b = {.shape = c, .dy = dy->data, .w = w->data, .dx = dx->data};
    conv_backward(&b, push_work(L, conv_backward_scratch(&b), conv_backward_work(&b)));
    free_scratch(L, -1);
    lua_pop(L, 1);
    return 1;
}

// core.conv2d_dw(dy, x, kernel_h, kernel_w, sh, sw, top, bottom, left, right [, dh, dw]) -> dw
static int conv2d_dw(lua_State *L) {
    struct tensor *dy = check_tensor_dims(L, 1, 4), *x = check_tensor_dims(L, 2, 4);
    struct conv c = {.batch = x->shape[0], .height = x->shape[1], .width = x->shape[2], .in = x->shape[3], .out = dy->shape[3],
                     .kernel_h = check_int(L, 3, 1, CONV_KERNEL_MAX), .kernel_w = check_int(L, 4, 1, CONV_KERNEL_MAX)};
    check_geometry(L, 5, &c);
    int want[4] = {c.batch, c.out_h, c.out_w, c.out}, shape[4] = {c.kernel_h, c.kernel_w, c.in, c.out};
    require_shape(L, 1, dy, 4, want);
    if (dy->size == 0 || x->size == 0) return push_zeros(L, 4, shape), 1;
    struct tensor *dw = push_tensor(L, 4, shape);
    struct conv_backward b = {.shape = c, .dy = dy->data, .x = x->data, .dw = dw->data};
    conv_backward(&b, push_work(L, conv_backward_scratch(&b), conv_backward_work(&b)));
    free_scratch(L, -1);
    lua_pop(L, 1);
    return 1;
}

const luaL_Reg conv_functions[] = {{"conv2d", conv2d}, {"conv2d_grad", conv2d_grad}, {"conv2d_dx", conv2d_dx}, {"conv2d_dw", conv2d_dw},
                                   {NULL, NULL}};
