// Pictures in Lua: a userdata of bytes outside the tensor type. What takes options is completed in
// lua/giemsa/image.lua, which adds to core.picture_methods.
#include "bind.h"
#include "draw.h"
#include "image.h"
#include "mem.h"
#include "resize.h"
#include "sys.h"
#include "text.h"

#include <stdbool.h>
#include <string.h>

// ---- pictures as values

static size_t byte_count(const struct image *im) {
    return (size_t)im->height * (size_t)im->width * (size_t)im->channels;
}

struct image *check_picture(lua_State *L, int arg) {
    struct image *im = luaL_checkudata(L, arg, PICTURE_TYPE);
    luaL_argcheck(L, im->pixels, arg, "this picture was released");
    return im;
}

struct image *push_picture(lua_State *L) {
    struct image *im = lua_newuserdatauv(L, sizeof *im, 0);
    *im = (struct image){0};
    luaL_setmetatable(L, PICTURE_TYPE);
    return im;
}

static int picture_release(lua_State *L) {
    image_free(luaL_checkudata(L, 1, PICTURE_TYPE));
    return 0;
}

// Pushes a new picture, contents undefined; raises when there is no memory.
static struct image *push_sized(lua_State *L, int height, int width, int channels) {
    if ((long long)height * width > IMAGE_MAX_PIXELS)
        luaL_error(L, "%d x %d pixels is too large (at most %d million)", width, height,
                   IMAGE_MAX_PIXELS >> 20);
    struct image *im = push_picture(L);
    account_memory(L, (size_t)height * (size_t)width * (size_t)channels);
    if (image_create(im, height, width, channels) != 0) raise_error(L);
    return im;
}

static unsigned char color_byte(lua_State *L, int arg, int index) {
    int is_integer;
    lua_Integer v = lua_tointegerx(L, index, &is_integer);
    if (!is_integer || v < 0 || v > 255)
        luaL_argerror(L, arg, "a colour is whole numbers from 0 to 255");
    return (unsigned char)v;
}

// {r, g, b}, or one number for all channels. With a fourth channel, three numbers are an opaque
// colour.
static void check_color(lua_State *L, int arg, int channels, unsigned char color[4]) {
    memset(color, 255, 4);
    if (lua_isnumber(L, arg)) {
        memset(color, color_byte(L, arg, arg), 4);
        return;
    }
    luaL_checktype(L, arg, LUA_TTABLE);
    int n = (int)lua_rawlen(L, arg);
    if (n != channels && !(channels == 4 && n == 3))
        luaL_argerror(L, arg, lua_pushfstring(L, "a picture with channels = %d needs a colour with "
                                                 "as many numbers, got %d", channels, n));
    for (int i = 0; i < n; i++, lua_pop(L, 1)) {
        lua_rawgeti(L, arg, i + 1);
        color[i] = color_byte(L, arg, -1);
    }
}

// ---- from files and tensors

static int read_result(lua_State *L, struct image *im, int status) {
    if (status != 0) return fail_pair(L);
    account_memory(L, byte_count(im));
    return 1;
}

static int check_wanted_channels(lua_State *L, int arg) {
    int channels = check_int(L, arg, 0, 4);
    luaL_argcheck(L, channels != 2, arg,
                  "4 channels (RGBA), 3 (RGB), 1 (grey) or 0 (as the file has it)");
    return channels;
}

// core.image_read(path, channels): a picture, or nil and why. channels 0: as the file has it.
static int read_file(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    int channels = check_wanted_channels(L, 2);
    struct image *im = push_picture(L);
    return read_result(L, im, image_read(im, path, channels));
}

// core.image_decode(bytes, channels, name): the same from a file's bytes; name is for the message.
static int decode(lua_State *L) {
    size_t size;
    const char *bytes = luaL_checklstring(L, 1, &size), *name = luaL_checkstring(L, 3);
    int channels = check_wanted_channels(L, 2);
    struct image *im = push_picture(L);
    return read_result(L, im, image_decode(im, (const unsigned char *)bytes, size, channels, name));
}

