// Reductions in Lua. axis is 1-based, negative from the end; nil reduces all. keepdims leaves a 1
// where the axis was.
#include "bind.h"
#include "elementwise.h"
#include "reduce.h"

#include <math.h>
#include <string.h>

int check_axis(lua_State *L, int arg, int ndim) {
    lua_Integer axis = luaL_checkinteger(L, arg), place = axis < 0 ? axis + ndim : axis - 1;
    if (axis == 0 || place < 0 || place >= ndim)
        luaL_argerror(L, arg,
                      lua_pushfstring(L,
                                      ndim ? "axis %I is not in 1..%d (or -%d..-1)"
                                           : "axis %I: a scalar has no axes",
                                      axis, ndim, ndim));
    return (int)place;
}

struct asked {
    struct tensor *x;
    struct reduction r;
    int ndim, shape[TENSOR_MAX_DIMS]; // of the result
    size_t results;
    bool all;
};

static struct asked check_reduction(lua_State *L) {
    struct asked a = {.x = check_tensor(L, 1), .all = lua_isnoneornil(L, 2)};
    bool keep = lua_toboolean(L, 3);
    int ndim = a.x->ndim, axis = a.all ? -1 : check_axis(L, 2, ndim);
    size_t outer = 1, middle = 1, inner = 1;
    for (int d = 0; d < ndim; d++) {
        bool reduced = a.all || d == axis;
        if (reduced) middle *= (size_t)a.x->shape[d];
        else if (d < axis) outer *= (size_t)a.x->shape[d];
        else inner *= (size_t)a.x->shape[d];
        if (!reduced) a.shape[a.ndim++] = a.x->shape[d];
        else if (keep) a.shape[a.ndim++] = 1;
    }
    a.r = reduce_plan(outer, middle, inner);
    a.results = outer * inner;
    return a;
}

// Pushes doubles for the results; *scratch stands behind them.
static double *push_results(lua_State *L, const struct asked *a, double **scratch) {
    double *results = push_scratch(L, (a->results + reduce_scratch(&a->r)) * sizeof(double));
    *scratch = results + a->results;
    return results;
}

// The results, at the top of the stack as scratch, become a tensor: (result + offset) * scale.
static int finish(lua_State *L, const struct asked *a, const double *results, double offset,
                  double scale) {
    struct tensor *y = push_tensor(L, a->ndim, a->shape);
    for (size_t i = 0; i < a->results; i++) y->data[i] = (float)((results[i] + offset) * scale);
    free_scratch(L, -2);
    return 1;
}

static void need_some(lua_State *L, const struct asked *a, const char *what) {
    char text[SHAPE_TEXT];
    if (a->r.middle == 0 && a->results > 0)
        luaL_error(L, "%s: nothing to choose from, the shape is %s", what,
                   shape_text(text, a->x->ndim, a->x->shape));
}

static int reduce_sum_lua(lua_State *L) {
    struct asked a = check_reduction(L);
    double *scratch, *sum = push_results(L, &a, &scratch);
    stoppable(L, reduce_sum(sum, a.x->data, &a.r, NULL, scratch));
    return finish(L, &a, sum, 0, 1);
}

// The mean of nothing is NaN.
static int reduce_mean_lua(lua_State *L) {
    struct asked a = check_reduction(L);
    double *scratch, *sum = push_results(L, &a, &scratch);
    stoppable(L, reduce_sum(sum, a.x->data, &a.r, NULL, scratch));
    for (size_t i = 0; i < a.results; i++) sum[i] /= (double)a.r.middle;
    return finish(L, &a, sum, 0, 1);
}

// Mean squared distance from the mean (divided by n, as NumPy's var).
static int reduce_var_lua(lua_State *L) {
    struct asked a = check_reduction(L);
    double *scratch, *mean = push_results(L, &a, &scratch);
    stoppable(L, reduce_sum(mean, a.x->data, &a.r, NULL, scratch));
    for (size_t i = 0; i < a.results; i++) mean[i] /= (double)a.r.middle;
    double *squares = push_results(L, &a, &scratch);
    stoppable(L, reduce_sum(squares, a.x->data, &a.r, mean, scratch));
    for (size_t i = 0; i < a.results; i++) squares[i] /= (double)a.r.middle;
    finish(L, &a, squares, 0, 1);
    free_scratch(L, -3);
    return 1;
}

static int extreme(lua_State *L, const char *what, bool largest) {
    struct asked a = check_reduction(L);
    need_some(L, &a, what);
    double *scratch, *best = push_results(L, &a, &scratch);
    if (a.results) stoppable(L, reduce_extreme(best, a.x->data, &a.r, largest, scratch));
    return finish(L, &a, best, 0, 1);
}

