// The terminal: its size, and one question put to it.
#include "terminal.h"
#include "sys.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static int output = STDOUT_FILENO;

void terminal_set_output(int fd) { output = fd; }

bool terminal_is(int fd) { return isatty(fd == STDOUT_FILENO ? output : fd) == 1; }

int terminal_size(struct terminal_size *size) {
    struct winsize window = {0};
    if (ioctl(output, TIOCGWINSZ, &window) != 0 || window.ws_col == 0)
        return sys_fail("stdout is not a terminal with a size");
    *size =
        (struct terminal_size){window.ws_col, window.ws_row, window.ws_xpixel, window.ws_ypixel};
    return 0;
}

// The answer to "\33[c" is "\33[?", digits and semicolons, "c".
static bool is_complete(const char *reply, int length) {
    const char *end = reply + length;
    for (const char *p = reply; p + 3 < end; p++) {
        if (memcmp(p, "\33[?", 3) != 0) continue;
        const char *q = p + 3;
        while (q < end && ((*q >= '0' && *q <= '9') || *q == ';')) q++;
        if (q < end && *q == 'c') return true;
    }
    return false;
}

static int read_reply(char *reply, double end) {
    int length = 0;
    while (length < TERMINAL_REPLY_MAX && !is_complete(reply, length)) {
        double wait = end - sys_now();
        struct pollfd fd = {STDIN_FILENO, POLLIN, 0};
        if (wait <= 0) break;
        int ready = poll(&fd, 1, (int)(wait * 1000) + 1);
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) break;
        ssize_t n = read(STDIN_FILENO, reply + length, (size_t)(TERMINAL_REPLY_MAX - length));
        if (n <= 0) break;
        length += (int)n;
    }
    return length;
}

int terminal_query(char reply[TERMINAL_REPLY_MAX], const char *text, size_t size, double seconds) {
    struct termios before;
    if (!terminal_is(STDIN_FILENO) || !terminal_is(STDOUT_FILENO))
        return sys_fail("stdin and stdout are not both a terminal");
    if (tcgetpgrp(STDIN_FILENO) != getpgrp()) return sys_fail("this process is in the background");
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return sys_fail("the terminal does not answer: %s", strerror(errno));
    struct termios raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG |
                               IEXTEN); // a Ctrl-C in this moment must not leave the terminal raw
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) != 0)
        return sys_fail("the terminal cannot be asked: %s", strerror(errno));
    int length = 0;
    if (write(output, text, size) == (ssize_t)size)
        length = read_reply(reply, sys_now() + seconds);
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return length;
}

int terminal_key(char key[TERMINAL_KEY_MAX]) {
    struct termios before;
    if (tcgetattr(STDIN_FILENO, &before) != 0) return sys_fail("stdin is not a terminal");
    struct termios raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    ssize_t n;
    do n = read(STDIN_FILENO, key, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1 && *key == '\33') { // the rest of a special key comes at once
        struct pollfd fd = {STDIN_FILENO, POLLIN, 0};
        if (poll(&fd, 1, 30) > 0) n += read(STDIN_FILENO, key + 1, TERMINAL_KEY_MAX - 1);
    }
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    return n > 0 ? (int)n : 0;
}
