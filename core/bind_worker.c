// Workers in Lua (see worker.h): an object for the server, and three functions for the worker.
#include "bind.h"
#include "mem.h"
#include "sys.h"
#include "worker.h"

#define WORKER_TYPE "giemsa.worker"

static struct worker *check_worker(lua_State *L) { return luaL_checkudata(L, 1, WORKER_TYPE); }

static int *pipe_at(lua_State *L, struct worker *w) {
    static const char *const names[] = {"out", "err", "events", NULL};
    return (int *[]){&w->out, &w->err, &w->events}[luaL_checkoption(L, 2, NULL, names)];
}

// w:fd("out"|"err"|"events"): the descriptor, to be waited for; nil once it is at its end.
static int worker_fd(lua_State *L) {
    int fd = *pipe_at(L, check_worker(L));
    if (fd < 0) return 0;
    lua_pushinteger(L, fd);
    return 1;
}

// w:read("out"|"err"|"events"): the bytes that are there now, "" when there are none; nil at the end.
static int read_pipe(lua_State *L) {
    char bytes[1 << 16];
    ssize_t n = worker_read(pipe_at(L, check_worker(L)), bytes, sizeof bytes);
    if (n < 0) return 0;
    lua_pushlstring(L, bytes, (size_t)n);
    return 1;
}

// w:send(id, bytes): true, or nil and why.
static int send_frame(lua_State *L) {
    size_t size;
    struct worker *w = check_worker(L);
    unsigned id = (unsigned)luaL_checkinteger(L, 2);
    const char *bytes = luaL_checklstring(L, 3, &size);
    if (worker_send(w, id, bytes, size) != 0) return fail_pair(L);
    lua_pushboolean(L, 1);
    return 1;
}

// w:status(): nil while it runs, then its exit code, or 128 + the signal that ended it.
static int get_status(lua_State *L) {
    struct worker *w = check_worker(L);
    if (worker_runs(w)) return 0;
    lua_pushinteger(L, w->status);
    return 1;
}

// w:interrupt(): as Ctrl-C, to the worker and what it started by os.execute and io.popen.
static int interrupt(lua_State *L) {
    worker_interrupt(check_worker(L));
    return 0;
}

// w:interrupts(): how many interrupts were sent or passed on.
static int get_interrupts(lua_State *L) {
    check_worker(L);
    lua_pushinteger(L, worker_interrupts());
    return 1;
}

// w:end_children(): ends what it started so and what ignored the interrupt.
static int end_children(lua_State *L) {
    worker_end_children(check_worker(L));
    return 0;
}

// w:close(): ends it, whatever it does.
static int close_worker(lua_State *L) {
    worker_end(check_worker(L));
    return 0;
}

// core.start_worker(argv [, keeps_interrupts]): the worker; or nil and why. It hears of Ctrl-C unless we keep that.
static int start_worker(lua_State *L) {
    bool keeps = lua_toboolean(L, 2);
    char **argv = push_argv(L, 1);
    struct worker *w = lua_newuserdatauv(L, sizeof *w, 0);
    *w = (struct worker){.requests = -1, .events = -1, .out = -1, .err = -1};
    if (worker_start(w, argv, !keeps) != 0) return fail_pair(L);
    luaL_setmetatable(L, WORKER_TYPE);
    return 1;
}

// ---- the worker itself

// The bytes in the owner on the top of the stack as a string, nothing when there are none.
static int push_owned(lua_State *L, const void *bytes, size_t size) {
    if (!bytes) return 0;
    lua_pushlstring(L, bytes, size);
    free_scratch(L, -2);
    return 1;
}

// core.worker_begin(): true, or nil and why.
static int begin(lua_State *L) {
    if (worker_begin() != 0) return fail_pair(L);
    lua_pushboolean(L, 1);
    return 1;
}

// core.worker_request(): the bytes of the next one, nil when there will be none.
static int request(lua_State *L) {
    size_t size = 0;
    void **owner = push_owner(L);
    *owner = worker_request(&size);
    return push_owned(L, *owner, size);
}

// core.worker_has_request(): whether one has come already.
static int has_request(lua_State *L) {
    lua_pushboolean(L, worker_has_request());
    return 1;
}

// core.worker_event(bytes): returns when the server has it.
static int event(lua_State *L) {
    size_t size;
    const char *bytes = luaL_checklstring(L, 1, &size);
    return worker_event(bytes, size) == 0 ? 0 : raise_error(L);
}

// core.worker_ask(bytes): the server's answer; nil when Ctrl-C came first.
static int question(lua_State *L) {
    size_t size, answer_size = 0;
    const char *bytes = luaL_checklstring(L, 1, &size);
    void **owner = push_owner(L);
    *owner = worker_ask(bytes, size, &answer_size);
    return push_owned(L, *owner, answer_size);
}

const luaL_Reg worker_functions[] = {{"start_worker", start_worker},
                                     {"worker_begin", begin},
                                     {"worker_request", request},
                                     {"worker_has_request", has_request},
                                     {"worker_event", event},
                                     {"worker_ask", question},
                                     {NULL, NULL}};

void open_worker(lua_State *L) {
    static const luaL_Reg methods[] = {{"fd", worker_fd},           {"read", read_pipe},         {"send", send_frame},
                                       {"status", get_status},      {"interrupt", interrupt},    {"interrupts", get_interrupts},
                                       {"end_children", end_children}, {"close", close_worker},
                                       {NULL, NULL}};
    luaL_newmetatable(L, WORKER_TYPE);
    lua_pushcfunction(L, close_worker);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