// core.image_new(width, height, channels, color)
static int new_image(lua_State *L) {
    int width = check_int(L, 1, 1, IMAGE_MAX_SIDE), height = check_int(L, 2, 1, IMAGE_MAX_SIDE),
        channels = check_int(L, 3, 1, 4);
    unsigned char color[4];
    check_color(L, 4, channels, color);
    struct image *im = push_sized(L, height, width, channels);
    draw_rectangle(im, 0, 0, width - 1, height - 1, 0, color);
    return 1;
}

// NaN: 0.
static unsigned char rounded_byte(float v) {
    return v > 0 ? (v < 255 ? (unsigned char)(v + 0.5f) : 255) : 0;
}

// core.image_from_tensor(x, low, high): x (height, width, channels) or (height, width); low..high
// becomes 0..255, cut.
static int from_tensor(lua_State *L) {
    struct tensor *t = check_tensor(L, 1);
    double low = luaL_checknumber(L, 2), high = luaL_checknumber(L, 3);
    int channels = t->ndim == 3 ? t->shape[2] : 1;
    bool fits = (t->ndim == 2 || t->ndim == 3) && t->size > 0 && channels <= 4 &&
                t->shape[0] <= IMAGE_MAX_SIDE && t->shape[1] <= IMAGE_MAX_SIDE;
    if (!fits) {
        char text[SHAPE_TEXT];
        shape_text(text, t->ndim, t->shape);
        luaL_argerror(L, 1, lua_pushfstring(L, "a picture needs shape (height, width, channels) "
                                               "with 1 to 4 channels, or (height, width); got %s",
                                            text));
    }
    float scale = (float)(255 / (high - low)), offset = (float)low;
    struct image *im = push_sized(L, t->shape[0], t->shape[1], channels);
    for (size_t i = 0; i < t->size; i++)
        im->pixels[i] = rounded_byte((t->data[i] - offset) * scale);
    return 1;
}

// picture:to_tensor(): (height, width, channels), 0..255.
static int to_tensor(lua_State *L) {
    struct image *im = check_picture(L, 1);
    struct tensor *t = push_tensor(L, 3, (int[]){im->height, im->width, im->channels});
    for (size_t i = 0; i < t->size; i++) t->data[i] = im->pixels[i];
    return 1;
}

// ---- pictures from pictures

static enum resize_rule check_rule(lua_State *L, int arg) {
    static const char *const names[] = {"nearest", "bilinear", "area"};
    const char *name = luaL_optstring(L, arg, "nearest");
    for (int rule = RESIZE_NEAREST; rule <= RESIZE_AREA; rule++)
        if (strcmp(name, names[rule]) == 0) return (enum resize_rule)rule;
    return (enum resize_rule)luaL_argerror(
        L, arg,
        lua_pushfstring(L, "interpolation is one of nearest, bilinear, area; got '%s'", name));
}

// picture:resize(width, height, rule)
static int picture_resize(lua_State *L) {
    struct image *im = check_picture(L, 1);
    int width = check_int(L, 2, 1, IMAGE_MAX_SIDE), height = check_int(L, 3, 1, IMAGE_MAX_SIDE);
    enum resize_rule rule = check_rule(L, 4);
    struct image *out = push_sized(L, height, width, im->channels);
    void *scratch =
        push_scratch(L, resize_scratch_bytes(im->height, im->width, height, width, im->channels));
    resize(out, im, rule, scratch);
    free_scratch(L, -1);
    lua_pop(L, 1);
    return 1;
}

// picture:crop(x, y, width, height): the part with its top left pixel at (x, y); must lie inside.
static int picture_crop(lua_State *L) {
    struct image *im = check_picture(L, 1);
    int x = check_int(L, 2, 0, im->width - 1), y = check_int(L, 3, 0, im->height - 1);
    int width = check_int(L, 4, 1, im->width - x), height = check_int(L, 5, 1, im->height - y);
    draw_image(push_sized(L, height, width, im->channels), -x, -y, im);
    return 1;
}

