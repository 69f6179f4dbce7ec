// Messages between processes that do not trust each other: whatever the other side sends, or does not, ends in time.
#include "mem.h"
#include "sandbox.h"
#include "sys.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union descriptor { // aligned as the kernel wants it
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static int wait_until(int fd, short events, double end) {
    for (;;) {
        double left = end - sys_now();
        if (left <= 0) return sys_fail("timed out");
        struct pollfd one = {fd, events, 0};
        int n = poll(&one, 1, left < 3600 ? (int)(left * 1000) + 1 : 3600000);
        if (n > 0) return 0;
        if (n < 0 && errno != EINTR) return sys_fail("%s", strerror(errno));
    }
}

static int send_all(int fd, const char *bytes, size_t size, int passed, double end) {
    union descriptor control = {0};
    while (size > 0) {
        struct iovec part = {(void *)bytes, size};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        if (passed >= 0) {
            message.msg_control = control.bytes, message.msg_controllen = sizeof control.bytes;
            control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
            memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
        }
        ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) bytes += n, size -= (size_t)n, passed = -1;
        else if (errno == EAGAIN) {
            if (wait_until(fd, POLLOUT, end) != 0) return -1;
        } else if (errno != EINTR) return sys_fail("closed");
    }
    return 0;
}

int message_send(int fd, const void *bytes, size_t size, int passed, double seconds) {
    double end = sys_now() + seconds;
    uint64_t length = size;
    return send_all(fd, (const char *)&length, sizeof length, passed, end) == 0 ? send_all(fd, bytes, size, -1, end) : -1;
}

static int receive_all(int fd, char *bytes, size_t size, int *passed, double end) {
    while (size > 0) {
        if (wait_until(fd, POLLIN, end) != 0) return -1;
        union descriptor control = {0};
        struct iovec part = {bytes, size};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        if (passed) message.msg_control = control.bytes, message.msg_controllen = sizeof control.bytes;
        ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n <= 0) return sys_fail("closed");
        if (passed && message.msg_controllen >= CMSG_LEN(sizeof(int)) && control.header.cmsg_type == SCM_RIGHTS) {
            if (*passed >= 0) close(*passed); // one is enough
            memcpy(passed, CMSG_DATA(&control.header), sizeof *passed);
        }
        bytes += n, size -= (size_t)n;
    }
    return 0;
}

char *message_receive(int fd, size_t *size, size_t most, int *passed, double seconds) {
    double end = sys_now() + seconds;
    uint64_t length = 0;
    if (passed) *passed = -1;
    if (receive_all(fd, (char *)&length, sizeof length, passed, end) != 0) return NULL;
    if (length > most) return sys_fail("too long"), NULL;
    char *bytes = mem_alloc((size_t)length + 1);
    if (!bytes) return sys_fail("out of memory"), NULL;
    if (receive_all(fd, bytes, (size_t)length, NULL, end) != 0) return mem_free(bytes), NULL;
    bytes[length] = 0;
    *size = (size_t)length;
    return bytes;
}
