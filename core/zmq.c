// require "giemsa.zmq": ZeroMQ's sockets, as far as a Jupyter kernel needs them, by libzmq. A module of its own, so that the
// core needs no libzmq. Nothing here waits but poll, and a signal ends its waiting.
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <string.h>
#include <zmq.h>

#define SOCKET_TYPE "giemsa.zmq"

enum { LINGER_MS = 1000, QUEUE_MAX = 100000, POLLED_MAX = 16 };
static const int64_t MESSAGE_MAX = 256 << 20; // bytes of one frame; who sends more is cut off

static void *context; // of the process

static void *check_socket(lua_State *L, int arg) {
    void **socket = luaL_checkudata(L, arg, SOCKET_TYPE);
    luaL_argcheck(L, *socket, arg, "this socket was closed");
    return *socket;
}

// nil, and what failed with the reason
static int fail(lua_State *L, const char *what) {
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", what, zmq_strerror(zmq_errno()));
    return 2;
}

static int close_socket(lua_State *L) {
    void **socket = luaL_checkudata(L, 1, SOCKET_TYPE);
    if (*socket) zmq_close(*socket);
    *socket = NULL;
    return 0;
}

static void set_int(void *socket, int option, int value) { zmq_setsockopt(socket, option, &value, sizeof value); }

// zmq.bind("router"|"xpub"|"rep", "tcp://127.0.0.1:5555"): the socket; or nil and why.
static int bind(lua_State *L) {
    static const char *const names[] = {"router", "xpub", "rep", NULL};
    int kind = (int[]){ZMQ_ROUTER, ZMQ_XPUB, ZMQ_REP}[luaL_checkoption(L, 1, NULL, names)];
    const char *endpoint = luaL_checkstring(L, 2);
    if (!context) context = zmq_ctx_new();
    void **socket = lua_newuserdatauv(L, sizeof *socket, 0);
    *socket = NULL;
    luaL_setmetatable(L, SOCKET_TYPE);
    *socket = context ? zmq_socket(context, kind) : NULL;
    if (!*socket) return fail(L, "cannot make a ZeroMQ socket");
    set_int(*socket, ZMQ_LINGER, LINGER_MS);
    set_int(*socket, ZMQ_SNDHWM, QUEUE_MAX); // beyond it an XPUB socket drops messages
    set_int(*socket, ZMQ_RCVHWM, QUEUE_MAX);
    zmq_setsockopt(*socket, ZMQ_MAXMSGSIZE, &MESSAGE_MAX, sizeof MESSAGE_MAX);
    if (kind == ZMQ_ROUTER) set_int(*socket, ZMQ_ROUTER_HANDOVER, 1); // a client that comes back
    if (kind == ZMQ_XPUB) set_int(*socket, ZMQ_XPUB_VERBOSE, 1); // tells of every subscriber
    if (zmq_bind(*socket, endpoint) != 0) return fail(L, lua_pushfstring(L, "cannot listen at %s", endpoint));
    return 1;
}

// s:send(frames): true; or nil and why. A client that is gone gets nothing, which is no failure.
static int send_frames(lua_State *L) {
    void *socket = check_socket(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Integer count = (lua_Integer)lua_rawlen(L, 2);
    for (lua_Integer i = 1; i <= count; i++) {
        size_t size;
        lua_rawgeti(L, 2, i);
        const char *bytes = luaL_checklstring(L, -1, &size);
        int flags = ZMQ_DONTWAIT | (i < count ? ZMQ_SNDMORE : 0), status;
        do status = zmq_send(socket, bytes, size, flags);
        while (status < 0 && zmq_errno() == EINTR);
        if (status < 0) return fail(L, "cannot send a message");
        lua_pop(L, 1);
    }
    lua_pushboolean(L, 1);
    return 1;
}

struct received {
    zmq_msg_t frame;
    bool is_open;
};

static int close_received(lua_State *L) {
    struct received *r = lua_touserdata(L, 1);
    if (r->is_open) zmq_msg_close(&r->frame);
    r->is_open = false;
    return 0;
}

// s:receive(): the frames of the next message; nil when none is there.
static int receive(lua_State *L) {
    void *socket = check_socket(L, 1);
    struct received *r = lua_newuserdatauv(L, sizeof *r, 0); // closes itself if a push raises
    zmq_msg_init(&r->frame);
    r->is_open = true;
    luaL_setmetatable(L, SOCKET_TYPE " frame");
    lua_newtable(L);
    lua_Integer count = 0;
    do {
        int size;
        do size = zmq_msg_recv(&r->frame, socket, ZMQ_DONTWAIT);
        while (size < 0 && zmq_errno() == EINTR);
        if (size < 0) return 0;
        lua_pushlstring(L, zmq_msg_data(&r->frame), zmq_msg_size(&r->frame));
        lua_rawseti(L, -2, ++count);
    } while (zmq_msg_more(&r->frame));
    zmq_msg_close(&r->frame);
    r->is_open = false;
    return 1;
}

// zmq.poll({sockets and descriptors}, seconds): a table of those places that have something to be read; empty when the time is
// over, or a signal came.
static int poll(lua_State *L) {
    zmq_pollitem_t items[POLLED_MAX] = {{0}};
    luaL_checktype(L, 1, LUA_TTABLE);
    int count = (int)lua_rawlen(L, 1);
    luaL_argcheck(L, count <= POLLED_MAX, 1, "too many");
    for (int i = 0; i < count; i++) {
        items[i].events = ZMQ_POLLIN;
        if (lua_rawgeti(L, 1, i + 1) == LUA_TNUMBER) items[i].fd = (int)lua_tointeger(L, -1);
        else items[i].socket = check_socket(L, -1);
        lua_pop(L, 1);
    }
    int ready = zmq_poll(items, count, (long)(luaL_checknumber(L, 2) * 1000));
    lua_createtable(L, 0, ready > 0 ? ready : 0);
    for (int i = 0; i < count && ready > 0; i++) {
        if (!items[i].revents) continue;
        lua_pushboolean(L, 1);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

// zmq.finish(): waits until all that was sent is out, a second at most. The sockets must be closed.
static int finish(lua_State *L) {
    (void)L;
    while (context && zmq_ctx_term(context) != 0 && zmq_errno() == EINTR) {}
    context = NULL;
    return 0;
}

static const luaL_Reg methods[] = {{"send", send_frames}, {"receive", receive}, {"close", close_socket}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"bind", bind}, {"poll", poll}, {"finish", finish}, {NULL, NULL}};

static void make_type(lua_State *L, const char *name, lua_CFunction gc) {
    luaL_newmetatable(L, name);
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
}

__attribute__((visibility("default"))) int luaopen_giemsa_zmq(lua_State *L) {
    make_type(L, SOCKET_TYPE " frame", close_received);
    make_type(L, SOCKET_TYPE, close_socket);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
