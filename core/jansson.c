// require "giemsa.jansson": reads JSON by Jansson, six times as fast as in Lua. A module of its
// own, so that the core needs no Jansson; giemsa.json reads without it where it is not there.
#include <jansson.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <string.h>

#define DOCUMENT_TYPE "giemsa.json document"

enum { MAX_DEPTH = 100 }; // of tables in tables, as in giemsa.json

static bool push_value(lua_State *L, const json_t *value, int null, int depth);

static bool push_object(lua_State *L, const json_t *value, int null, int depth) {
    const char *key;
    json_t *member, *object = (json_t *)value;
    lua_createtable(L, 0, (int)json_object_size(value));
    json_object_foreach(object, key, member) {
        if (!push_value(L, member, null, depth)) return false;
        lua_setfield(L, -2, key);
    }
    return true;
}

static bool push_array(lua_State *L, const json_t *value, int null, int depth) {
    size_t count = json_array_size(value);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        if (!push_value(L, json_array_get(value, i), null, depth)) return false;
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return true;
}

// null: the stack index of what stands for null; depth: how many tables are around. False: too many.
static bool push_value(lua_State *L, const json_t *value, int null, int depth) {
    luaL_checkstack(L, 4, "JSON is nested too deeply");
    switch (json_typeof(value)) {
    case JSON_OBJECT: return depth <= MAX_DEPTH && push_object(L, value, null, depth + 1);
    case JSON_ARRAY: return depth <= MAX_DEPTH && push_array(L, value, null, depth + 1);
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER: lua_pushinteger(L, json_integer_value(value)); break;
    case JSON_REAL: lua_pushnumber(L, json_real_value(value)); break;
    case JSON_TRUE:
    case JSON_FALSE: lua_pushboolean(L, json_is_true(value)); break;
    case JSON_NULL: lua_pushvalue(L, null); break;
    }
    return true;
}

static int document_gc(lua_State *L) {
    json_t **document = lua_touserdata(L, 1);
    json_decref(*document);
    *document = NULL;
    return 0;
}

// jansson.decode(text, null): true and the value, null standing for null; false when Jansson does
// not take the text: it is no JSON, too deep, or holds what only some readers allow (bytes that
// are not UTF-8, integers beyond 64 bits).
static int decode(lua_State *L) {
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    lua_settop(L, 2);
    json_t **document = lua_newuserdatauv(L, sizeof *document, 0); // frees itself if a push raises
    *document = NULL;
    luaL_setmetatable(L, DOCUMENT_TYPE);
    if (!memchr(text, 0, size)) // Jansson skips some zero bytes, which JSON has not
        *document = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    lua_pushboolean(L, 1);
    bool is_taken = *document && push_value(L, *document, 2, 0);
    if (*document) json_decref(*document);
    *document = NULL;
    if (is_taken) return 2;
    lua_pushboolean(L, 0);
    return 1;
}

__attribute__((visibility("default"))) int luaopen_giemsa_jansson(lua_State *L) {
    luaL_newmetatable(L, DOCUMENT_TYPE);
    lua_pushcfunction(L, document_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, ((const luaL_Reg[]){{"decode", decode}, {NULL, NULL}}));
    return 1;
}
