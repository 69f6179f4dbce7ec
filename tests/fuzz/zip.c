// Zip archives, through the Lua module: whatever stands in the file, every call gives a value or nil and why, nothing is
// longer than allowed, and a name that counts as safe stays below its folder.
#include "script.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int luaopen_giemsa_zip(lua_State *L);

static const char script[] =
    "local zip, path = ...\n"
    "local archive, why = zip.open(path)\n"
    "if not archive then assert(type(why) == 'string') return end\n"
    "local function outcome(value, reason) assert(value or type(reason) == 'string') return value end\n"
    "for i, entry in ipairs(archive:entries()) do\n"
    "  if i > 20 then break end\n"
    "  local bytes = outcome(archive:read(entry.index, 10000))\n"
    "  if bytes then assert(#bytes <= 10000 and #bytes == entry.size) end\n"
    "  outcome(archive:read(entry.name, 100))\n"
    "  if outcome(zip.safe_name(entry.name)) then\n"
    "    assert(not entry.name:find '^/' and not ('/' .. entry.name .. '/'):find('/../', 1, true))\n"
    "  end\n"
    "end\n"
    "outcome(archive:read(#archive + 1)) outcome(archive:read 'no such name')\n"
    "archive:close()\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int fd;
    static char path[64];
    if (!fd) {
        fd = memfd_create("archive", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    call_script(luaopen_giemsa_zip, script, path, strlen(path));
    return 0;
}
