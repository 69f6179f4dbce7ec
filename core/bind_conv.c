// Convolution in Lua: core.conv2d, core.conv2d_grad, and the two halves of that, conv2d_dx and conv2d_dw; and
// core.depthwise_conv2d, _dx and _dw. The geometry is positional integers (giemsa.ops turns options into them); everything
// else stands in a table.
#include "bind.h"
#include "conv.h"
#include "depthwise.h"
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
    float *work = push_work(L, conv_forward_scratch(&f), conv_forward_work(&f));
    stoppable(L, conv_forward(&f, work));
    free_scratch(L, -1);
    if (!moments) return lua_settop(L, 13), 1;
    norm_moments_to_rows(moments->data, f.mean, f.variance, c.out);
    free_scratch(L, -2);
    return lua_settop(L, 14), 2;
}

// ---- backward

// The integer number i of the list `geometry` of a branch.
static void push_geometry(lua_State *L, int branch) {
    lua_getfield(L, branch, "geometry");
    luaL_checktype(L, -1, LUA_TTABLE);
    int list = lua_gettop(L);
    for (int i = 1; i <= 8; i++) lua_geti(L, list, i);
}

static struct tensor *need_tensor(lua_State *L, int table, const char *key) {
    lua_getfield(L, table, key);
    struct tensor *t = check_tensor_dims(L, lua_gettop(L), 4);
    lua_pop(L, 1);
    return t;
}

// `map_pool` of a branch: {taps, pool_h, pool_w, stride_h, stride_w, top, bottom, left, right}; dy then stands at the pool's
// outputs, and y (the pool's inputs) has the shape `out`.
static bool get_pool(lua_State *L, int branch, struct pool_source *p, const struct tensor *dy, const int out[4]) {
    if (lua_getfield(L, branch, "map_pool") == LUA_TNIL) return lua_pop(L, 1), false;
    int list = lua_gettop(L), numbers[8];
    for (int i = 0; i < 8; i++) {
        lua_geti(L, list, i + 2);
        numbers[i] = (int)luaL_checkinteger(L, -1);
    }
    lua_geti(L, list, 1);
    struct tensor *taps = check_tensor(L, lua_gettop(L));
    p->shape = (struct pool_shape){.n = out[0], .h = out[1], .w = out[2], .c = out[3], .pool_h = numbers[0], .pool_w = numbers[1],
                                   .stride_h = numbers[2], .stride_w = numbers[3], .top = numbers[4], .left = numbers[6],
                                   .out_h = dy->shape[1], .out_w = dy->shape[2]};
    luaL_argcheck(L, dy->shape[0] == out[0] && dy->shape[3] == out[3] && taps->size * sizeof(float) >= pool_taps_bytes(&p->shape),
                  branch, "map_pool does not fit dy");
    p->dy = dy->data, p->taps = taps->data;
    lua_settop(L, list - 1);
    return true;
}

// Fills in branch number i from the table at `arg`; pushes its four results: dw, dy, db, dw_ones (or nil).
static void check_branch(lua_State *L, int arg, struct conv_backward *b, int i, const struct tensor *x, struct norm_coefficients *map,
                         struct pool_source *pool) {
    luaL_checktype(L, arg, LUA_TTABLE);
    struct conv_branch *r = &b->branch[i];
    struct tensor *dy = need_tensor(L, arg, "dy"), *w = need_tensor(L, arg, "w");
    struct conv c = {.batch = x->shape[0], .height = x->shape[1], .width = x->shape[2]};
    int top = lua_gettop(L);
    set_kernel(&c, w);
    if (x->shape[3] != c.in) shape_mismatch(L, arg, "conv2d: the input's channels and the kernel's third dimension", x, w);
    push_geometry(L, arg);
    check_geometry(L, top + 2, &c);
    lua_settop(L, top);
    int out[4] = {c.batch, c.out_h, c.out_w, c.out};
    bool pooled = get_pool(L, arg, pool, dy, out);
    if (!pooled) require_shape(L, arg, dy, 4, out);
    if (dy->size == 0 || x->size == 0) luaL_error(L, "conv2d: there are no gradients of an empty batch");
    *r = (struct conv_branch){.shape = c, .dy = dy->data, .w = w->data, .dy_norm = get_map(L, arg, map, c.out),
                              .dy_x = get_data(L, arg, "map_x", 4, out), .dy_add = get_data(L, arg, "map_add", 4, out)};
    luaL_argcheck(L, !r->dy_norm || r->dy_x, arg, "map needs map_x");
    luaL_argcheck(L, !pooled || r->dy_norm, arg, "map_pool needs map");
    if (pooled) r->dy_pool = pool;
    bool want_dw = get_flag(L, arg, "want_dw");
    if (want_dw) r->dw = push_tensor_like(L, w)->data;
    else lua_pushnil(L);
    if (get_flag(L, arg, "want_dy")) r->dy_dense = push_tensor(L, 4, out)->data;
    else lua_pushnil(L);
    if (want_dw && get_flag(L, arg, "want_db")) r->db = push_tensor(L, 1, &c.out)->data;
    else lua_pushnil(L);
    if (want_dw && get_flag(L, arg, "want_ones")) r->dw_ones = push_tensor(L, 3, (int[]){c.kernel_h, c.kernel_w, c.out})->data;
    else lua_pushnil(L);
}

