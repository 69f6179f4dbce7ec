// require "giemsa.microhttpd": an HTTP server by libmicrohttpd, as far as a live page needs one. A module of its own, so that
// the core needs no libmicrohttpd. There is one thread, and nothing here waits but poll; a signal ends its waiting.
//
// An exchange is a request and its response. Its connection is suspended from when the request is whole until Lua answers; a
// response without end is suspended whenever all that was written is sent. The connection and Lua each hold the exchange,
// and whichever lets go last frees it.
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER_TYPE "giemsa.http.server"
#define REQUEST_TYPE "giemsa.http.request"
#define EXCHANGE_TYPE "giemsa.http.exchange"
#define STREAM_TYPE "giemsa.http.stream"

enum { HEADER_BYTES = 32 << 10, SEND_BLOCK = 16 << 10 };

struct buffer {
    char *bytes;
    size_t start, size, capacity; // what is in it: size bytes from start on
};

struct exchange {
    int holders;
    struct MHD_Connection *connection; // NULL: the client has gone, or has all
    char *method, *path;
    struct buffer body; // of the request; later what a stream has not sent yet
    struct MHD_Response *response; // given, not queued yet
    unsigned status;
    size_t backlog;
    bool is_suspended, is_answered, is_stream, is_over, has_failed;
    struct exchange *next; // among those that have come
    struct exchange *older, *newer; // among all that have a connection
};

struct server {
    struct MHD_Daemon *daemon; // NULL: closed
    int epoll, port;
    size_t body_max, backlog;
    struct exchange *first, **last; // requests that have come whole
    struct exchange *newest;        // of all that have a connection
    bool is_closing;
};

// ---- buffers and exchanges

static bool append(struct buffer *b, const char *bytes, size_t size) {
    if (size == 0) return true;
    if (b->start && b->start + b->size + size > b->capacity) {
        memmove(b->bytes, b->bytes + b->start, b->size);
        b->start = 0;
    }
    if (b->size + size > b->capacity) {
        size_t capacity = 2 * b->capacity > b->size + size ? 2 * b->capacity : b->size + size;
        char *larger = realloc(b->bytes, capacity);
        if (!larger) return false;
        b->bytes = larger, b->capacity = capacity;
    }
    memcpy(b->bytes + b->start + b->size, bytes, size);
    b->size += size;
    return true;
}

static void empty(struct buffer *b) {
    free(b->bytes);
    *b = (struct buffer){0};
}

static void release(struct exchange *e) {
    if (--e->holders > 0) return;
    empty(&e->body);
    free(e->method);
    free(e->path);
    free(e);
}

// Lets go of a response that was never sent: a stream's holds its exchange, too.
static void drop_response(struct exchange *e) {
    struct MHD_Response *response = e->response;
    e->response = NULL;
    if (response) MHD_destroy_response(response);
}

static void resume(struct exchange *e) {
    if (!e->connection || !e->is_suspended) return;
    e->is_suspended = false;
    MHD_resume_connection(e->connection);
}

static struct exchange *new_exchange(struct MHD_Connection *connection, const char *path, const char *method) {
    struct exchange *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    *e = (struct exchange){.holders = 1, .connection = connection, .method = strdup(method), .path = strdup(path)};
    if (e->method && e->path) return e;
    release(e);
    return NULL;
}

// ---- what libmicrohttpd calls

static enum MHD_Result queue_text(struct MHD_Connection *connection, unsigned status, const char *text) {
    struct MHD_Response *response = MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT);
    if (!response) return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
    MHD_add_response_header(response, "Connection", "close");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) MHD_add_response_header(response, "Allow", "GET, HEAD, POST");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static bool is_known(const char *method) {
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 || strcmp(method, "POST") == 0;
}

static bool is_too_long(const struct server *s, struct MHD_Connection *connection) {
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    return length && strtoull(length, NULL, 10) > s->body_max;
}

