// Enclosed processes in Lua (see sandbox.h). Descriptors are plain numbers here: only giemsa.grade uses these.
#include "bind.h"
#include "mem.h"
#include "sandbox.h"
#include "sys.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int done(lua_State *L, int status) {
    if (status != 0) return fail_pair(L);
    lua_pushboolean(L, 1);
    return 1;
}

// core.sandbox_check(): true, or nil and what is missing.
static int check(lua_State *L) { return done(L, sandbox_check()); }

// core.sandbox_enter({readable paths}, writable folder, bytes of memory, bytes of a file, seconds of the processor): true; nil and
// why, and then the process must end.
static int enter(lua_State *L) {
    struct sandbox s = {.readable = (const char *const *)push_argv(L, 1), .writable = luaL_checkstring(L, 2),
                        .memory = (size_t)luaL_checkinteger(L, 3), .file_bytes = (size_t)luaL_checkinteger(L, 4),
                        .seconds = (unsigned)luaL_checkinteger(L, 5)};
    return done(L, sandbox_enter(&s));
}

// core.fork(fd, ...): 0 in the child, which keeps these descriptors; its number in the parent; or nil and why.
static int fork_child(lua_State *L) {
    enum { MOST = 8 };
    int keep[MOST + 1], count = lua_gettop(L);
    luaL_argcheck(L, count <= MOST, MOST + 1, "too many descriptors");
    for (int i = 0; i < count; i++) keep[i] = (int)luaL_checkinteger(L, i + 1);
    keep[count] = -1;
    pid_t child = sandbox_fork(keep);
    if (child < 0) return fail_pair(L);
    lua_pushinteger(L, child);
    return 1;
}

// core.exec(argv, fd): does not return; or nil and why.
static int exec_program(lua_State *L) { return done(L, sandbox_exec(push_argv(L, 1), (int)luaL_checkinteger(L, 2))); }

// core.exit_now(code): without closing anything, as a forked child must.
static int exit_now(lua_State *L) { _exit((int)luaL_optinteger(L, 1, 0)); }

// core.kill_session(pid): a child of core.fork, or one of its children; it may be gone already.
static int kill_session(lua_State *L) {
    pid_t pid = (pid_t)luaL_checkinteger(L, 1);
    luaL_argcheck(L, pid > 1, 1, "not the number of a child");
    kill(pid, SIGKILL);
    kill(-pid, SIGKILL);
    return 0;
}

// core.wait_child(pid): waits; its exit code, or 128 + the signal.
static int wait_child(lua_State *L) {
    int status = 0;
    while (waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0) < 0)
        if (errno != EINTR) return 0;
    lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 1;
}

// core.socket_pair(): two connected descriptors; or nil and why.
static int socket_pair(lua_State *L) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return sys_fail("socketpair: %s", strerror(errno)), fail_pair(L);
    lua_pushinteger(L, ends[0]);
    lua_pushinteger(L, ends[1]);
    return 2;
}

// core.close_fd(fd)
static int close_fd(lua_State *L) {
    close((int)luaL_checkinteger(L, 1));
    return 0;
}

// core.send_message(fd, bytes, seconds [, fd that goes along]): true, or nil and "closed" or "timed out".
static int send_message(lua_State *L) {
    size_t size;
    const char *bytes = luaL_checklstring(L, 2, &size);
    return done(L, message_send((int)luaL_checkinteger(L, 1), bytes, size, (int)luaL_optinteger(L, 4, -1), luaL_checknumber(L, 3)));
}

// core.receive_message(fd, seconds, most bytes [, takes a descriptor]): bytes and the descriptor; or nil and "closed", "timed
// out", "too long".
static int receive_message(lua_State *L) {
    size_t size = 0;
    int passed = -1, fd = (int)luaL_checkinteger(L, 1), takes = lua_toboolean(L, 4);
    double seconds = luaL_checknumber(L, 2);
    size_t most = (size_t)luaL_checkinteger(L, 3);
    void **owner = push_owner(L);
    *owner = message_receive(fd, &size, most, takes ? &passed : NULL, seconds);
    if (!*owner) return fail_pair(L);
    lua_pushlstring(L, *owner, size);
    free_scratch(L, -2);
    if (passed < 0) return 1;
    lua_pushinteger(L, passed);
    return 2;
}

// core.wait_readable({fd, ...}, seconds): the places in the list that have something to read or were closed.
static int wait_readable(lua_State *L) {
    enum { MOST = 256 };
    struct pollfd fds[MOST];
    int count = (int)lua_rawlen(L, 1), found = 0;
    luaL_argcheck(L, count <= MOST, 1, "too many descriptors");
    for (int i = 0; i < count; i++) {
        lua_rawgeti(L, 1, i + 1);
        fds[i] = (struct pollfd){(int)lua_tointeger(L, -1), POLLIN, 0};
        lua_pop(L, 1);
    }
    poll(fds, (nfds_t)count, (int)(luaL_checknumber(L, 2) * 1000));
    lua_newtable(L);
    for (int i = 0; i < count; i++) {
        if (!fds[i].revents) continue;
        lua_pushinteger(L, i + 1);
        lua_rawseti(L, -2, ++found);
    }
    return 1;
}

// core.folder_usage(path): bytes, and entries; or nil and why.
static int folder_usage(lua_State *L) {
    size_t bytes, entries;
    if (sandbox_usage(luaL_checkstring(L, 1), &bytes, &entries) != 0) return fail_pair(L);
    lua_pushinteger(L, (lua_Integer)bytes);
    lua_pushinteger(L, (lua_Integer)entries);
    return 2;
}

// core.real_path(path): the absolute path without links of what is there; or nil and why.
static int real_path(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    char real[PATH_MAX]; // no memory to lose when Lua raises
    if (!realpath(path, real)) return sys_fail("%s: %s", path, strerror(errno)), fail_pair(L);
    lua_pushstring(L, real);
    return 1;
}

// core.make_scratch(): the path of a new folder; or nil and why.
static int make_scratch(lua_State *L) {
    char path[SCRATCH_PATH];
    if (sandbox_make_scratch(path) != 0) return fail_pair(L);
    lua_pushstring(L, path);
    return 1;
}

// core.remove_tree(folder): true, or nil and why.
static int remove_tree(lua_State *L) { return done(L, sandbox_remove_tree(luaL_checkstring(L, 1))); }

// core.read_ordinary(path, most bytes): the bytes of an ordinary file; or nil and why.
static int read_ordinary(lua_State *L) {
    size_t size = 0;
    const char *path = luaL_checkstring(L, 1);
    size_t most = (size_t)luaL_checkinteger(L, 2);
    void **owner = push_owner(L);
    *owner = sandbox_read_file(path, &size, most);
    if (!*owner) return fail_pair(L);
    lua_pushlstring(L, *owner, size);
    free_scratch(L, -2);
    return 1;
}

const luaL_Reg sandbox_functions[] = {{"make_scratch", make_scratch}, {"remove_tree", remove_tree},
                                      {"read_ordinary", read_ordinary},
                                      {"sandbox_check", check},         {"sandbox_enter", enter},
                                      {"fork", fork_child},             {"exec", exec_program},
                                      {"exit_now", exit_now},           {"kill_session", kill_session},
                                      {"wait_child", wait_child},       {"socket_pair", socket_pair},
                                      {"close_fd", close_fd},           {"send_message", send_message},
                                      {"receive_message", receive_message}, {"wait_readable", wait_readable},
                                      {"folder_usage", folder_usage},   {"real_path", real_path},
                                      {NULL, NULL}};
