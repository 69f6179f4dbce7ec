// require "giemsa.zip": reading zip archives, by libzip. A module of its own, so that the core needs no libzip.
// An archive is not trusted: a name must stay inside the folder it is unpacked to, an entry's size is bounded before
// memory or disk is taken, and what comes out must have the declared size and checksum.
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

#define ZIP_TYPE "giemsa.zip"

enum { PATH_LIMIT = 4096 };
static const lua_Integer DEFAULT_LIMIT = 256 << 20; // bytes of one entry

static zip_t *check_zip(lua_State *L) {
    zip_t **z = luaL_checkudata(L, 1, ZIP_TYPE);
    luaL_argcheck(L, *z, 1, "this archive was closed");
    return *z;
}

// nil and a message
__attribute__((format(printf, 2, 3))) static int fail(lua_State *L, const char *format, ...) {
    char message[PATH_LIMIT + 512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    lua_pushnil(L);
    lua_pushstring(L, message);
    return 2;
}

static bool is_no_archive(int code) {
#ifdef ZIP_ER_TRUNCATED_ZIP // libzip 1.11 tells half an archive from none
    if (code == ZIP_ER_TRUNCATED_ZIP) return true;
#endif
    return code == ZIP_ER_NOZIP;
}

// zip.open(path): the archive, or nil and why.
static int zip_module_open(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    zip_t **z = lua_newuserdatauv(L, sizeof *z, 0);
    *z = NULL;
    luaL_setmetatable(L, ZIP_TYPE);
    int code;
    *z = zip_open(path, ZIP_RDONLY, &code);
    if (*z) return 1;
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    int results = is_no_archive(code)      ? fail(L, "%s: not a zip archive, or only the beginning of one", path)
                  : code == ZIP_ER_NOENT ? fail(L, "cannot read %s: %s", path, strerror(ENOENT))
                                         : fail(L, "cannot read %s: %s", path, zip_error_strerror(&error));
    zip_error_fini(&error);
    return results;
}

static int archive_close(lua_State *L) {
    zip_t **z = luaL_checkudata(L, 1, ZIP_TYPE);
    if (*z) zip_discard(*z);
    *z = NULL;
    return 0;
}

// Why an entry's name cannot be a path below a folder; NULL when it can.
static const char *unsafe(const char *name) {
    if (!*name) return "the name is empty";
    if (*name == '/') return "the name is an absolute path";
    if (strlen(name) >= PATH_LIMIT / 2) return "the name is too long";
    for (const char *p = name; *p; p++) {
        if ((unsigned char)*p < 32 || *p == 127) return "the name has control characters";
        if (*p == '\\') return "the name has a backslash";
    }
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        size_t length = strcspn(part, "/");
        if (length == 2 && memcmp(part, "..", 2) == 0) return "the name leads out of the folder (..)";
    }
    return NULL;
}

// zip.safe_name(name): true, or nil and why it could not be unpacked.
static int safe_name(lua_State *L) {
    const char *why = unsafe(luaL_checkstring(L, 1));
    if (why) return fail(L, "%s: %s", lua_tostring(L, 1), why);
    lua_pushboolean(L, 1);
    return 1;
}

// a:entries(): {{name=, size=, index=}, ...} of the files (no folders), in the archive's order; any
// of these names may be unsafe.
static int entries(lua_State *L) {
    zip_t *z = check_zip(L);
    zip_int64_t n = zip_get_num_entries(z, 0);
    lua_Integer count = 0;
    lua_newtable(L);
    for (zip_int64_t i = 0; i < n; i++) {
        zip_stat_t info;
        if (zip_stat_index(z, (zip_uint64_t)i, 0, &info) != 0 || !info.name) continue;
        size_t length = strlen(info.name);
        if (length > 0 && info.name[length - 1] == '/') continue;
        lua_createtable(L, 0, 3);
        lua_pushlstring(L, info.name, length), lua_setfield(L, -2, "name");
        lua_pushinteger(L, (lua_Integer)info.size), lua_setfield(L, -2, "size");
        lua_pushinteger(L, (lua_Integer)i + 1), lua_setfield(L, -2, "index");
        lua_rawseti(L, -2, ++count);
    }
    return 1;
}

static int archive_length(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)zip_get_num_entries(check_zip(L), 0));
    return 1;
}

// The entry at argument 2 (a name, or an index from 1) within the limit at argument `limit_arg`. 0,
// or the results of fail.
static int find_entry(lua_State *L, zip_t *z, int limit_arg, zip_stat_t *info) {
    lua_Integer limit = luaL_optinteger(L, limit_arg, DEFAULT_LIMIT);
    int found;
    if (lua_type(L, 2) == LUA_TNUMBER) found = zip_stat_index(z, (zip_uint64_t)(luaL_checkinteger(L, 2) - 1), 0, info);
    else found = zip_stat(z, luaL_checkstring(L, 2), 0, info);
    if (found != 0) return fail(L, "%s: no such entry in the archive", luaL_tolstring(L, 2, NULL));
    const zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_INDEX | ZIP_STAT_SIZE;
    if ((info->valid & needed) != needed)
        return fail(L, "%s: the archive does not say how large this entry is",
                    luaL_tolstring(L, 2, NULL));
    if (info->size > (zip_uint64_t)limit)
        return fail(L, "%s: %llu bytes unpacked is more than the %lld allowed", info->name,
                    (unsigned long long)info->size, (long long)limit);
    return 0;
}