static enum MHD_Result begin_exchange(struct server *s, struct MHD_Connection *connection, const char *path,
                                      const char *method, void **of_connection) {
    if (!is_known(method)) return queue_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET, HEAD and POST\n");
    if (is_too_long(s, connection)) return queue_text(connection, 413, "the request is too long\n");
    struct exchange *e = new_exchange(connection, path, method);
    if (!e) return MHD_NO;
    e->backlog = s->backlog;
    e->older = s->newest;
    if (e->older) e->older->newer = e;
    s->newest = e;
    *of_connection = e;
    return MHD_YES;
}

// Called at the head of a request, for each piece of its body, at its end, and again when it is resumed with its answer.
static enum MHD_Result take(void *of_server, struct MHD_Connection *connection, const char *path, const char *method,
                            const char *version, const char *data, size_t *size, void **of_connection) {
    (void)version;
    struct server *s = of_server;
    struct exchange *e = *of_connection;
    if (s->is_closing) return MHD_NO;
    if (!e) return begin_exchange(s, connection, path, method, of_connection);
    if (*size) {
        if (e->body.size + *size > s->body_max || !append(&e->body, data, *size)) return MHD_NO;
        *size = 0;
        return MHD_YES;
    }
    if (e->response) {
        enum MHD_Result result = MHD_queue_response(connection, e->status, e->response);
        drop_response(e);
        return result;
    }
    if (e->is_suspended) return MHD_YES;
    e->is_suspended = true;
    MHD_suspend_connection(connection);
    e->holders++;
    e->next = NULL;
    *s->last = e;
    s->last = &e->next;
    return MHD_YES;
}

static void complete(void *of_server, struct MHD_Connection *connection, void **of_connection,
                     enum MHD_RequestTerminationCode code) {
    (void)connection, (void)code;
    struct server *s = of_server;
    struct exchange *e = *of_connection;
    if (!e) return;
    if (e->newer) e->newer->older = e->older;
    else s->newest = e->older;
    if (e->older) e->older->newer = e->newer;
    e->connection = NULL;
    *of_connection = NULL;
    drop_response(e);
    release(e);
}

static ssize_t send_more(void *of_stream, uint64_t position, char *out, size_t room) {
    (void)position;
    struct exchange *e = of_stream;
    struct buffer *b = &e->body;
    if (e->has_failed) return MHD_CONTENT_READER_END_WITH_ERROR;
    if (b->size == 0) {
        if (e->is_over) return MHD_CONTENT_READER_END_OF_STREAM;
        e->is_suspended = true;
        MHD_suspend_connection(e->connection);
        return 0;
    }
    size_t size = b->size < room ? b->size : room;
    memcpy(out, b->bytes + b->start, size);
    b->start += size, b->size -= size;
    if (b->size == 0) empty(b);
    return (ssize_t)size;
}

static void end_stream(void *of_stream) { release(of_stream); }

// ---- requests in Lua

static enum MHD_Result add_field(void *of_lua, enum MHD_ValueKind kind, const char *name, const char *value) {
    lua_State *L = of_lua;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (const char *p = name; *p; p++)
        luaL_addchar(&b, (char)(kind == MHD_HEADER_KIND && *p >= 'A' && *p <= 'Z' ? *p + 32 : *p));
    luaL_pushresult(&b);
    lua_pushstring(L, value ? value : "");
    lua_rawset(L, -3);
    return MHD_YES;
}

static void set_fields(lua_State *L, struct exchange *e, enum MHD_ValueKind kind, const char *name) {
    lua_newtable(L);
    MHD_get_connection_values(e->connection, kind, add_field, L);
    lua_setfield(L, -2, name);
}

// Takes the first request that has come; Lua holds it now.
static struct exchange *take_first(struct server *s) {
    struct exchange *e = s->first;
    s->first = e->next;
    if (!s->first) s->last = &s->first;
    return e;
}

