// Folders and links in Lua, as far as building a data set needs them (listing is with the loader).
#include "bind.h"
#include "mem.h"
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int done(lua_State *L) {
    lua_pushboolean(L, 1);
    return 1;
}

// core.make_folder(path): makes it and the folders above it. true, or nil and why.
static int make_folder(lua_State *L) {
    if (sys_make_folder(luaL_checkstring(L, 1)) != 0) return fail_pair(L);
    lua_pushboolean(L, 1);
    return 1;
}

// core.file_info(path): {kind = "file"|"folder"|"other", size = bytes, modified = seconds, id = text}, or nil and why. Two paths
// of the same id lead to one file.
static int file_info(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    struct stat info;
    if (stat(path, &info) != 0) {
        sys_fail("%s: %s", path, strerror(errno));
        return fail_pair(L);
    }
    lua_createtable(L, 0, 4);
    const char *kind = S_ISREG(info.st_mode) ? "file" : S_ISDIR(info.st_mode) ? "folder" : "other";
    lua_pushstring(L, kind), lua_setfield(L, -2, "kind");
    lua_pushinteger(L, (lua_Integer)info.st_size), lua_setfield(L, -2, "size");
    lua_pushinteger(L, (lua_Integer)info.st_mtime), lua_setfield(L, -2, "modified");
    lua_pushfstring(L, "%I:%I", (lua_Integer)info.st_dev, (lua_Integer)info.st_ino), lua_setfield(L, -2, "id");
    return 1;
}

static int copy_bytes(int from, int to) {
    char bytes[1 << 16];
    for (;;) {
        ssize_t n = read(from, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return (int)n;
        for (ssize_t at = 0, w; at < n; at += w) {
            w = write(to, bytes + at, (size_t)(n - at));
            if (w < 0 && errno == EINTR) w = 0;
            if (w < 0) return -1;
        }
    }
}

static int copy_file(const char *from, const char *to) {
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) return sys_fail("cannot read %s: %s", from, strerror(errno));
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (out < 0) {
        sys_fail("cannot write %s: %s", to, strerror(errno));
        close(in);
        return -1;
    }
    bool ok = copy_bytes(in, out) == 0;
    int error = errno;
    close(in);
    if (close(out) != 0 && ok) ok = false, error = errno;
    if (ok) return 0;
    unlink(to); // ours: O_EXCL made it
    return sys_fail("cannot copy %s to %s: %s", from, to, strerror(error));
}

// core.copy_file(from, to, [link]): a copy; with link a second name for the same bytes where the file system can.
// An existing `to` is an error. true, or nil and why.
static int copy(lua_State *L) {
    const char *from = luaL_checkstring(L, 1), *to = luaL_checkstring(L, 2);
    if (lua_toboolean(L, 3) && linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0) return done(L);
    return copy_file(from, to) == 0 ? done(L) : fail_pair(L);
}

// core.symlink(target, path): makes or replaces the link. true, or nil and why.
static int make_link(lua_State *L) {
    const char *target = luaL_checkstring(L, 1), *path = luaL_checkstring(L, 2);
    const char *beside = lua_pushfstring(L, "%s.%d", path, (int)getpid());
    if (symlink(target, beside) == 0 && rename(beside, path) == 0) return done(L);
    sys_fail("cannot make the link %s: %s", path, strerror(errno));
    unlink(beside);
    return fail_pair(L);
}

// core.read_link(path): where a symbolic link leads; nil where there is none.
static int read_link(lua_State *L) {
    char target[4096];
    ssize_t size = readlink(luaL_checkstring(L, 1), target, sizeof target);
    if (size < 0 || size == (ssize_t)sizeof target) return 0;
    lua_pushlstring(L, target, (size_t)size);
    return 1;
}

const luaL_Reg file_functions[] = {{"make_folder", make_folder},
                                   {"file_info", file_info},
                                   {"copy_file", copy},
                                   {"symlink", make_link},
                                   {"read_link", read_link},
                                   {NULL, NULL}};
