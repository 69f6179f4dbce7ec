// Data loading in Lua: folders, augmentation, sets of picture files, and the loader. Sample numbers
// count from 1 here and from 0 in the core.
#include "augment.h"
#include "bind.h"
#include "cache.h"
#include "folder.h"
#include "loader.h"
#include "pictures.h"
#include "rng.h"
#include "sys.h"

#include <stdio.h>
#include <string.h>

#define PICTURES_TYPE "giemsa.pictures"
#define AUGMENT_TYPE "giemsa.augment"
#define LOADER_TYPE "giemsa.loader"
#define TWISTER_TYPE "giemsa.twister" // of bind_random.c

// ---- folders

static int folder_gc(lua_State *L) {
    folder_free(lua_touserdata(L, 1));
    return 0;
}

// core.list_folder(path): {{name, "file" | "folder" | "linked folder"}, ...} in code-point order,
// or nil and why.
static int list_folder(lua_State *L) {
    static const char *const kinds[] = {"file", "folder", "linked folder"};
    const char *path = luaL_checkstring(L, 1);
    struct folder *f = lua_newuserdatauv(L, sizeof *f, 0);
    *f = (struct folder){0};
    if (luaL_newmetatable(L, "giemsa.folder"))
        lua_pushcfunction(L, folder_gc), lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    sys_interrupt_begin();
    int status = folder_list(f, path);
    bool interrupted = sys_interrupted();
    sys_interrupt_end();
    if (interrupted) return luaL_error(L, "interrupted!");
    if (status != 0) return fail_pair(L);
    lua_createtable(L, f->count, 0);
    for (int i = 0; i < f->count; i++) {
        lua_createtable(L, 2, 0);
        lua_pushstring(L, f->entries[i].name), lua_rawseti(L, -2, 1);
        lua_pushstring(L, kinds[f->entries[i].kind]), lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, i + 1);
    }
    folder_free(f);
    return 1;
}

// core.byte_less(a, b): code-point order, whatever the locale (Lua's < on strings follows it).
static int byte_less(lua_State *L) {
    size_t m, n;
    const char *a = luaL_checklstring(L, 1, &m), *b = luaL_checklstring(L, 2, &n);
    int order = memcmp(a, b, m < n ? m : n);
    lua_pushboolean(L, order < 0 || (order == 0 && m < n));
    return 1;
}

// ---- augmentation

static lua_Number number_field(lua_State *L, int table, const char *key, lua_Number otherwise) {
    lua_getfield(L, table, key);
    lua_Number value = lua_isnil(L, -1) ? otherwise : luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return value;
}

