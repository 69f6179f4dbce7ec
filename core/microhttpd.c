// require "giemsa.microhttpd": the binding of http.h. A module of its own, so that the core needs no libmicrohttpd.
#include "http.h"

#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#define SERVER_TYPE "giemsa.http.server"
#define REQUEST_TYPE "giemsa.http.request"
#define EXCHANGE_TYPE "giemsa.http.exchange"
#define STREAM_TYPE "giemsa.http.stream"

// ---- requests

// A header that comes twice is one with both values (RFC 9110, 5.3): so a second Host does not hide the first.
static enum MHD_Result add_field(void *of_lua, enum MHD_ValueKind kind, const char *name, const char *value) {
    lua_State *L = of_lua;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (const char *p = name; *p; p++)
        luaL_addchar(&b, (char)(kind == MHD_HEADER_KIND && *p >= 'A' && *p <= 'Z' ? *p + 32 : *p));
    luaL_pushresult(&b);
    lua_pushvalue(L, -1);
    bool is_again = lua_rawget(L, -3) != LUA_TNIL && kind == MHD_HEADER_KIND;
    if (is_again) lua_pushfstring(L, "%s, %s", lua_tostring(L, -1), value ? value : "");
    else lua_pushstring(L, value ? value : "");
    lua_remove(L, -2);
    lua_rawset(L, -3);
    return MHD_YES;
}

static void set_fields(lua_State *L, struct exchange *e, enum MHD_ValueKind kind, const char *name) {
    lua_newtable(L);
    MHD_get_connection_values(e->connection, kind, add_field, L);
    lua_setfield(L, -2, name);
}

// A request for Lua, which holds its exchange now.
static void push_request(lua_State *L, struct exchange *e, struct exchange **held) {
    *held = e;
    lua_newtable(L);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 1);
    luaL_setmetatable(L, REQUEST_TYPE);
    lua_pushstring(L, e->method), lua_setfield(L, -2, "method");
    lua_pushstring(L, e->path), lua_setfield(L, -2, "path");
    lua_pushlstring(L, e->body.size ? e->body.bytes : "", e->body.size), lua_setfield(L, -2, "body");
    exchange_forget_body(e);
    if (!e->connection) return; // gone before anybody looked
    set_fields(L, e, MHD_HEADER_KIND, "headers");
    set_fields(L, e, MHD_GET_ARGUMENT_KIND, "query");
}

static struct exchange *check_request(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_rawgeti(L, 1, 1);
    struct exchange **held = luaL_checkudata(L, -1, EXCHANGE_TYPE);
    lua_pop(L, 1);
    if ((*held)->is_answered) luaL_error(L, "this request was answered already");
    return *held;
}

// The headers of the table at `index`; each must be a string.
static void add_headers(lua_State *L, int index, struct MHD_Response *response) {
    lua_pushnil(L);
    while (lua_next(L, index)) {
        bool is_text = lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING;
        if (!is_text || MHD_add_response_header(response, lua_tostring(L, -2), lua_tostring(L, -1)) != MHD_YES) {
            MHD_destroy_response(response);
            luaL_error(L, "headers are a table of names and values without line breaks");
        }
        lua_pop(L, 1);
    }
}

// request:respond(status, headers, body). A client that has gone gets nothing, which is no failure.
static int respond(lua_State *L) {
    size_t size;
    struct exchange *e = check_request(L);
    unsigned status = (unsigned)luaL_checkinteger(L, 2);
    luaL_argcheck(L, status >= 100 && status < 600, 2, "a status is between 100 and 599");
    luaL_checktype(L, 3, LUA_TTABLE);
    const char *body = luaL_checklstring(L, 4, &size);
    struct MHD_Response *response = MHD_create_response_from_buffer(size, (void *)body, MHD_RESPMEM_MUST_COPY);
    if (!response) return luaL_error(L, "out of memory: a response of %d bytes", (int)size);
    add_headers(L, 3, response);
    exchange_answer(e, status, response);
    return 0;
}