static void push_request(lua_State *L, struct server *s) {
    struct exchange **held = lua_newuserdatauv(L, sizeof *held, 0);
    *held = NULL;
    luaL_setmetatable(L, EXCHANGE_TYPE);
    struct exchange *e = *held = take_first(s);
    lua_newtable(L);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 1);
    luaL_setmetatable(L, REQUEST_TYPE);
    lua_pushstring(L, e->method), lua_setfield(L, -2, "method");
    lua_pushstring(L, e->path), lua_setfield(L, -2, "path");
    lua_pushlstring(L, e->body.size ? e->body.bytes : "", e->body.size), lua_setfield(L, -2, "body");
    empty(&e->body);
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

static void answer(struct exchange *e, unsigned status, struct MHD_Response *response) {
    e->status = status, e->response = response, e->is_answered = true;
    if (e->connection) resume(e);
    else drop_response(e);
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
    answer(e, status, response);
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
    e->holders++; // the response's
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, SEND_BLOCK, send_more, e, end_stream);
    if (!response) {
        release(e);
        return luaL_error(L, "out of memory: a response");
    }
    add_headers(L, 3, response);
    e->holders++;
    *held = e;
    e->is_stream = true;
    if (e->connection) MHD_set_connection_option(e->connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
    answer(e, status, response);
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
        if (none) answer(e, MHD_HTTP_INTERNAL_SERVER_ERROR, none);
    }
    release(e);
    return 0;
}

// ---- streams

static struct exchange *check_stream(lua_State *L) {
    struct exchange **held = luaL_checkudata(L, 1, STREAM_TYPE);
    return *held;
}

static bool is_open(const struct exchange *e) { return e && e->connection && !e->is_over && !e->has_failed; }

// stream:write(bytes): true; false when the client has gone, or is so far behind that it is cut off.
static int write_stream(lua_State *L) {
    size_t size;
    struct exchange *e = check_stream(L);
    const char *bytes = luaL_checklstring(L, 2, &size);
    bool ok = is_open(e);
    if (ok && (e->body.size + size > e->backlog || !append(&e->body, bytes, size))) {
        e->has_failed = true;
        ok = false;
    }
    if (e && e->is_stream) resume(e);
    lua_pushboolean(L, ok);
    return 1;
}

// stream:waiting(): bytes that were written and not sent yet.
static int waiting(lua_State *L) {
    struct exchange *e = check_stream(L);
    lua_pushinteger(L, e ? (lua_Integer)e->body.size : 0);
    return 1;
}

static int stream_is_open(lua_State *L) {
    lua_pushboolean(L, is_open(check_stream(L)));
    return 1;
}

// stream:close(): the response ends behind what was written.
static int close_stream(lua_State *L) {
    struct exchange **held = luaL_checkudata(L, 1, STREAM_TYPE), *e = *held;
    if (!e) return 0;
    *held = NULL;
    e->is_over = true;
    resume(e);
    release(e);
    return 0;
}

// ---- the server

static struct server *check_server(lua_State *L) {
    struct server *s = luaL_checkudata(L, 1, SERVER_TYPE);
    luaL_argcheck(L, s->daemon, 1, "this server was closed");
    return s;
}

// nil, and why
static int fail(lua_State *L, const char *message) {
    lua_pushnil(L);
    lua_pushstring(L, message);
    return 2;
}