// picture:convert(channels): a copy with 4, 3 or 1.
static int picture_convert(lua_State *L) {
    struct image *im = check_picture(L, 1);
    int channels = check_wanted_channels(L, 2);
    luaL_argcheck(L, channels != 0, 2, "4 channels (RGBA), 3 (RGB) or 1 (grey)");
    struct image *out = push_picture(L);
    account_memory(L, byte_count(im));
    return image_convert(out, im, channels) == 0 ? 1 : raise_error(L);
}

static int picture_copy(lua_State *L) {
    struct image *im = check_picture(L, 1);
    struct image *out = push_sized(L, im->height, im->width, im->channels);
    memcpy(out->pixels, im->pixels, byte_count(im));
    return 1;
}

// picture:bytes(): its pixels, row by row from the top, channels side by side.
static int picture_bytes(lua_State *L) {
    struct image *im = check_picture(L, 1);
    lua_pushlstring(L, (const char *)im->pixels, byte_count(im));
    return 1;
}

// ---- PNG

// picture:png(): the bytes of a PNG file.
static int picture_png(lua_State *L) {
    struct image *im = check_picture(L, 1);
    void **owner = push_owner(L);
    size_t size = 0;
    *owner = image_encode_png(im, &size);
    if (!*owner) return raise_error(L);
    lua_pushlstring(L, *owner, size);
    free_scratch(L, -2);
    return 1;
}

// core.image_write(picture, path): true, or nil and why.
static int write_file(lua_State *L) {
    if (image_write_png(check_picture(L, 1), luaL_checkstring(L, 2)) != 0) return fail_pair(L);
    lua_pushboolean(L, 1);
    return 1;
}

// ---- drawing

// core.image_line(picture, x0, y0, x1, y1, thickness, color)
static int line(lua_State *L) {
    struct image *im = check_picture(L, 1);
    unsigned char color[4];
    check_color(L, 7, im->channels, color);
    draw_line(im, luaL_checknumber(L, 2), luaL_checknumber(L, 3), luaL_checknumber(L, 4),
              luaL_checknumber(L, 5), luaL_checknumber(L, 6), color);
    return 0;
}

// core.image_rectangle(picture, x0, y0, x1, y1, thickness, color): thickness 0 fills.
static int rectangle(lua_State *L) {
    enum { FAR = 1 << 28 };
    struct image *im = check_picture(L, 1);
    unsigned char color[4];
    check_color(L, 7, im->channels, color);
    draw_rectangle(im, check_int(L, 2, -FAR, FAR), check_int(L, 3, -FAR, FAR),
                   check_int(L, 4, -FAR, FAR), check_int(L, 5, -FAR, FAR), check_int(L, 6, 0, FAR),
                   color);
    return 0;
}

// core.image_paste(picture, x, y, other): the same number of channels; what lies outside is cut.
static int paste(lua_State *L) {
    struct image *im = check_picture(L, 1), *other = check_picture(L, 4);
    if (im->channels != other->channels)
        luaL_argerror(
            L, 4,
            lua_pushfstring(L, "a picture of %d channels does not fit into one of %d; use convert",
                            other->channels, im->channels));
    draw_image(im, check_int(L, 2, -IMAGE_MAX_SIDE, IMAGE_MAX_SIDE),
               check_int(L, 3, -IMAGE_MAX_SIDE, IMAGE_MAX_SIDE), other);
    return 0;
}

static struct text_style check_style(lua_State *L, int arg) {
    struct text_style style = {.scale = luaL_checknumber(L, arg),
                               .thickness = luaL_checknumber(L, arg + 1)};
    luaL_argcheck(L, style.scale > 0 && style.scale <= TEXT_MAX_SCALE, arg,
                  "scale must be above 0 and at most 1000");
    luaL_argcheck(L, style.thickness > 0 && style.thickness <= IMAGE_MAX_SIDE, arg + 1,
                  "thickness must be above 0 and at most 32768");
    return style;
}

