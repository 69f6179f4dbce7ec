// The smear and the draws of datasets/smear.lua. Arguments are positional: only that file calls these.
#include "bind.h"
#include "mem.h"
#include "smear.h"
#include "sys.h"

#define DRAWS_TYPE "giemsa.draws"
#define SMEAR_TYPE "giemsa.smear"

static double field_number(lua_State *L, int table, int index) {
    lua_rawgeti(L, table, index);
    int ok;
    double value = lua_tonumberx(L, -1, &ok);
    if (!ok) luaL_argerror(L, table, lua_pushfstring(L, "item %d is not a number", index));
    lua_pop(L, 1);
    return value;
}

// ---- draws: a stream of random numbers named by what it is for

static struct rng *check_draws(lua_State *L, int arg) { return luaL_checkudata(L, arg, DRAWS_TYPE); }

static uint32_t check_word(lua_State *L, int arg) { return (uint32_t)luaL_optinteger(L, arg, 0); }

// core.draws(seed, a, b, c): the Philox stream (a, b, c) of that seed.
static int draws(lua_State *L) {
    uint64_t seed = (uint64_t)luaL_checkinteger(L, 1);
    uint32_t a = check_word(L, 2), b = check_word(L, 3), c = check_word(L, 4);
    rng_start(lua_newuserdatauv(L, sizeof(struct rng), 0), seed, a, b, c);
    luaL_setmetatable(L, DRAWS_TYPE);
    return 1;
}

// d:uniform([low, high]): a number in [low, high), [0, 1) when absent.
static int draws_uniform(lua_State *L) {
    struct rng *rng = check_draws(L, 1);
    double low = luaL_optnumber(L, 2, 0), high = luaL_optnumber(L, 3, 1);
    lua_pushnumber(L, low + (high - low) * rng_uniform(rng));
    return 1;
}

// d:normal([mean, deviation])
static int draws_normal(lua_State *L) {
    struct rng *rng = check_draws(L, 1);
    double mean = luaL_optnumber(L, 2, 0), deviation = luaL_optnumber(L, 3, 1);
    lua_pushnumber(L, mean + deviation * rng_normal(rng));
    return 1;
}

// d:integer(low, high): a whole number, both ends possible.
static int draws_integer(lua_State *L) {
    struct rng *rng = check_draws(L, 1);
    lua_Integer low = luaL_checkinteger(L, 2), high = luaL_checkinteger(L, 3);
    luaL_argcheck(L, low <= high && high - low < UINT32_MAX, 3, "the upper end is below the lower one");
    lua_pushinteger(L, low + rng_below(rng, (uint32_t)(high - low) + 1));
    return 1;
}

// d:chance(p): true with probability p.
static int draws_chance(lua_State *L) {
    lua_pushboolean(L, rng_uniform(check_draws(L, 1)) < luaL_checknumber(L, 2));
    return 1;
}

// ---- smear

static struct smear *check_smear(lua_State *L) {
    struct smear *s = luaL_checkudata(L, 1, SMEAR_TYPE);
    luaL_argcheck(L, s->density, 1, "this smear was closed");
    return s;
}

static int check_plane(lua_State *L, const struct smear *s, int arg) { return check_int(L, arg, 0, s->planes - 1); }

// core.smear(width, height, dyes): an empty smear with the planes 0 (what is kept) and 1..dyes.
static int smear(lua_State *L) {
    int width = check_int(L, 1, 1, SMEAR_MAX_SIDE), height = check_int(L, 2, 1, SMEAR_MAX_SIDE);
    int dyes = check_int(L, 3, 1, SMEAR_MAX_DYES - 1);
    struct smear *s = lua_newuserdatauv(L, sizeof *s, 0);
    *s = (struct smear){0};
    luaL_setmetatable(L, SMEAR_TYPE);
    return smear_create(s, width, height, dyes + 1) == 0 ? 1 : raise_error(L);
}

static int smear_close(lua_State *L) {
    smear_free(luaL_checkudata(L, 1, SMEAR_TYPE));
    return 0;
}

// s:blob(plane, amount, soft, x, y, rx, [ry = rx, angle = 0])
static int blob(lua_State *L) {
    struct smear *s = check_smear(L);
    int plane = check_plane(L, s, 2);
    double amount = luaL_checknumber(L, 3), soft = luaL_checknumber(L, 4),
           x = luaL_checknumber(L, 5), y = luaL_checknumber(L, 6);
    double rx = luaL_checknumber(L, 7), ry = luaL_optnumber(L, 8, rx);
    luaL_argcheck(L, rx > 0 && ry > 0, 7, "a blob needs half axes above 0");
    smear_blob(s, plane, amount, x, y, rx, ry, luaL_optnumber(L, 9, 0), soft);
    return 0;
}

enum { CURVE_MAX_POINTS = 128 };