static bool flag_field(lua_State *L, int table, const char *key) {
    lua_getfield(L, table, key);
    bool value = lua_isnumber(L, -1) ? lua_tonumber(L, -1) != 0 : lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

// {low, high} in a field; false when there is none.
static bool pair_field(lua_State *L, int table, const char *key, double *low, double *high) {
    bool present = lua_getfield(L, table, key) == LUA_TTABLE;
    if (present) {
        lua_rawgeti(L, -1, 1), lua_rawgeti(L, -2, 2);
        *low = luaL_checknumber(L, -2);
        *high = luaL_checknumber(L, -1);
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
    return present;
}

// A float is a range, an integer a number of choices, a table the choices themselves.
static void shift_field(lua_State *L, int table, const char *key, struct shift_range *shift) {
    *shift = (struct shift_range){.kind = SHIFT_NONE};
    if (lua_getfield(L, table, key) == LUA_TTABLE) {
        shift->count = (int)lua_rawlen(L, -1);
        if (shift->count > AUGMENT_CHOICES)
            luaL_error(L, "%s: at most %d values, got %d", key, AUGMENT_CHOICES, shift->count);
        for (int i = 0; i < shift->count; i++) {
            lua_rawgeti(L, -1, i + 1);
            shift->choices[i] = luaL_checknumber(L, -1);
            if (i == 0 || shift->choices[i] > shift->range) shift->range = shift->choices[i];
            lua_pop(L, 1);
        }
        if (shift->count > 0) shift->kind = SHIFT_CHOICES;
    } else if (lua_tonumber(L, -1) != 0) {
        shift->kind = lua_isinteger(L, -1) ? SHIFT_WHOLE : SHIFT_UNIFORM;
        shift->range = lua_tonumber(L, -1);
    }
    lua_pop(L, 1);
}

static int float_list(lua_State *L, int table, const char *key, float out[AUGMENT_CHANNELS]) {
    int count = 0;
    if (lua_getfield(L, table, key) == LUA_TTABLE) {
        count = (int)lua_rawlen(L, -1);
        if (count > AUGMENT_CHANNELS)
            luaL_error(L, "%s: at most %d channels, got %d", key, AUGMENT_CHANNELS, count);
        for (int i = 0; i < count; i++) {
            lua_rawgeti(L, -1, i + 1);
            out[i] = (float)luaL_checknumber(L, -1);
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
    return count;
}

static void read_standard(lua_State *L, int table, struct standardisation *s) {
    s->rescale = (float)number_field(L, table, "rescale", 1);
    s->sample_center = flag_field(L, table, "samplewise_center");
    s->sample_scale = flag_field(L, table, "samplewise_std_normalization");
    int means = float_list(L, table, "mean", s->means);
    int deviations = float_list(L, table, "std", s->deviations);
    s->feature_center = means > 0;
    s->feature_scale = deviations > 0;
    s->channels = means > deviations ? means : deviations;
    if (means && deviations && means != deviations)
        luaL_error(L, "mean has %d channels, std has %d", means, deviations);
}

// core.augment{rotation_range=, ...}: the options of an ImageDataGenerator; `mean` and `std` (a
// number a channel) ask for featurewise normalisation.
static int new_augment(lua_State *L) {
    // In the order of enum fill_mode.
    static const char *const fills[] = {"nearest", "constant", "reflect", "wrap", NULL};
    luaL_checktype(L, 1, LUA_TTABLE);
    struct augment a = {.zoom_low = 1, .zoom_high = 1};
    a.rotation = number_field(L, 1, "rotation_range", 0);
    shift_field(L, 1, "height_shift_range", &a.height_shift);
    shift_field(L, 1, "width_shift_range", &a.width_shift);
    a.shear = number_field(L, 1, "shear_range", 0);
    pair_field(L, 1, "zoom_range", &a.zoom_low, &a.zoom_high);
    a.flip_horizontal = flag_field(L, 1, "horizontal_flip");
    a.flip_vertical = flag_field(L, 1, "vertical_flip");
    a.channel_shift = number_field(L, 1, "channel_shift_range", 0);
    a.has_brightness = pair_field(L, 1, "brightness_range", &a.brightness_low, &a.brightness_high);
    lua_getfield(L, 1, "fill_mode");
    a.fill = (enum fill_mode)luaL_checkoption(L, -1, "nearest", fills);
    a.cval = (float)number_field(L, 1, "cval", 0);
    read_standard(L, 1, &a.standard);
    *(struct augment *)lua_newuserdatauv(L, sizeof a, 0) = a;
    luaL_setmetatable(L, AUGMENT_TYPE);
    return 1;
}

static double stream_uniform(void *state) { return rng_uniform(state); }
static unsigned stream_below(void *state, unsigned n) { return rng_below(state, n); }
static double twister_uniform(void *state) { return mt_uniform(state); }
static unsigned twister_below(void *state, unsigned n) { return mt_numpy_below(state, n); }

static void push_transform(lua_State *L, const struct transform *t, const struct augment *a) {
    lua_createtable(L, 0, 10);
    lua_pushnumber(L, t->theta), lua_setfield(L, -2, "theta");
    lua_pushnumber(L, t->tx), lua_setfield(L, -2, "tx");
    lua_pushnumber(L, t->ty), lua_setfield(L, -2, "ty");
    lua_pushnumber(L, t->shear), lua_setfield(L, -2, "shear");
    lua_pushnumber(L, t->zx), lua_setfield(L, -2, "zx");
    lua_pushnumber(L, t->zy), lua_setfield(L, -2, "zy");
    lua_pushboolean(L, t->flip_horizontal), lua_setfield(L, -2, "flip_horizontal");
    lua_pushboolean(L, t->flip_vertical), lua_setfield(L, -2, "flip_vertical");
    if (a->channel_shift != 0)
        lua_pushnumber(L, t->channel_shift), lua_setfield(L, -2, "channel_shift_intensity");
    if (a->has_brightness) lua_pushnumber(L, t->brightness), lua_setfield(L, -2, "brightness");
}

// core.draw_transform(augment, height, width, twister): from NumPy's stream; or (..., seed, epoch,
// sample): what the loader draws.
static int draw_transform(lua_State *L) {
    const struct augment *a = luaL_checkudata(L, 1, AUGMENT_TYPE);
    int height = check_int(L, 2, 1, 1 << 20), width = check_int(L, 3, 1, 1 << 20);
    struct rng stream;
    struct draw draw = {luaL_testudata(L, 4, TWISTER_TYPE), twister_uniform, twister_below};
    if (!draw.state) {
        loader_stream(&stream, (uint64_t)luaL_checkinteger(L, 4), (uint32_t)luaL_checkinteger(L, 5),
                      (uint32_t)luaL_checkinteger(L, 6) - 1);
        draw = (struct draw){&stream, stream_uniform, stream_below};
    }
    struct transform t;
    augment_draw(&t, a, height, width, &draw);
    push_transform(L, &t, a);
    return 1;
}

static struct transform check_transform(lua_State *L, int arg) {
    luaL_checktype(L, arg, LUA_TTABLE);
    return (struct transform){.theta = number_field(L, arg, "theta", 0),
                              .tx = number_field(L, arg, "tx", 0),
                              .ty = number_field(L, arg, "ty", 0),
                              .shear = number_field(L, arg, "shear", 0),
                              .zx = number_field(L, arg, "zx", 1),
                              .zy = number_field(L, arg, "zy", 1),
                              .flip_horizontal = flag_field(L, arg, "flip_horizontal"),
                              .flip_vertical = flag_field(L, arg, "flip_vertical"),
                              .channel_shift = number_field(L, arg, "channel_shift_intensity", 0),
                              .brightness = number_field(L, arg, "brightness", 1)};
}

// core.apply_transform(augment, x, transform): x (height, width, channels); a new tensor. The fill
// comes from augment.
static int apply_transform(lua_State *L) {
    const struct augment *a = luaL_checkudata(L, 1, AUGMENT_TYPE);
    struct tensor *x = check_tensor_dims(L, 2, 3);
    struct transform t = check_transform(L, 3);
    float *scratch = push_scratch(L, x->size * sizeof(float));
    struct tensor *y = push_tensor_like(L, x);
    transform_apply(y->data, x->data, &t, x->shape[0], x->shape[1], x->shape[2], a->fill, a->cval,
                    scratch);
    free_scratch(L, -2);
    return 1;
}

static void require_channels(lua_State *L, int arg, const struct standardisation *s, int channels) {
    if ((s->feature_center || s->feature_scale) && s->channels != channels)
        luaL_argerror(L, arg,
                      lua_pushfstring(L, "featurewise normalisation was fitted on %d channels, "
                                         "the pictures have %d", s->channels, channels));
}

// core.standardise(augment, x): in place; x (height, width, channels), or (n, ...) of them.
static int standardise_tensor(lua_State *L) {
    const struct augment *a = luaL_checkudata(L, 1, AUGMENT_TYPE);
    struct tensor *x = check_tensor(L, 2);
    if (x->ndim != 3) x = check_tensor_dims(L, 2, 4);
    const int *shape = x->shape + x->ndim - 3;
    require_channels(L, 2, &a->standard, shape[2]);
    size_t size = shape_size(3, shape);
    for (size_t i = 0; size && i < x->size; i += size)
        standardise(x->data + i, &a->standard, shape[0] * shape[1], shape[2]);
    return 0;
}

static void push_doubles(lua_State *L, const double *values, int count) {
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) lua_pushnumber(L, values[i]), lua_rawseti(L, -2, i + 1);
}

// core.channel_moments(x): two tables, the mean and the standard deviation of each channel.
static int moments(lua_State *L) {
    struct tensor *x = check_tensor(L, 1);
    int channels = x->ndim ? x->shape[x->ndim - 1] : 0;
    luaL_argcheck(L, x->size > 0 && channels <= AUGMENT_CHANNELS, 1,
                  "expected pictures of 1 to 64 channels");
    double means[AUGMENT_CHANNELS], deviations[AUGMENT_CHANNELS];
    channel_moments(means, deviations, x->data, x->size / (size_t)channels, channels);
    push_doubles(L, means, channels);
    push_doubles(L, deviations, channels);
    return 2;
}

// ---- sets of files

struct pictures_handle {
    struct pictures *pictures;
};

static int pictures_gc(lua_State *L) {
    struct pictures_handle *h = lua_touserdata(L, 1);
    pictures_close(h->pictures);
    h->pictures = NULL;
    return 0;
}

// core.pictures(paths, height, width, channels, interpolation, memory, cache): memory: bytes that
// may be used to keep them decoded; cache: the path of a file that keeps them for later runs. When
// that cannot be had, the second result says why.
static int new_pictures(lua_State *L) {
    static const char *const rules[] = {"nearest", "bilinear", "area", NULL}; // enum resize_rule
    luaL_checktype(L, 1, LUA_TTABLE);
    int count = (int)lua_rawlen(L, 1);
    int height = check_int(L, 2, 1, IMAGE_MAX_SIDE), width = check_int(L, 3, 1, IMAGE_MAX_SIDE);
    int channels = check_int(L, 4, 1, 4);
    enum resize_rule rule = (enum resize_rule)luaL_checkoption(L, 5, "nearest", rules);
    size_t memory = (size_t)luaL_optnumber(L, 6, 0);
    const char *cache = luaL_optstring(L, 7, NULL);
    struct pictures_handle *h = lua_newuserdatauv(L, sizeof *h, 0);
    h->pictures = NULL;
    luaL_setmetatable(L, PICTURES_TYPE);
    const char **paths = push_scratch(L, ((size_t)count + 1) * sizeof *paths);
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, 1, i + 1);
        if (lua_type(L, -1) != LUA_TSTRING) return luaL_error(L, "path %d is not a string", i + 1);
        paths[i] = lua_tostring(L, -1); // stays valid: the table holds it
        lua_pop(L, 1);
    }
    h->pictures = pictures_open(paths, count, height, width, channels, rule, memory);
    if (!h->pictures) return raise_error(L);
    free_scratch(L, -1);
    lua_pop(L, 1);
    if (!cache || pictures_use_cache(h->pictures, cache) == 0) return 1;
    lua_pushstring(L, sys_error());
    return 2;
}

// pictures:trouble(): what went wrong with the cache and was not told yet, or nil.
static int trouble(lua_State *L) {
    struct pictures_handle *h = luaL_checkudata(L, 1, PICTURES_TYPE);
    if (!h->pictures || pictures_trouble(h->pictures) == 0) return 0;
    lua_pushstring(L, sys_error());
    return 1;
}

// core.checksum(bytes): 16 hex digits, by which bytes are told from others; quick, and no proof
// against somebody who wants them to be alike (that is giemsa.hash).
static int checksum(lua_State *L) {
    size_t size;
    const char *bytes = luaL_checklstring(L, 1, &size);
    char hex[17];
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)cache_sum(bytes, size));
    lua_pushstring(L, hex);
    return 1;
}