// core.image_text(picture, x, y, text, scale, thickness, color): how many letters no font here has.
static int text(lua_State *L) {
    size_t size;
    struct image *im = check_picture(L, 1);
    double x = luaL_checknumber(L, 2), y = luaL_checknumber(L, 3);
    const char *utf8 = luaL_checklstring(L, 4, &size);
    struct text_style style = check_style(L, 5);
    unsigned char color[4];
    check_color(L, 7, im->channels, color);
    style.color = color;
    int missing = text_draw(im, x, y, utf8, size, &style);
    if (missing < 0) return raise_error(L);
    lua_pushinteger(L, missing);
    return 1;
}

// core.image_text_size(text, scale, thickness): width, pixels above and below the baseline.
static int text_size(lua_State *L) {
    size_t size;
    const char *utf8 = luaL_checklstring(L, 1, &size);
    struct text_style style = check_style(L, 2);
    double width, above, below;
    if (text_measure(utf8, size, &style, &width, &above, &below) < 0) return raise_error(L);
    lua_pushnumber(L, width);
    lua_pushnumber(L, above);
    lua_pushnumber(L, below);
    return 3;
}

// ---- fields and the rest

static int picture_index(lua_State *L) {
    struct image *im = luaL_checkudata(L, 1, PICTURE_TYPE);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    const char *key = luaL_checkstring(L, 2);
    if (strcmp(key, "width") == 0) return lua_pushinteger(L, im->width), 1;
    if (strcmp(key, "height") == 0) return lua_pushinteger(L, im->height), 1;
    if (strcmp(key, "channels") == 0) return lua_pushinteger(L, im->channels), 1;
    return luaL_error(L, "a picture has no field or method '%s'", key);
}

static int picture_equal(lua_State *L) {
    struct image *a = luaL_testudata(L, 1, PICTURE_TYPE), *b = luaL_testudata(L, 2, PICTURE_TYPE);
    lua_pushboolean(L, a && b && a->pixels && b->pixels && a->height == b->height &&
                           a->width == b->width && a->channels == b->channels &&
                           memcmp(a->pixels, b->pixels, byte_count(a)) == 0);
    return 1;
}

static int picture_tostring(lua_State *L) {
    struct image *im = luaL_checkudata(L, 1, PICTURE_TYPE);
    if (im->pixels) lua_pushfstring(L, "picture %d x %d x %d", im->width, im->height, im->channels);
    else lua_pushliteral(L, "picture (released)");
    return 1;
}

static int is_picture(lua_State *L) {
    lua_pushboolean(L, luaL_testudata(L, 1, PICTURE_TYPE) != NULL);
    return 1;
}

static const luaL_Reg methods[] = {
    {"to_tensor", to_tensor},     {"resize", picture_resize},   {"crop", picture_crop},
    {"convert", picture_convert}, {"copy", picture_copy},       {"png", picture_png},
    {"bytes", picture_bytes},     {"release", picture_release}, {NULL, NULL}};

static const luaL_Reg metamethods[] = {{"__eq", picture_equal},
                                       {"__tostring", picture_tostring},
                                       {"__gc", picture_release},
                                       {"__close", picture_release},
                                       {NULL, NULL}};

const luaL_Reg image_functions[] = {
    {"image_read", read_file},          {"image_decode", decode},    {"image_new", new_image},
    {"image_from_tensor", from_tensor}, {"image_write", write_file}, {"image_line", line},
    {"image_rectangle", rectangle},     {"image_paste", paste},      {"image_text", text},
    {"image_text_size", text_size},     {"is_picture", is_picture},  {NULL, NULL}};

// Sets core.picture_methods in the table at the top.
void open_image(lua_State *L) {
    luaL_newmetatable(L, PICTURE_TYPE);
    luaL_setfuncs(L, metamethods, 0);
    luaL_newlib(L, methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -4, "picture_methods");
    lua_pushcclosure(L, picture_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
