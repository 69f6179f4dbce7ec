// require "giemsa.hash": SHA-256, by nettle. A module of its own, so that the core needs no nettle.
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <nettle/sha2.h>
#include <string.h>
#include <unistd.h>

#define HASH_TYPE "giemsa.sha256"

// Pushes the hex digest; nettle starts the context anew.
static int push_hex(lua_State *L, struct sha256_ctx *hash) {
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[SHA256_DIGEST_SIZE];
    char hex[2 * SHA256_DIGEST_SIZE];
    sha256_digest(hash, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    lua_pushlstring(L, hex, sizeof hex);
    return 1;
}

// hash.new(): an object; h:update(bytes) takes more (returns h), h:hex() gives the digest of all so
// far.
static int hash_new(lua_State *L) {
    sha256_init(lua_newuserdatauv(L, sizeof(struct sha256_ctx), 0));
    luaL_setmetatable(L, HASH_TYPE);
    return 1;
}

static int hash_update(lua_State *L) {
    size_t size;
    struct sha256_ctx *hash = luaL_checkudata(L, 1, HASH_TYPE);
    const char *bytes = luaL_checklstring(L, 2, &size);
    sha256_update(hash, size, (const unsigned char *)bytes);
    lua_settop(L, 1);
    return 1;
}

static int hash_hex(lua_State *L) {
    struct sha256_ctx copy = *(struct sha256_ctx *)luaL_checkudata(L, 1, HASH_TYPE);
    return push_hex(L, &copy);
}

// hash.sha256(bytes): 64 hex digits.
static int hash_sha256(lua_State *L) {
    size_t size;
    const char *bytes = luaL_checklstring(L, 1, &size);
    struct sha256_ctx hash;
    sha256_init(&hash);
    sha256_update(&hash, size, (const unsigned char *)bytes);
    return push_hex(L, &hash);
}

static int read_into(struct sha256_ctx *hash, int fd) {
    unsigned char bytes[1 << 16];
    for (;;) {
        ssize_t n = read(fd, bytes, sizeof bytes);
        if (n == 0) return 0;
        if (n > 0) sha256_update(hash, (size_t)n, bytes);
        else if (errno != EINTR) return -1;
    }
}

// hash.sha256_file(path): 64 hex digits, or nil and why.
static int hash_sha256_file(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    struct sha256_ctx hash;
    sha256_init(&hash);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int status = fd < 0 ? -1 : read_into(&hash, fd), error = errno;
    if (fd >= 0) close(fd);
    if (status == 0) return push_hex(L, &hash);
    lua_pushnil(L);
    lua_pushfstring(L, "cannot read %s: %s", path, strerror(error));
    return 2;
}

static const luaL_Reg methods[] = {{"update", hash_update}, {"hex", hash_hex}, {NULL, NULL}};
static const luaL_Reg functions[] = {
    {"new", hash_new}, {"sha256", hash_sha256}, {"sha256_file", hash_sha256_file}, {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_giemsa_hash(lua_State *L) {
    luaL_newmetatable(L, HASH_TYPE);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