// ---- the loader

struct loader_handle {
    struct loader *loader;
    int samples, height, width, channels;
};

static struct loader *check_loader(lua_State *L) {
    struct loader_handle *h = luaL_checkudata(L, 1, LOADER_TYPE);
    if (!h->loader) luaL_error(L, "this pass over the data was closed");
    return h->loader;
}

// core.loader(pictures or tensor (n, h, w, c), augment, seed, epoch, standardise)
static int new_loader(lua_State *L) {
    struct loader_plan plan = {.augment = *(struct augment *)luaL_checkudata(L, 2, AUGMENT_TYPE)};
    struct pictures_handle *files = luaL_testudata(L, 1, PICTURES_TYPE);
    plan.transform = !augment_is_neutral(&plan.augment);
    plan.seed = (uint64_t)luaL_checkinteger(L, 3);
    plan.epoch = (uint32_t)luaL_checkinteger(L, 4);
    plan.standardise = lua_toboolean(L, 5);
    struct loader_handle *h = lua_newuserdatauv(L, sizeof *h, 1);
    *h = (struct loader_handle){0};
    luaL_setmetatable(L, LOADER_TYPE);
    int shape[3];
    if (files) {
        plan.pictures = files->pictures;
        h->samples = pictures_count(files->pictures);
        pictures_shape(files->pictures, shape);
    } else {
        plan.rows = *check_tensor_dims(L, 1, 4);
        h->samples = plan.rows.shape[0];
        memcpy(shape, plan.rows.shape + 1, sizeof shape);
    }
    h->height = shape[0], h->width = shape[1], h->channels = shape[2];
    if (plan.standardise) require_channels(L, 1, &plan.augment.standard, shape[2]);
    h->loader = loader_open(&plan);
    if (!h->loader) return raise_error(L);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1); // the set of files lives as long as its loader
    return 1;
}

