// Messages of a process that nobody trusts (see sandbox.h), in two pieces, with or without descriptors, whole or not: what is
// taken is what was sent, and no descriptor stays. The first byte says how, the second where the pieces part.
#include "fuzz.h"
#include "mem.h"
#include "sandbox.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 200, LENGTH = sizeof(uint64_t) };
enum { PASS_FIRST = 1, PASS_SECOND = 2, TAKE = 4, WAIT = 0xf8 };

static void send_piece(int fd, const uint8_t *bytes, size_t size, bool passes) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec part = {(void *)bytes, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (passes) message.msg_control = control.bytes, message.msg_controllen = sizeof control.bytes;
    memcpy(CMSG_DATA(&control.header), (int[]){STDERR_FILENO}, sizeof(int));
    if (size) CHECK(sendmsg(fd, &message, 0) == (ssize_t)size);
}

static int open_descriptors(void) {
    int count = 0;
    for (int fd = 0; fd < 16; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void check_received(const char *message, size_t size, const uint8_t *sent, size_t sent_size) {
    CHECK(size <= MOST && size <= sent_size - LENGTH && message[size] == 0);
    CHECK(memcmp(message, sent + LENGTH, size) == 0 && memcmp(&(uint64_t){size}, sent, LENGTH) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    int how = data[0], ends[2], passed = -1, open_before = open_descriptors();
    size_t first = data[1] < size - 2 ? data[1] : size - 2, received = 0;
    bool waits = (how & WAIT) == WAIT; // for what never comes: a millisecond
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    send_piece(ends[1], data + 2, first, how & PASS_FIRST);
    send_piece(ends[1], data + 2 + first, size - 2 - first, how & PASS_SECOND);
    if (!waits) close(ends[1]);
    char *message = message_receive(ends[0], &received, MOST, how & TAKE ? &passed : NULL, waits ? 1e-6 : 1);
    if (message) check_received(message, received, data + 2, size - 2);
    mem_free(message);
    if (passed >= 0) close(passed);
    if (waits) close(ends[1]);
    close(ends[0]);
    CHECK(mem_stats().in_use == 0 && open_descriptors() == open_before);
    return 0;
}