// core.conv2d_grad(x, {norm =, norm_relu =, before =, want_dx =, want_sums =}, branch [, branch])
// -> dx, sums (2, in), then for each branch dw, dy, db, dw_ones; nil for what is not wanted. See struct conv_backward. A branch is
// {dy =, w =, geometry = {sh, sw, top, bottom, left, right, dh, dw}, map =, map_x =, map_add =, map_pool =,
// want_dw =, want_dy =, want_db =, want_ones =}; the last two go with want_dw.
static int conv2d_grad(lua_State *L) {
    struct tensor *x = check_tensor_dims(L, 1, 4);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 4);
    struct norm_coefficients k, map[CONV_BRANCHES];
    struct pool_source pool[CONV_BRANCHES];
    const int in = x->shape[3];
    struct conv_backward b = {.branches = lua_isnil(L, 4) ? 1 : 2, .x = x->data, .norm = get_norm(L, 2, &k, in),
                              .before = get_data(L, 2, "before", 4, x->shape)};
    struct tensor *sums = NULL;
    if (get_flag(L, 2, "want_dx")) b.dx = push_tensor_like(L, x)->data;
    else lua_pushnil(L);
    if (b.dx && b.norm && get_flag(L, 2, "want_sums")) sums = push_tensor(L, 2, (int[]){2, in});
    else lua_pushnil(L);
    for (int i = 0; i < b.branches; i++) check_branch(L, 3 + i, &b, i, x, &map[i], &pool[i]);
    const int results = lua_gettop(L) - 4;
    double *totals = push_scratch(L, sizeof(double) * 2 * (size_t)in);
    if (sums) b.sum_g = totals, b.sum_gx = totals + in;
    float *work = push_work(L, conv_backward_scratch(&b), conv_backward_work(&b));
    stoppable(L, conv_backward(&b, work));
    for (int i = 0; sums && i < 2 * in; i++) sums->data[i] = (float)totals[i];
    free_scratch(L, -1);
    free_scratch(L, -2);
    lua_pop(L, 2);
    return results;
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
    struct conv_backward b = {.branches = 1, .branch = {{.shape = c, .dy = dy->data, .w = w->data}}, .dx = dx->data};
    float *work = push_work(L, conv_backward_scratch(&b), conv_backward_work(&b));
    stoppable(L, conv_backward(&b, work));
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
    struct conv_backward b = {.branches = 1, .branch = {{.shape = c, .dy = dy->data, .dw = dw->data}}, .x = x->data};
    float *work = push_work(L, conv_backward_scratch(&b), conv_backward_work(&b));
    stoppable(L, conv_backward(&b, work));
    free_scratch(L, -1);
    lua_pop(L, 1);
    return 1;
}

// ---- depthwise

// (kernel_h, kernel_w, channels, multiplier)
static void set_depthwise_kernel(lua_State *L, int arg, struct conv *c, const struct tensor *w) {
    c->kernel_h = w->shape[0], c->kernel_w = w->shape[1];
    c->in = w->shape[2];
    luaL_argcheck(L, c->in == 0 || w->shape[3] <= (1 << 30) / c->in, arg, "too many channels");
    c->out = c->in * w->shape[3];
}

