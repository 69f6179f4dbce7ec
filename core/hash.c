// require "giemsa.hash": SHA-256 and HMAC with it, by nettle. A module of its own, so that the core needs no nettle.
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lua.h>
#include <nettle/hmac.h>
#include <nettle/sha2.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define HASH_TYPE "giemsa.sha256"

static int push_hex(lua_State *L, const unsigned char digest[SHA256_DIGEST_SIZE]) {
    static const char digits[] = "0123456789abcdef";
    char hex[2 * SHA256_DIGEST_SIZE];
    for (size_t i = 0; i < SHA256_DIGEST_SIZE; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    lua_pushlstring(L, hex, sizeof hex);
    return 1;
}

// nettle starts the context anew.
static int push_digest(lua_State *L, struct sha256_ctx *hash) {
    unsigned char digest[SHA256_DIGEST_SIZE];
    sha256_digest(hash, sizeof digest, digest);
    return push_hex(L, digest);
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
    return push_digest(L, &copy);
}

// hash.sha256(bytes): 64 hex digits.
static int hash_sha256(lua_State *L) {
    size_t size;
    const char *bytes = luaL_checklstring(L, 1, &size);
    struct sha256_ctx hash;
    sha256_init(&hash);
    sha256_update(&hash, size, (const unsigned char *)bytes);
    return push_digest(L, &hash);
}

// hash.hmac_sha256(key, bytes...): 64 hex digits of all the bytes, one after the other, signed with the key.
static int hash_hmac_sha256(lua_State *L) {
    size_t size;
    struct hmac_sha256_ctx hash;
    unsigned char digest[SHA256_DIGEST_SIZE];
    const char *key = luaL_checklstring(L, 1, &size);
    hmac_sha256_set_key(&hash, size, (const unsigned char *)key);
    for (int arg = 2; arg <= lua_gettop(L); arg++) {
        const char *bytes = luaL_checklstring(L, arg, &size);
        hmac_sha256_update(&hash, size, (const unsigned char *)bytes);
    }
    hmac_sha256_digest(&hash, sizeof digest, digest);
    return push_hex(L, digest);
}

// At most so many bytes: 0 at the file's end, -1 on failure.
static ssize_t read_some(struct sha256_ctx *hash, int fd, size_t most) {
    unsigned char bytes[1 << 16];
    ssize_t n = 1;
    for (size_t done = 0; done < most && n > 0; done += (size_t)n) {
        do n = read(fd, bytes, sizeof bytes);
        while (n < 0 && errno == EINTR);
        if (n > 0) sha256_update(hash, (size_t)n, bytes);
    }
    return n;
}

static int nothing(lua_State *L) {
    (void)L;
    return 0;
}

// Whether Ctrl-C is to be obeyed: it sets a hook, which raises in the next call. Leaves the error
// on the stack.
static bool is_interrupted(lua_State *L) {
    lua_pushcfunction(L, nothing);
    return lua_pcall(L, 0, 0, 0) != LUA_OK;
}

// hash.sha256_file(path): 64 hex digits, or nil and why.
static int hash_sha256_file(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    struct sha256_ctx hash;
    sha256_init(&hash);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t status = fd < 0 ? -1 : 1;
    bool interrupted = false;
    while (status > 0 && !(interrupted = is_interrupted(L)))
        status = read_some(&hash, fd, 16 << 20);
    int error = errno;
    if (fd >= 0) close(fd);
    if (interrupted) return lua_error(L);
    if (status == 0) return push_digest(L, &hash);
    lua_pushnil(L);
    lua_pushfstring(L, "cannot read %s: %s", path, strerror(error));
    return 2;
}

static const luaL_Reg methods[] = {{"update", hash_update}, {"hex", hash_hex}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"new", hash_new},
                                     {"sha256", hash_sha256},
                                     {"sha256_file", hash_sha256_file},
                                     {"hmac_sha256", hash_hmac_sha256},
                                     {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_giemsa_hash(lua_State *L) {
    luaL_newmetatable(L, HASH_TYPE);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
