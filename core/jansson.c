// require "giemsa.jansson": reads JSON by Jansson, six times as fast as in Lua. A module of its
// own, so that the core needs no Jansson; giemsa.json reads without it where it is not there.
#include <jansson.h>
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#define DOCUMENT_TYPE "giemsa.json document"

static void push_value(lua_State *L, const json_t *value, int null);

static void push_object(lua_State *L, const json_t *value, int null) {
    const char *key;
    json_t *member, *object = (json_t *)value;
    lua_createtable(L, 0, (int)json_object_size(value));
    json_object_foreach(object, key, member) {
        push_value(L, member, null);
        lua_setfield(L, -2, key);
    }
}

static void push_array(lua_State *L, const json_t *value, int null) {
    size_t count = json_array_size(value);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        push_value(L, json_array_get(value, i), null);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

// null: the stack index of what stands for null. Jansson takes nothing nested deeper than 2048.
static void push_value(lua_State *L, const json_t *value, int null) {
    luaL_checkstack(L, 4, "JSON is nested too deeply");
    switch (json_typeof(value)) {
    case JSON_OBJECT: push_object(L, value, null); break;
    case JSON_ARRAY: push_array(L, value, null); break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER: lua_pushinteger(L, json_integer_value(value)); break;
    case JSON_REAL: lua_pushnumber(L, json_real_value(value)); break;
    case JSON_TRUE:
    case JSON_FALSE: lua_pushboolean(L, json_is_true(value)); break;
    case JSON_NULL: lua_pushvalue(L, null); break;
    }
}

static int document_gc(lua_State *L) {
    json_t **document = lua_touserdata(L, 1);
    json_decref(*document);
    *document = NULL;
    return 0;
}

// jansson.decode(text, null): true and the value, null standing for null; false when Jansson does
// not take the text: it is no JSON, or holds what only some readers allow (bytes that are not
// UTF-8, integers beyond 64 bits).
static int decode(lua_State *L) {
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    lua_settop(L, 2);
    json_t **document = lua_newuserdatauv(L, sizeof *document, 0); // frees itself if a push raises
    *document = NULL;
    luaL_setmetatable(L, DOCUMENT_TYPE);
    if (!memchr(text, 0, size)) // Jansson skips some zero bytes, which JSON has not
        *document = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    lua_pushboolean(L, *document != NULL);
    if (!*document) return 1;
    push_value(L, *document, 2);
    json_decref(*document);
    *document = NULL;
    return 2;
}

__attribute__((visibility("default"))) int luaopen_giemsa_jansson(lua_State *L) {
    luaL_newmetatable(L, DOCUMENT_TYPE);
    lua_pushcfunction(L, document_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, ((const luaL_Reg[]){{"decode", decode}, {NULL, NULL}}));
    return 1;
}