// request:stream(status, headers): a response without end; what is written to it is sent at once.
static int open_stream(lua_State *L) {
    struct exchange *e = check_request(L);
    unsigned status = (unsigned)luaL_checkinteger(L, 2);
    luaL_checktype(L, 3, LUA_TTABLE);
    struct exchange **held = lua_newuserdatauv(L, sizeof *held, 0);
    *held = NULL;
    luaL_setmetatable(L, STREAM_TYPE);
    struct MHD_Response *response = exchange_stream(e);
    if (!response) return luaL_error(L, "out of memory: a response");
    add_headers(L, 3, response);
    e->holders++;
    *held = e;
    exchange_answer(e, status, response);
    return 1;
}

// Nobody answered it.
static int drop_request(lua_State *L) {
    static char text[] = "no answer\n";
    struct exchange **held = luaL_checkudata(L, 1, EXCHANGE_TYPE), *e = *held;
    if (!e) return 0;
    *held = NULL;
    if (!e->is_answered) {
        struct MHD_Response *none = MHD_create_response_from_buffer(sizeof text - 1, text, MHD_RESPMEM_PERSISTENT);
        if (none) exchange_answer(e, MHD_HTTP_INTERNAL_SERVER_ERROR, none);
    }
    exchange_release(e);
    return 0;
}

// ---- streams

// NULL: closed
static struct exchange *check_stream(lua_State *L) {
    struct exchange **held = luaL_checkudata(L, 1, STREAM_TYPE);
    return *held;
}

// stream:write(bytes): true; false when the client has gone, or is so far behind that it is cut off.
static int write_stream(lua_State *L) {
    size_t size;
    struct exchange *e = check_stream(L);
    const char *bytes = luaL_checklstring(L, 2, &size);
    lua_pushboolean(L, e && exchange_write(e, bytes, size));
    return 1;
}

// stream:waiting(): bytes that were written and not sent yet.
static int waiting(lua_State *L) {
    struct exchange *e = check_stream(L);
    lua_pushinteger(L, e ? (lua_Integer)e->body.size : 0);
    return 1;
}

static int stream_is_open(lua_State *L) {
    struct exchange *e = check_stream(L);
    lua_pushboolean(L, e && exchange_is_open(e));
    return 1;
}

// stream:close(): the response ends behind what was written.
static int close_stream(lua_State *L) {
    struct exchange **held = luaL_checkudata(L, 1, STREAM_TYPE), *e = *held;
    if (!e) return 0;
    *held = NULL;
    exchange_end(e);
    exchange_release(e);
    return 0;
}

// ---- the server

static struct http_server *check_server(lua_State *L) {
    struct http_server *s = luaL_checkudata(L, 1, SERVER_TYPE);
    luaL_argcheck(L, s->daemon, 1, "this server was closed");
    return s;
}

static lua_Integer number_option(lua_State *L, const char *name, lua_Integer fallback, lua_Integer most) {
    lua_getfield(L, 1, name);
    lua_Integer value = luaL_optinteger(L, -1, fallback);
    if (value < 0 || value > most) luaL_error(L, "listen: %s must lie between 0 and %I", name, most);
    lua_pop(L, 1);
    return value;
}

// The string stays on the stack.
static const char *string_option(lua_State *L, const char *name, const char *fallback) {
    lua_getfield(L, 1, name);
    return luaL_optstring(L, -1, fallback);
}

static void check_names(lua_State *L) {
    static const char *const names[] = {"address", "port", "body_max", "connections", "idle", "backlog", "certificate", "key"};
    lua_pushnil(L);
    while (lua_next(L, 1)) {
        size_t i = 0, count = sizeof names / sizeof *names;
        while (i < count && (lua_type(L, -2) != LUA_TSTRING || strcmp(names[i], lua_tostring(L, -2)) != 0)) i++;
        if (i == count) luaL_error(L, "listen: unknown option '%s'", luaL_tolstring(L, -2, NULL));
        lua_pop(L, 1);
    }
}