// A socket that listens; -1 and *why.
static int listen_at(const char *address, int port, const char **why) {
    char service[12];
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    snprintf(service, sizeof service, "%d", port);
    int status = getaddrinfo(address, service, &wanted, &found);
    if (status != 0) return *why = gai_strerror(status), -1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 64) != 0) {
        *why = strerror(errno);
        if (fd >= 0) close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static int port_of(int fd) {
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    char service[12] = "0";
    if (getsockname(fd, (struct sockaddr *)&at, &size) == 0)
        getnameinfo((struct sockaddr *)&at, size, NULL, 0, service, sizeof service, NI_NUMERICSERV);
    return atoi(service);
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

static struct MHD_Daemon *start_daemon(struct server *s, int fd, unsigned connections, unsigned idle, const char *certificate,
                                       const char *key) {
    struct MHD_OptionItem options[8] = {
        {MHD_OPTION_LISTEN_SOCKET, fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)connections, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)idle, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADER_BYTES, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)complete, s},
    };
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
    int n = 5;
    if (certificate) {
        flags |= MHD_USE_TLS;
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)certificate};
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)key};
    }
    options[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    return MHD_start_daemon(flags, 0, NULL, NULL, take, s, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

// microhttpd.listen{address = "127.0.0.1", port = 0, body_max = bytes, connections = 64, idle = seconds, backlog = bytes,
// certificate = PEM, key = PEM}: a server; nil and why. port 0: one that is free. body_max: of a request. idle: a connection on
// which nothing happens for so long is closed, but for streams. backlog: of a stream, see write.
static int listen_for(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    check_names(L);
    int port = (int)number_option(L, "port", 0, 65535);
    unsigned connections = (unsigned)number_option(L, "connections", 64, 100000);
    unsigned idle = (unsigned)number_option(L, "idle", 30, 86400);
    size_t body_max = (size_t)number_option(L, "body_max", 1 << 20, 1 << 30);
    size_t backlog = (size_t)number_option(L, "backlog", 8 << 20, 1 << 30);
    const char *address = string_option(L, "address", "127.0.0.1");
    const char *certificate = string_option(L, "certificate", NULL), *key = string_option(L, "key", NULL), *why = "";
    luaL_argcheck(L, !certificate == !key, 1, "certificate and key go together");
    if (certificate && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return fail(L, "this libmicrohttpd was built without TLS");
    int fd = listen_at(address, port, &why);
    if (fd < 0) return fail(L, lua_pushfstring(L, "cannot listen at %s, port %d: %s", address, port, why));
    struct server *s = lua_newuserdatauv(L, sizeof *s, 0);
    *s = (struct server){.body_max = body_max, .backlog = backlog, .port = port_of(fd)};
    s->last = &s->first;
    luaL_setmetatable(L, SERVER_TYPE);
    s->daemon = start_daemon(s, fd, connections, idle, certificate, key);
    if (!s->daemon) {
        close(fd);
        return fail(L, certificate ? "cannot serve: the certificate or its key cannot be used" : "cannot start the server");
    }
    s->epoll = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    return 1;
}

static void wait_for_clients(struct server *s, double seconds) {
    MHD_UNSIGNED_LONG_LONG most;
    if (MHD_get_timeout(s->daemon, &most) == MHD_YES && (double)most < seconds * 1000) seconds = (double)most / 1000;
    poll(&(struct pollfd){s->epoll, POLLIN, 0}, 1, (int)(seconds * 1000));
}

// server:poll(seconds): requests that have come whole, none too often; waits at most so long for something to happen.
static int poll_server(lua_State *L) {
    struct server *s = check_server(L);
    double seconds = luaL_checknumber(L, 2);
    MHD_run(s->daemon); // what was answered or written since then: nothing else wakes the waiting for it
    if (!s->first) {
        wait_for_clients(s, seconds);
        MHD_run(s->daemon);
    }
    lua_newtable(L);
    for (lua_Integer i = 1; s->first; i++) {
        push_request(L, s);
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
    struct server *s = luaL_checkudata(L, 1, SERVER_TYPE);
    struct MHD_Daemon *daemon = s->daemon;
    if (!daemon) return 0;
    s->daemon = NULL;
    s->is_closing = true;
    for (struct exchange *e = s->newest; e; e = e->older) e->has_failed = true, resume(e);
    MHD_run(daemon); // it must not be stopped with connections that are suspended
    MHD_stop_daemon(daemon);
    while (s->first) release(take_first(s));
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