// loader:submit(x, rows): row r of x becomes sample rows[r].
static int submit(lua_State *L) {
    struct loader *l = check_loader(L);
    const struct loader_handle *h = lua_touserdata(L, 1);
    struct tensor *x = check_tensor_dims(L, 2, 4);
    luaL_checktype(L, 3, LUA_TTABLE);
    require_shape(L, 2, x, 4, (int[]){x->shape[0], h->height, h->width, h->channels});
    int rows = x->shape[0];
    luaL_argcheck(L, rows > 0, 2, "a batch needs rows");
    uint32_t *indices = push_scratch(L, (size_t)rows * sizeof *indices);
    for (int r = 0; r < rows; r++) {
        lua_rawgeti(L, 3, r + 1);
        lua_Integer sample = lua_tointeger(L, -1);
        lua_pop(L, 1);
        if (sample < 1 || sample > h->samples)
            return luaL_error(L, "sample %I is not in 1..%d", sample, h->samples);
        indices[r] = (uint32_t)(sample - 1);
    }
    int status = loader_submit(l, x, indices, rows);
    free_scratch(L, -1);
    return status == 0 ? 0 : raise_error(L);
}

// loader:wait(): finishes the oldest batch; true, or nil and why ("interrupted!" is one reason).
static int wait_batch(lua_State *L) {
    struct loader *loader = check_loader(L);
    sys_interrupt_begin();
    int status = loader_wait(loader);
    sys_interrupt_end();
    if (status != 0) return fail_pair(L);
    lua_pushboolean(L, 1);
    return 1;
}