// microhttpd.listen{address = "127.0.0.1", port = 0, body_max = bytes, connections = 64, idle = seconds, backlog = bytes,
// certificate = PEM, key = PEM}: a server; nil and why. See http_options.
static int listen_for(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    check_names(L);
    struct http_options o = {
        .port = (int)number_option(L, "port", 0, 65535),
        .connections = (unsigned)number_option(L, "connections", 64, 100000),
        .idle = (unsigned)number_option(L, "idle", 30, 86400),
        .body_max = (size_t)number_option(L, "body_max", 1 << 20, 1 << 30),
        .backlog = (size_t)number_option(L, "backlog", 8 << 20, 1 << 30),
    };
    o.address = string_option(L, "address", "127.0.0.1");
    o.certificate = string_option(L, "certificate", NULL), o.key = string_option(L, "key", NULL);
    luaL_argcheck(L, !o.certificate == !o.key, 1, "certificate and key go together");
    struct http_server *s = lua_newuserdatauv(L, sizeof *s, 0);
    *s = (struct http_server){0};
    luaL_setmetatable(L, SERVER_TYPE);
    const char *why;
    if (http_listen(s, &o, &why)) return 1;
    lua_pushnil(L);
    lua_pushfstring(L, "cannot listen at %s, port %d: %s", o.address, o.port, why);
    return 2;
}

// server:poll(seconds): requests that have come whole, none too often; waits at most so long for something to happen.
static int poll_server(lua_State *L) {
    struct http_server *s = check_server(L);
    http_turn(s, luaL_checknumber(L, 2));
    lua_newtable(L);
    for (lua_Integer i = 1; s->first; i++) {
        struct exchange **held = lua_newuserdatauv(L, sizeof *held, 0);
        *held = NULL; // there before the request is taken: whatever raises now loses none
        luaL_setmetatable(L, EXCHANGE_TYPE);
        push_request(L, http_next(s), held);
        lua_rawseti(L, -2, i);
    }
    return 1;
}

static int get_port(lua_State *L) {
    lua_pushinteger(L, check_server(L)->port);
    return 1;
}

// server:close(): ends everything. Requests and streams that Lua still holds are those of clients that have gone.
static int close_server(lua_State *L) {
    http_close(luaL_checkudata(L, 1, SERVER_TYPE));
    return 0;
}

static void make_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction collect) {
    luaL_newmetatable(L, name);
    if (collect) lua_pushcfunction(L, collect), lua_setfield(L, -2, "__gc");
    if (collect) lua_pushcfunction(L, collect), lua_setfield(L, -2, "__close");
    if (methods) {
        lua_newtable(L);
        luaL_setfuncs(L, methods, 0);
        lua_setfield(L, -2, "__index");
    }
    lua_pop(L, 1);
}

__attribute__((visibility("default"))) int luaopen_giemsa_microhttpd(lua_State *L) {
    static const luaL_Reg functions[] = {{"listen", listen_for}, {NULL, NULL}};
    static const luaL_Reg server[] = {{"poll", poll_server}, {"port", get_port}, {"close", close_server}, {NULL, NULL}};
    static const luaL_Reg request[] = {{"respond", respond}, {"stream", open_stream}, {NULL, NULL}};
    static const luaL_Reg stream[] = {{"write", write_stream}, {"waiting", waiting}, {"is_open", stream_is_open},
                                      {"close", close_stream}, {NULL, NULL}};
    make_type(L, SERVER_TYPE, server, close_server);
    make_type(L, REQUEST_TYPE, request, NULL);
    make_type(L, EXCHANGE_TYPE, NULL, drop_request);
    make_type(L, STREAM_TYPE, stream, close_stream);
    luaL_newlib(L, functions);
    return 1;
}