// The next bytes of an entry of which `left` are still due: their number, 0 at the right end, -1 (message in *why) when
// the data is damaged or does not end where the archive says.
static zip_int64_t read_some(zip_file_t *file, void *bytes, size_t room, zip_uint64_t left, const char **why) {
    zip_int64_t n = zip_fread(file, bytes, room); // at the end it compares the checksum
    if (n < 0) *why = zip_error_strerror(zip_file_get_error(file));
    else if ((zip_uint64_t)n > left) *why = "longer than the archive says", n = -1;
    else if (n == 0 && left > 0) *why = "shorter than the archive says", n = -1;
    return n;
}

// a:read(name or index, [limit]): the bytes, or nil and why.
static int archive_read(lua_State *L) {
    zip_t *z = check_zip(L);
    zip_stat_t info;
    int failed = find_entry(L, z, 3, &info);
    if (failed) return failed;
    luaL_Buffer buffer; // first: whatever raises must find no open entry
    char *bytes = luaL_buffinitsize(L, &buffer, (size_t)info.size + 1); // one more, to see an entry that is too long
    zip_file_t *file = zip_fopen_index(z, info.index, 0);
    if (!file) return fail(L, "%s: cannot unpack: %s", info.name, zip_strerror(z));
    const char *why = NULL;
    size_t have = 0;
    for (zip_int64_t n = 1; n > 0; have += (size_t)(n > 0 ? n : 0))
        n = read_some(file, bytes + have, (size_t)info.size + 1 - have, info.size - have, &why);
    char reason[256];
    if (why) snprintf(reason, sizeof reason, "%s", why); // closing the entry frees it
    zip_fclose(file);
    if (why) return fail(L, "%s: damaged: %s", info.name, reason);
    luaL_pushresultsize(&buffer, have);
    return 1;
}

// Makes the folders of path, which has a '/' after its first `base` characters.
static int make_folders(char *path, size_t base) {
    for (char *p = strchr(path + base, '/'); p; p = strchr(p + 1, '/')) {
        *p = 0;
        int result = mkdir(path, 0777);
        *p = '/';
        if (result != 0 && errno != EEXIST) return -1;
    }
    return 0;
}

static int write_entry(zip_file_t *file, int fd, zip_uint64_t size, const char **why) {
    char bytes[1 << 16];
    for (;;) {
        zip_int64_t n = read_some(file, bytes, sizeof bytes, size, why);
        if (n <= 0) return (int)n;
        for (ssize_t at = 0, w; at < n; at += w) {
            w = write(fd, bytes + at, (size_t)(n - at));
            if (w < 0 && errno == EINTR) w = 0;
            if (w < 0) return *why = strerror(errno), -1;
        }
        size -= (zip_uint64_t)n;
    }
}

// a:extract(name or index, path, [limit]): the entry as the new file `path`. a:extract(name or
// index, "folder/", [limit]): under its own name below an existing folder. The path written, or nil
// and why.
static int archive_extract(lua_State *L) {
    zip_t *z = check_zip(L);
    zip_stat_t info;
    const char *target = luaL_checkstring(L, 3);
    int failed = find_entry(L, z, 4, &info);
    if (failed) return failed;
    size_t base = strlen(target);
    int below = base > 0 && target[base - 1] == '/';
    const char *bad = below ? unsafe(info.name) : NULL;
    if (bad) return fail(L, "%s: refused: %s", info.name, bad);
    char path[PATH_LIMIT];
    if (snprintf(path, sizeof path, "%s%s", target, below ? info.name : "") >= (int)sizeof path)
        return fail(L, "%s: the path is too long", target);
    if (below && make_folders(path, base) != 0)
        return fail(L, "cannot make the folder of %s: %s", path, strerror(errno));
    lua_settop(L, 3);
    lua_pushstring(L, path);
    zip_file_t *file = zip_fopen_index(z, info.index, 0);
    if (!file) return fail(L, "%s: cannot unpack: %s", info.name, zip_strerror(z));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    const char *why = NULL;
    char reason[256];
    if (fd < 0 || write_entry(file, fd, info.size, &why) != 0) {
        snprintf(reason, sizeof reason, "%s", why ? why : strerror(errno));
        why = reason;
    }
    zip_fclose(file);
    if (fd >= 0 && close(fd) != 0 && !why) why = strerror(errno);
    if (!why) return 1;
    if (fd >= 0) unlink(path); // ours: O_EXCL made it
    return fail(L, "%s: cannot unpack to %s: %s", info.name, path, why);
}

static const luaL_Reg functions[] = {{"open", zip_module_open}, {"safe_name", safe_name}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"entries", entries},         {"read", archive_read},
                                   {"extract", archive_extract}, {"close", archive_close},
                                   {"__len", archive_length},    {"__gc", archive_close},
                                   {"__close", archive_close},   {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_giemsa_zip(lua_State *L) {
    luaL_newmetatable(L, ZIP_TYPE);
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