static int close_loader(lua_State *L) {
    struct loader_handle *h = luaL_checkudata(L, 1, LOADER_TYPE);
    loader_close(h->loader);
    h->loader = NULL;
    return 0;
}

// ---- tables

static const luaL_Reg loader_methods[] = {
    {"submit", submit}, {"wait", wait_batch}, {"close", close_loader}, {NULL, NULL}};
static const luaL_Reg loader_meta[] = {
    {"__gc", close_loader}, {"__close", close_loader}, {NULL, NULL}};
static const luaL_Reg pictures_methods[] = {{"trouble", trouble}, {NULL, NULL}};
static const luaL_Reg pictures_meta[] = {{"__gc", pictures_gc}, {NULL, NULL}};
static const luaL_Reg no_meta[] = {{NULL, NULL}};

static void new_class(lua_State *L, const char *name, const luaL_Reg *methods,
                      const luaL_Reg *meta) {
    luaL_newmetatable(L, name);
    luaL_setfuncs(L, meta, 0);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

void open_loader(lua_State *L) {
    new_class(L, AUGMENT_TYPE, no_meta, no_meta);
    new_class(L, PICTURES_TYPE, pictures_methods, pictures_meta);
    new_class(L, LOADER_TYPE, loader_methods, loader_meta);
}

const luaL_Reg loader_functions[] = {
    {"list_folder", list_folder}, {"byte_less", byte_less}, {"augment", new_augment},
    {"draw_transform", draw_transform}, {"apply_transform", apply_transform},
    {"standardise", standardise_tensor}, {"channel_moments", moments}, {"pictures", new_pictures},
    {"checksum", checksum}, {"loader", new_loader}, {NULL, NULL}};