static void reserve(lua_State *L, const struct conv *c) {
    if (threads_reserve(depthwise_scratch(c)) != 0) raise_error(L);
}

// core.depthwise_conv2d(x, w, sh, sw, top, bottom, left, right [, dh, dw [, bias]]) -> y
static int depthwise_conv2d(lua_State *L) {
    lua_settop(L, 11);
    struct tensor *x = check_tensor_dims(L, 1, 4), *w = check_tensor_dims(L, 2, 4), *bias = opt_tensor(L, 11);
    struct conv c = {.batch = x->shape[0], .height = x->shape[1], .width = x->shape[2]};
    set_depthwise_kernel(L, 2, &c, w);
    if (x->shape[3] != c.in) shape_mismatch(L, 2, "depthwise_conv2d: the input's channels and the kernel's third dimension", x, w);
    check_geometry(L, 3, &c);
    if (bias) require_shape(L, 11, bias, 1, &c.out);
    struct tensor *y = push_tensor(L, 4, (int[]){c.batch, c.out_h, c.out_w, c.out});
    if (y->size == 0) return 1;
    reserve(L, &c);
    stoppable(L, depthwise_forward(y->data, x->data, w->data, bias ? bias->data : NULL, &c));
    return 1;
}

// core.depthwise_conv2d_dx(dy, w, height, width, sh, sw, top, bottom, left, right [, dh, dw]) -> dx
static int depthwise_conv2d_dx(lua_State *L) {
    struct tensor *dy = check_tensor_dims(L, 1, 4), *w = check_tensor_dims(L, 2, 4);
    struct conv c = {.batch = dy->shape[0], .height = check_int(L, 3, 0, 1 << 30), .width = check_int(L, 4, 0, 1 << 30)};
    set_depthwise_kernel(L, 2, &c, w);
    check_geometry(L, 5, &c);
    int want[4] = {c.batch, c.out_h, c.out_w, c.out}, shape[4] = {c.batch, c.height, c.width, c.in};
    require_shape(L, 1, dy, 4, want);
    if (dy->size == 0) return push_zeros(L, 4, shape), 1;
    struct tensor *dx = push_tensor(L, 4, shape);
    reserve(L, &c);
    stoppable(L, depthwise_data_gradient(dx->data, dy->data, w->data, &c));
    return 1;
}

// core.depthwise_conv2d_dw(dy, x, kernel_h, kernel_w, sh, sw, top, bottom, left, right [, dh, dw]) -> dw
static int depthwise_conv2d_dw(lua_State *L) {
    struct tensor *dy = check_tensor_dims(L, 1, 4), *x = check_tensor_dims(L, 2, 4);
    struct conv c = {.batch = x->shape[0], .height = x->shape[1], .width = x->shape[2], .in = x->shape[3], .out = dy->shape[3],
                     .kernel_h = check_int(L, 3, 1, CONV_KERNEL_MAX), .kernel_w = check_int(L, 4, 1, CONV_KERNEL_MAX)};
    if (c.in == 0 || c.out % c.in != 0) luaL_error(L, "%d channels of dy are no multiple of the input's %d", c.out, c.in);
    check_geometry(L, 5, &c);
    int want[4] = {c.batch, c.out_h, c.out_w, c.out}, shape[4] = {c.kernel_h, c.kernel_w, c.in, c.out / c.in};
    require_shape(L, 1, dy, 4, want);
    if (dy->size == 0 || x->size == 0) return push_zeros(L, 4, shape), 1;
    struct tensor *dw = push_tensor(L, 4, shape);
    reserve(L, &c);
    float *work = push_scratch(L, depthwise_workspace(&c) * sizeof(float));
    stoppable(L, depthwise_weight_gradient(dw->data, x->data, dy->data, &c, work));
    free_scratch(L, -1);
    lua_pop(L, 1);
    return 1;
}

const luaL_Reg conv_functions[] = {{"conv2d", conv2d}, {"conv2d_grad", conv2d_grad}, {"conv2d_dx", conv2d_dx}, {"conv2d_dw", conv2d_dw},
                                   {"depthwise_conv2d", depthwise_conv2d}, {"depthwise_conv2d_dx", depthwise_conv2d_dx},
                                   {"depthwise_conv2d_dw", depthwise_conv2d_dw}, {NULL, NULL}};