static int reduce_max_lua(lua_State *L) { return extreme(L, "max", true); }
static int reduce_min_lua(lua_State *L) { return extreme(L, "min", false); }

// core.argmax(t, axis, keepdims): 1-based places of the first largest, a tensor. Without an axis:
// one integer, the place in t:reshape(-1).
static int place(lua_State *L, const char *what, bool largest) {
    struct asked a = check_reduction(L);
    need_some(L, &a, what);
    if (!a.all && a.r.middle > 1 << 24)
        luaL_error(L, "%s: a place beyond 2^24 is not exact in a float32 tensor", what);
    double *scratch, *best = push_results(L, &a, &scratch);
    if (a.results) stoppable(L, reduce_place(best, a.x->data, &a.r, largest, scratch));
    if (!a.all) return finish(L, &a, best, 1, 1);
    lua_pushinteger(L, (lua_Integer)best[0] + 1);
    free_scratch(L, -2);
    return 1;
}

static int reduce_argmax_lua(lua_State *L) { return place(L, "argmax", true); }
static int reduce_argmin_lua(lua_State *L) { return place(L, "argmin", false); }

// ---- the adjoint of broadcasting

// The innermost run of dimensions of x that `shape` (padded with ones in front) has as 1: summing
// over it is one reduction. Returns false when nothing is left to sum.
static bool next_sum(struct reduction *r, const int x[], const int shape[], int ndim) {
    int last = ndim - 1;
    while (last >= 0 && (x[last] == shape[last])) last--;
    if (last < 0) return false;
    int first = last;
    while (first > 0 && shape[first - 1] == 1) first--;
    size_t outer = 1, middle = 1, inner = 1;
    for (int d = 0; d < ndim; d++)
        *(d < first ? &outer : d <= last ? &middle : &inner) *= (size_t)x[d];
    *r = reduce_plan(outer, middle, inner);
    return true;
}

// core.sum_to(t, shape): sums t over the dimensions along which `shape` was broadcast to t's. t
// itself when equal.
static int reduce_sum_to(lua_State *L) {
    struct tensor *t = check_tensor(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    int want[TENSOR_MAX_DIMS], padded[TENSOR_MAX_DIMS] = {1, 1, 1, 1},
                               now[TENSOR_MAX_DIMS] = {1, 1, 1, 1};
    int together[TENSOR_MAX_DIMS], ndim = check_shape(L, 2, want);
    if (broadcast_shape(together, ndim, want, t->ndim, t->shape) != t->ndim ||
        memcmp(together, t->shape, sizeof(int) * (size_t)t->ndim) != 0) {
        char from[SHAPE_TEXT], to[SHAPE_TEXT];
        luaL_error(L, "sum_to: shape %s does not broadcast to %s", shape_text(to, ndim, want),
                   shape_text(from, t->ndim, t->shape));
    }
    lua_settop(L, 1);
    memcpy(padded + t->ndim - ndim, want, sizeof(int) * (size_t)ndim);
    memcpy(now, t->shape, sizeof now);
    if (memcmp(padded, now, sizeof now) == 0) {
        if (t->ndim != ndim) push_view(L, 1, 0, ndim, want);
        return 1;
    }
    struct reduction r;
    const struct tensor *from = t;
    while (next_sum(&r, now, padded, t->ndim)) {
        double *sum = push_scratch(L, (r.outer * r.inner + reduce_scratch(&r)) * sizeof(double));
        stoppable(L, reduce_sum(sum, from->data, &r, NULL, sum + r.outer * r.inner));
        int last = t->ndim - 1;
        while (now[last] == padded[last]) last--;
        for (int d = last; d >= 0 && padded[d] == 1; d--) now[d] = 1;
        struct tensor *y = push_tensor(L, t->ndim, now);
        for (size_t i = 0; i < y->size; i++) y->data[i] = (float)sum[i];
        free_scratch(L, -2);
        from = y;
    }
    push_view(L, -1, 0, ndim, want);
    return 1;
}

const luaL_Reg reduce_functions[] = {
    {"sum", reduce_sum_lua}, {"mean", reduce_mean_lua}, {"var", reduce_var_lua},
    {"max", reduce_max_lua}, {"min", reduce_min_lua}, {"argmax", reduce_argmax_lua},
    {"argmin", reduce_argmin_lua}, {"sum_to", reduce_sum_to}, {NULL, NULL}};