// s:curve(plane, amount, soft, {x1, y1, half_width1, x2, ...})
static int curve(lua_State *L) {
    struct smear *s = check_smear(L);
    int plane = check_plane(L, s, 2), n = 0;
    double amount = luaL_checknumber(L, 3), soft = luaL_checknumber(L, 4), points[CURVE_MAX_POINTS][3];
    luaL_checktype(L, 5, LUA_TTABLE);
    n = (int)lua_rawlen(L, 5) / 3;
    luaL_argcheck(L, n >= 1 && n <= CURVE_MAX_POINTS, 5, "a curve has 1 to 128 points of three numbers");
    for (int i = 0; i < 3 * n; i++) points[i / 3][i % 3] = field_number(L, 5, i + 1);
    smear_curve(s, plane, amount, soft, n, points);
    return 0;
}

enum { OUTLINE_MAX_RADII = 256 };

// s:outline(plane, amount, soft, x, y, margin, {radius1, ...}): radii at equal angles, the first to
// the right, then down.
static int outline(lua_State *L) {
    struct smear *s = check_smear(L);
    int plane = check_plane(L, s, 2);
    double amount = luaL_checknumber(L, 3), soft = luaL_checknumber(L, 4),
           x = luaL_checknumber(L, 5), y = luaL_checknumber(L, 6);
    double margin = luaL_checknumber(L, 7), radii[OUTLINE_MAX_RADII];
    luaL_checktype(L, 8, LUA_TTABLE);
    int n = (int)lua_rawlen(L, 8);
    luaL_argcheck(L, n >= 3 && n <= OUTLINE_MAX_RADII, 8, "an outline has 3 to 256 radii");
    for (int i = 0; i < n; i++) radii[i] = field_number(L, 8, i + 1);
    smear_outline(s, plane, amount, soft, x, y, margin, n, radii);
    return 0;
}

// s:grain(plane, amplitude, scale, relative, draws)
static int grain(lua_State *L) {
    struct smear *s = check_smear(L);
    int plane = check_plane(L, s, 2);
    double amplitude = luaL_checknumber(L, 3), scale = luaL_checknumber(L, 4);
    luaL_argcheck(L, scale >= 1, 4, "the scale is at least one pixel");
    smear_grain(s, plane, amplitude, scale, lua_toboolean(L, 5), check_draws(L, 6));
    return 0;
}

static double option(lua_State *L, int table, const char *name) {
    lua_getfield(L, table, name);
    int ok;
    double value = lua_tonumberx(L, -1, &ok);
    if (!ok) luaL_argerror(L, table, lua_pushfstring(L, "film.%s must be a number", name));
    lua_pop(L, 1);
    return value;
}

static void read_film(lua_State *L, int arg, int planes, struct film *film) {
    luaL_checktype(L, arg, LUA_TTABLE);
    *film = (struct film){.blur = option(L, arg, "blur"),
                          .noise = option(L, arg, "noise"),
                          .step = (int)option(L, arg, "step"),
                          .slope = {option(L, arg, "slope_x"), option(L, arg, "slope_y")}};
    luaL_argcheck(L, film->step >= 1, arg, "film.step must be at least 1");
    lua_getfield(L, arg, "light");
    luaL_checktype(L, -1, LUA_TTABLE);
    for (int c = 0; c < 3; c++) film->light[c] = field_number(L, lua_gettop(L), c + 1);
    lua_getfield(L, arg, "absorbance");
    luaL_checktype(L, -1, LUA_TTABLE);
    for (int d = 1; d < planes; d++) {
        lua_rawgeti(L, -1, d);
        luaL_checktype(L, -1, LUA_TTABLE);
        for (int c = 0; c < 3; c++) film->absorbance[d][c] = field_number(L, lua_gettop(L), c + 1);
        lua_pop(L, 1);
    }
    lua_pop(L, 2);
}

// s:develop(film, draws): the picture.
static int develop(lua_State *L) {
    struct smear *s = check_smear(L);
    struct film film;
    read_film(L, 2, s->planes, &film);
    struct rng *rng = check_draws(L, 3);
    return smear_develop(push_picture(L), s, &film, rng) == 0 ? 1 : raise_error(L);
}

const luaL_Reg smear_functions[] = {{"draws", draws}, {"smear", smear}, {NULL, NULL}};

static const luaL_Reg draws_methods[] = {{"uniform", draws_uniform},
                                         {"normal", draws_normal},
                                         {"integer", draws_integer},
                                         {"chance", draws_chance},
                                         {NULL, NULL}};
static const luaL_Reg smear_methods[] = {
    {"blob", blob},        {"curve", curve},         {"outline", outline},
    {"grain", grain},      {"develop", develop},     {"close", smear_close},
    {"__gc", smear_close}, {"__close", smear_close}, {NULL, NULL}};

static void open_type(lua_State *L, const char *type, const luaL_Reg methods[]) {
    luaL_newmetatable(L, type);
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

void open_smear(lua_State *L) {
    open_type(L, DRAWS_TYPE, draws_methods);
    open_type(L, SMEAR_TYPE, smear_methods);
}
