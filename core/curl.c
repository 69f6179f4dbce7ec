// require "giemsa.curl": downloading a file over HTTP(S), by libcurl. A module of its own: only
// downloads need it. What has arrived stays in `path`, so a transfer that broke off goes on where
// it stopped; the caller names a file beside the real one and renames it when it is whole. Ctrl-C
// ends the transfer, not the program.
#include <curl/curl.h>
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;
static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

struct transfer {
    lua_State *L;
    FILE *file;
    int progress;      // index of the function, 0: none
    bool raised;       // it raised: its message is on the stack
    curl_off_t had;    // bytes that were there before
    curl_off_t limit;  // most bytes the file may have; 0: any
    double reported;   // when progress was last called
    bool too_long;
    long status;       // of the last answer
    CURL *curl;
};

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// A server that ignores the range sends the file from its start (200 instead of 206): then we start over as well.
static bool starts_over(struct transfer *t) {
    long status = 0;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    return t->had > 0 && status == 200;
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *data) {
    struct transfer *t = data;
    if (starts_over(t)) {
        if (fseek(t->file, 0, SEEK_SET) != 0 || ftruncate(fileno(t->file), 0) != 0) return 0;
        t->had = 0;
    }
    long at = ftell(t->file);
    if (t->limit > 0 && at + (curl_off_t)(size * count) > t->limit) return t->too_long = true, 0;
    return fwrite(bytes, 1, size * count, t->file);
}

static int on_progress(void *data, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now) {
    struct transfer *t = data;
    (void)up_total, (void)up_now;
    if (interrupted) return 1;
    bool last = total > 0 && now == total;
    if (!t->progress || now == 0 || (!last && seconds() - t->reported < 0.1)) return 0;
    t->reported = seconds();
    lua_pushvalue(t->L, t->progress);
    lua_pushinteger(t->L, (lua_Integer)(t->had + now));
    if (total > 0) lua_pushinteger(t->L, (lua_Integer)(t->had + total));
    else lua_pushnil(t->L);
    t->raised = lua_pcall(t->L, 2, 0, 0) != LUA_OK; // a raise must not jump over libcurl
    return t->raised;
}

static CURLcode run(struct transfer *t, const char *url, char error[CURL_ERROR_SIZE]) {
    curl_easy_setopt(t->curl, CURLOPT_URL, url);
    curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(t->curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(t->curl, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(t->curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(t->curl, CURLOPT_CONNECTTIMEOUT, 20L);
    curl_easy_setopt(t->curl, CURLOPT_LOW_SPEED_LIMIT, 1L); // silence for a minute is a broken line
    curl_easy_setopt(t->curl, CURLOPT_LOW_SPEED_TIME, 60L);
    curl_easy_setopt(t->curl, CURLOPT_USERAGENT, "giemsa");
    char range[32]; // CURLOPT_RESUME_FROM would call a server without ranges an error; we can start over
    snprintf(range, sizeof range, "%lld-", (long long)t->had);
    if (t->had > 0) curl_easy_setopt(t->curl, CURLOPT_RANGE, range);
    curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(t->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(t->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(t->curl, CURLOPT_XFERINFODATA, t);
    struct sigaction action = {.sa_handler = on_interrupt}, before;
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    sigaction(SIGINT, &action, &before);
    CURLcode code = curl_easy_perform(t->curl);
    sigaction(SIGINT, &before, NULL);
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &t->status);
    return code;
}

// nil, message, kind
static int fail(lua_State *L, const char *kind, const char *url, const char *what) {
    lua_pushnil(L);
    lua_pushfstring(L, "cannot download %s: %s", url, what);
    lua_pushstring(L, kind);
    return 3;
}

static int explain(lua_State *L, const struct transfer *t, CURLcode code, const char *url, const char *error) {
    const char *text = *error ? error : curl_easy_strerror(code);
    if (t->too_long) return fail(L, "size", url, "the server sends more than the file should have");
    if (code == CURLE_WRITE_ERROR) return fail(L, "disk", url, strerror(errno));
    if (interrupted) return fail(L, "interrupted", url, "interrupted; what has arrived is kept, call again to go on");
    if (code == CURLE_HTTP_RETURNED_ERROR) return fail(L, t->status == 416 ? "range" : "server", url, text);
    bool network = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
                   code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_OPERATION_TIMEDOUT ||
                   code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION;
    return fail(L, network ? "network" : "broken", url, text);
}

// curl.download(url, path, [{resume = bytes already there, limit = most bytes, progress =
// function(bytes, total or nil)}]): the size of the file, or nil, why, and the kind of trouble:
// "network" (no way to the server), "server" (it says no), "range" (nothing left to send), "broken"
// (broke off), "size", "disk", "interrupted".
static int download(lua_State *L) {
    const char *url = luaL_checkstring(L, 1), *path = luaL_checkstring(L, 2);
    lua_settop(L, 3);
    struct transfer t = {.L = L};
    if (!lua_isnil(L, 3)) {
        luaL_checktype(L, 3, LUA_TTABLE);
        lua_getfield(L, 3, "resume"), t.had = (curl_off_t)luaL_optinteger(L, -1, 0);
        lua_getfield(L, 3, "limit"), t.limit = (curl_off_t)luaL_optinteger(L, -1, 0);
        if (lua_getfield(L, 3, "progress") == LUA_TFUNCTION) t.progress = lua_gettop(L);
    }
    luaL_checkstack(L, 10, NULL);
    t.file = fopen(path, t.had > 0 ? "r+b" : "wb");
    if (!t.file || (t.had > 0 && fseek(t.file, (long)t.had, SEEK_SET) != 0)) {
        int error = errno;
        if (t.file) fclose(t.file);
        lua_pushfstring(L, "cannot write %s: %s", path, strerror(error));
        return fail(L, "disk", url, lua_tostring(L, -1));
    }
    t.curl = curl_easy_init();
    char error[CURL_ERROR_SIZE] = "";
    CURLcode code = t.curl ? run(&t, url, error) : CURLE_OUT_OF_MEMORY;
    long size = ftell(t.file);
    if (fclose(t.file) != 0 && code == CURLE_OK) code = CURLE_WRITE_ERROR;
    if (t.curl) curl_easy_cleanup(t.curl);
    if (t.raised) return lua_error(L);
    if (code != CURLE_OK) return explain(L, &t, code, url, error);
    lua_pushinteger(L, size);
    return 1;
}

static const luaL_Reg functions[] = {{"download", download}, {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_giemsa_curl(lua_State *L) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    luaL_newlib(L, functions);
    return 1;
}
