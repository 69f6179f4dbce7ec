// HTTP conversations over a real connection, through the Lua module and libmicrohttpd: whatever bytes come, the server goes on,
// hands over whole requests only, and lets go of all that it held. The first byte says when the client leaves.
#include "fuzz.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

int luaopen_giemsa_microhttpd(lua_State *L);

static const char script[] =
    "local http = ...\n"
    "local server = assert(http.listen{ body_max = 300, connections = 8, backlog = 5000, idle = 1 })\n"
    "local open = {}\n"
    "local function answer(r)\n"
    "  assert(r.method == 'GET' or r.method == 'HEAD' or r.method == 'POST', r.method)\n"
    "  assert(#r.body <= 300 and type(r.path) == 'string')\n"
    "  for name in pairs(r.headers or {}) do assert(not name:find '%u') end\n"
    "  local n = (#r.path + #r.body) % 4\n"
    "  if n == 0 then return end -- nobody answers it\n"
    "  if n == 1 then return r:respond(200, { ['Content-Type'] = 'text/plain' }, r.body) end\n"
    "  local stream = r:stream(200, { ['Content-Type'] = 'text/event-stream' })\n"
    "  stream:write(('x'):rep(#r.path * 100))\n"
    "  if n == 2 then stream:close() else open[#open + 1] = stream end\n"
    "end\n"
    "return server:port(), function()\n"
    "  for _, r in ipairs(server:poll(0)) do answer(r) end\n"
    "  for i = #open, 1, -1 do\n"
    "    assert(open[i]:waiting() <= 5000)\n"
    "    if not open[i]:write 'more' or #open > 3 then table.remove(open, i):close() end\n"
    "  end\n"
    "  collectgarbage 'step'\n"
    "end\n";

enum { DESCRIPTORS = 100 };
static lua_State *L;
static int port;

static void fail(void) { fprintf(stderr, "%s\n", lua_tostring(L, -1)), abort(); }

static void begin(void) {
    L = luaL_newstate();
    luaL_openlibs(L);
    if (luaL_loadstring(L, script) != LUA_OK) fail();
    luaL_requiref(L, "giemsa.microhttpd", luaopen_giemsa_microhttpd, 0);
    if (lua_pcall(L, 1, 2, 0) != LUA_OK) fail();
    port = (int)lua_tointeger(L, 1);
}

static void turn(void) {
    lua_pushvalue(L, 2);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) fail();
}

// Each client has an address of its own, from 127.1.0.0 on: the ports of one would be used up in a minute.
static int connect_client(void) {
    static uint32_t clients;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f010000 + clients++ % 0xf0000)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && fd < DESCRIPTORS); // else connections are not let go of
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        if (errno != EINTR) perror("connect"), abort();
        close(fd); // the fuzzer's clock
        return connect_client();
    }
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)); // no port is kept busy after it
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!L) begin();
    if (size == 0) return 0;
    int fd = connect_client(), turns = 1 + data[0] % 8;
    bool halves = data[0] & 8;
    size_t first = halves ? (size - 1) / 2 : size - 1;
    (void)!send(fd, data + 1, first, MSG_NOSIGNAL);
    for (int i = 0; i < turns; i++) {
        char answer[4096];
        turn();
        if (halves && i == 1) (void)!send(fd, data + 1 + first, size - 1 - first, MSG_NOSIGNAL);
        while (recv(fd, answer, sizeof answer, 0) > 0) {}
    }
    close(fd);
    turn();
    return 0;
}
