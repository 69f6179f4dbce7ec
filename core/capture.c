// Captured output: two pipes for stdout and stderr, one for events, one for the answers to them. An event is answered when
// all that was in the pipes before it is in the log, so the order of the log is the order in which things were done.
#include "capture.h"
#include "sys.h"
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ = 0, WRITE = 1 };
enum { CHUNK = 1 << 16, TAIL = 2000 };

struct message {
    int32_t cell;
    uint8_t is_live, is_quiet, is_last;
    uint64_t size; // of the line that follows
};

static struct {
    bool started, on;
    pid_t helper;
    int out[2], err[2], events[2], answers[2];
    int terminal_out, terminal_err; // where stdout and stderr went before
} capture;

static void write_all(int *fd, const char *bytes, size_t size) {
    for (ssize_t n; size && *fd >= 0; bytes += n, size -= (size_t)n) {
        n = write(*fd, bytes, size);
        if (n < 0 && errno == EAGAIN) poll(&(struct pollfd){*fd, POLLOUT, 0}, 1, 1000);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) n = 0;
        if (n < 0) *fd = -1, n = 0; // a terminal that was closed
    }
}

static bool read_all(int fd, void *bytes, size_t size) {
    for (char *at = bytes; size;) {
        ssize_t n = read(fd, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n, size -= (size_t)n;
    }
    return true;
}

// ---- the helper

struct stream {
    const char *name;
    int from, to;
    char held[4]; // the first bytes of a character whose last ones have not come yet
    size_t held_size;
};

static struct {
    int log; // -1: it could not be written any more
    off_t log_size;
    const char *log_path;
    size_t shown_max, shown, tail_size; // of the running cell
    uint64_t left_out;
    char tail[TAIL];
    int32_t cell;
    bool is_live, is_quiet, is_broken, is_mid_line;
    struct stream streams[2];
} helper;

// Appends whole lines, or nothing more from now on: a log without its end can be read, one with a hole could not be trusted.
static void write_log(const char *bytes, size_t size) {
    static const off_t most = 1 << 30; // what prints without end must not fill the disk
    if (helper.log < 0) return;
    size_t done = 0;
    int error = helper.log_size + (off_t)size > most ? EFBIG : 0;
    while (!error && done < size) {
        ssize_t n = write(helper.log, bytes + done, size - done);
        if (n > 0) done += (size_t)n;
        else if (n < 0 && errno != EINTR) error = errno;
    }
    if (!error) {
        helper.log_size += (off_t)size;
        return;
    }
    if (ftruncate(helper.log, helper.log_size) != 0) {} // half a line at the end is left out by who reads
    close(helper.log);
    helper.log = -1;
    char note[500];
    int length = snprintf(note, sizeof note, "giemsa: cannot write %.300s: %s; what comes now is shown and not kept\n",
                          helper.log_path, strerror(error));
    write_all(&helper.streams[1].to, note, (size_t)length);
}

// The length of the UTF-8 character at p; 0: none is there; -1: it may go on after the end.
static int character_length(const unsigned char *p, size_t size) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    int length = *p < 0x80 ? 1 : *p >> 5 == 6 ? 2 : *p >> 4 == 14 ? 3 : *p >> 3 == 30 ? 4 : 0;
    if (length < 2) return length;
    uint32_t code = *p & (0x7f >> length);
    for (int i = 1; i < length; i++) {
        if ((size_t)i >= size) return -1;
        if (p[i] >> 6 != 2) return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    bool is_surrogate = code >= 0xd800 && code < 0xe000;
    return code < least[length] || code > 0x10ffff || is_surrogate ? 0 : length;
}

// Writes text as the inside of a JSON string; a byte that is no UTF-8 becomes U+FFFD. Returns the bytes taken: all but the
// beginning of a character at the end.
static size_t append_json(char *out, size_t *out_size, const char *text, size_t size, bool is_end) {
    size_t i = 0, o = 0;
    while (i < size) {
        const unsigned char *p = (const unsigned char *)text + i;
        int length = character_length(p, size - i);
        if (length < 0 && !is_end) break;
        if (length <= 0) o += (size_t)sprintf(out + o, "\\ufffd"), i++;
        else if (*p == '"' || *p == '\\') out[o++] = '\\', out[o++] = text[i++];
        else if (*p == '\n') out[o++] = '\\', out[o++] = 'n', i++;
        else if (*p < 0x20 || *p == 0x7f) o += (size_t)sprintf(out + o, "\\u%04x", *p), i++;
        else memcpy(out + o, p, (size_t)length), o += (size_t)length, i += (size_t)length;
    }
    *out_size = o;
    return i;
}

static void log_stream(struct stream *s, const char *text, size_t size, bool is_end) {
    static char joined[CHUNK + 4], line[6 * (CHUNK + 4) + 100];
    memcpy(joined, s->held, s->held_size);
    memcpy(joined + s->held_size, text, size);
    size += s->held_size;
    int head = helper.cell ? sprintf(line, "{\"event\":\"stream\",\"cell\":%d,\"name\":\"%s\",\"text\":\"", (int)helper.cell, s->name)
                           : sprintf(line, "{\"event\":\"stream\",\"name\":\"%s\",\"text\":\"", s->name);
    size_t length, taken = append_json(line + head, &length, joined, size, is_end);
    s->held_size = size - taken;
    memcpy(s->held, joined + taken, s->held_size);
    if (!taken) return;
    memcpy(line + head + length, "\"}\n", 3);
    write_log(line, (size_t)head + length + 3);
}

static void remember_tail(const char *text, size_t size) {
    if (size > TAIL) text += size - TAIL, size = TAIL;
    size_t kept = helper.tail_size + size > TAIL ? TAIL - size : helper.tail_size;
    memmove(helper.tail, helper.tail + helper.tail_size - kept, kept);
    memcpy(helper.tail + kept, text, size);
    helper.tail_size = kept + size;
}

static void pass_on(struct stream *s, const char *text, size_t size) {
    if (helper.is_quiet) return;
    if (helper.is_live) {
        write_all(&s->to, "\n", 1);
        helper.is_live = false;
        helper.is_broken = true;
    }
    size_t room = helper.shown_max - helper.shown, now = size < room ? size : room;
    write_all(&s->to, text, now);
    if (size) helper.is_mid_line = text[size - 1] != '\n';
    helper.shown += now;
    helper.left_out += size - now;
    remember_tail(text + now, size - now);
}

// The last lines of what was not passed on.
static void end_cell(void) {
    int *to = &helper.streams[0].to;
    if (helper.left_out) {
        bool is_cut = helper.left_out > helper.tail_size;
        char *start = is_cut ? memchr(helper.tail, '\n', helper.tail_size) : NULL;
        size_t skipped = start ? (size_t)(start + 1 - helper.tail) : 0;
        char note[300];
        int size = snprintf(note, sizeof note, "\n[... %llu bytes are not shown; all is in %.200s]\n",
                            (unsigned long long)(helper.left_out - (helper.tail_size - skipped)), helper.log_path);
        if (is_cut) write_all(to, note, (size_t)size);
        write_all(to, helper.tail + skipped, helper.tail_size - skipped);
    }
    helper.shown = helper.left_out = helper.tail_size = 0;
}

static bool pump(struct stream *s) {
    static char bytes[CHUNK];
    ssize_t n = read(s->from, bytes, sizeof bytes);
    if (n <= 0) return false;
    log_stream(s, bytes, (size_t)n, false);
    pass_on(s, bytes, (size_t)n);
    return true;
}

// What is in the pipe now, and no more: a program in the background may never stop writing.
static void drain(struct stream *s) {
    static char bytes[CHUNK];
    int waiting = 0;
    ioctl(s->from, FIONREAD, &waiting);
    while (waiting > 0) {
        ssize_t n = read(s->from, bytes, waiting < CHUNK ? (size_t)waiting : CHUNK);
        if (n <= 0) break;
        log_stream(s, bytes, (size_t)n, false);
        pass_on(s, bytes, (size_t)n);
        waiting -= (int)n;
    }
    if (s->held_size) log_stream(s, "", 0, true);
}

// Answers one event; false after the last.
static bool take_event(int events, int answers) {
    struct message message;
    bool is_there = read_all(events, &message, sizeof message);
    for (int i = 0; i < 2; i++) drain(&helper.streams[i]);
    if (!is_there || message.cell != helper.cell) end_cell();
    if (!is_there) {
        static const char last[] = "{\"event\":\"end\",\"status\":\"killed\"}\n";
        write_log(last, sizeof last - 1);
        return false;
    }
    char *line = malloc(message.size ? message.size : 1);
    if (!line || !read_all(events, line, message.size)) return false;
    write_log(line, message.size);
    free(line);
    char answer = (char)((helper.is_broken ? CAPTURE_BROKE : 0) | (helper.is_mid_line ? CAPTURE_MID_LINE : 0)
                         | (helper.log < 0 ? CAPTURE_LOST : 0));
    helper.cell = message.cell;
    helper.is_live = message.is_live;
    helper.is_quiet = message.is_quiet;
    helper.is_broken = false;
    write_all(&answers, &answer, 1);
    return !message.is_last;
}

static void serve(void) {
    int events = capture.events[READ];
    struct stream *out = &helper.streams[0], *err = &helper.streams[1];
    *out = (struct stream){.name = "stdout", .from = capture.out[READ], .to = capture.terminal_out};
    *err = (struct stream){.name = "stderr", .from = capture.err[READ], .to = capture.terminal_err};
    for (;;) {
        struct pollfd fds[] = {{events, POLLIN, 0}, {out->from, POLLIN, 0}, {err->from, POLLIN, 0}};
        if (poll(fds, 3, -1) < 0) continue;
        if (fds[1].revents && !pump(out)) out->from = -out->from - 1; // closed: not polled any more
        if (fds[2].revents && !pump(err)) err->from = -err->from - 1;
        if (fds[0].revents && !take_event(events, capture.answers[WRITE])) return;
    }
}

static void run_helper(void) {
    setpgid(0, 0); // whoever kills the run with all that it started must not meet the one who tells of it
    for (int i = 0; i < 6; i++) signal((int[]){SIGINT, SIGQUIT, SIGHUP, SIGPIPE, SIGTTOU, SIGXFSZ}[i], SIG_IGN);
    signal(SIGTERM, SIG_IGN); // it ends when the run ends
    close(capture.out[WRITE]), close(capture.err[WRITE]), close(capture.events[WRITE]), close(capture.answers[READ]);
    serve();
    _exit(0);
}

// ---- the run

static int open_pipes(void) {
    int *pipes[] = {capture.out, capture.err, capture.events, capture.answers};
    for (int i = 0; i < 4; i++)
        if (pipe2(pipes[i], O_CLOEXEC) != 0) return sys_fail("cannot make a pipe: %s", strerror(errno));
    capture.terminal_out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    capture.terminal_err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    return 0;
}

int capture_start(const char *log_path, size_t shown_max) {
    if (capture.started) return sys_fail("the output is captured already");
    helper.log = open(log_path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    if (helper.log < 0) {
        int error = errno;
        sys_fail("cannot write %s: %s", log_path, strerror(error));
        return errno = error, -1;
    }
    helper.log_path = log_path;
    helper.shown_max = shown_max;
    if (open_pipes() != 0) return -1;
    fflush(stdout);
    fflush(stderr);
    capture.helper = fork();
    if (capture.helper == 0) run_helper();
    if (capture.helper < 0) return sys_fail("cannot start a process: %s", strerror(errno));
    close(capture.out[READ]), close(capture.err[READ]), close(capture.events[READ]), close(capture.answers[WRITE]);
    close(helper.log);
    signal(SIGPIPE, SIG_IGN); // nobody looks any more: the run goes on
    signal(SIGHUP, SIG_IGN);
    capture.started = true;
    return 0;
}

static void redirect(int out, int err) {
    fflush(stdout);
    fflush(stderr);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
}

void capture_on(void) {
    if (!capture.started || capture.on) return;
    redirect(capture.out[WRITE], capture.err[WRITE]);
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    terminal_set_output(capture.terminal_out);
    capture.on = true;
}

void capture_off(void) {
    if (!capture.on) return;
    redirect(capture.terminal_out, capture.terminal_err);
    terminal_set_output(STDOUT_FILENO);
    capture.on = false;
}

bool capture_is_on(void) { return capture.on; }

static int send_event(const char *line, size_t size, struct message message) {
    message.size = size;
    char answer = 0;
    if (!capture.started) return 0;
    if (capture.on) fflush(stdout), fflush(stderr);
    write_all(&capture.events[WRITE], (const char *)&message, sizeof message);
    write_all(&capture.events[WRITE], line, size);
    read_all(capture.answers[READ], &answer, 1);
    return answer;
}

int capture_event(const char *line, size_t size, int cell, bool is_live, bool is_quiet) {
    return send_event(line, size, (struct message){.cell = cell, .is_live = is_live, .is_quiet = is_quiet});
}

void capture_show(const char *text, size_t size) {
    if (!capture.on) fflush(stdout);
    int fd = capture.started ? capture.terminal_out : STDOUT_FILENO;
    write_all(&fd, text, size);
}

void capture_stop(void) {
    if (!capture.started) return;
    capture_off();
    send_event("", 0, (struct message){.cell = -1, .is_last = true});
    close(capture.events[WRITE]);
    while (waitpid(capture.helper, NULL, 0) < 0 && errno == EINTR) {}
    close(capture.out[WRITE]), close(capture.err[WRITE]), close(capture.answers[READ]);
    close(capture.terminal_out), close(capture.terminal_err);
    capture.started = false;
}
