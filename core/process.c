// Runs another program: posix_spawnp, three pipes, one poll loop.
#include "process.h"
#include "mem.h"
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { READ = 0, WRITE = 1 };

struct pipes {
    int in[2], out[2], err[2]; // -1: closed
};

static void close_end(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void close_pipes(struct pipes *p) {
    int *ends[] = {p->in, p->out, p->err};
    for (int i = 0; i < 3; i++) close_end(&ends[i][READ]), close_end(&ends[i][WRITE]);
}

// Both ends lie above 2, even in a process whose own stdin is closed: the child's dup2 must not
// meet them.
static int open_pipe(int ends[2]) {
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0) return -1;
    for (int i = 0; i < 2; i++) {
        ends[i] = low[i] > 2 ? low[i] : fcntl(low[i], F_DUPFD_CLOEXEC, 3);
        if (ends[i] != low[i]) close(low[i]);
    }
    return ends[READ] < 0 || ends[WRITE] < 0 ? -1 : 0;
}

static int open_pipes(struct pipes *p) {
    *p = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}};
    if (open_pipe(p->in) == 0 && open_pipe(p->out) == 0 && open_pipe(p->err) == 0) return 0;
    int error = errno;
    close_pipes(p);
    return errno = error, -1;
}

int process_spawn(pid_t *child, char *const argv[], posix_spawn_file_actions_t *files, int group) {
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGINT);
    sigaddset(&usual, SIGPIPE);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes,
                             (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | group));
    int error = posix_spawnp(child, argv[0], files, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    if (error == 0) return 0;
    return sys_fail("cannot run %s: %s", argv[0],
                    error == ENOENT ? "there is no such program" : strerror(error));
}

static int spawn_on_pipes(pid_t *child, char *const argv[], const struct pipes *p) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, p->in[READ], 0);
    posix_spawn_file_actions_adddup2(&files, p->out[WRITE], 1);
    posix_spawn_file_actions_adddup2(&files, p->err[WRITE], 2);
    int status = process_spawn(child, argv, &files, POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_destroy(&files);
    return status;
}

// ---- the conversation

struct text { // grows; one byte is kept free for the 0 at the end
    char *bytes;
    size_t size, room;
};

static int text_reserve(struct text *t, size_t more) {
    if (t->bytes && t->size + more < t->room) return 0;
    size_t room = 2 * (t->size + more + 1);
    char *bytes = room > PROCESS_OUTPUT_MAX ? NULL : mem_resize(t->bytes, room);
    if (!bytes) return sys_fail("its output is too long (%zu bytes so far)", t->size);
    t->bytes = bytes;
    t->room = room;
    return 0;
}

// Reads what is there; closes the end of the pipe at the end of the output.
static int drain(int *fd, struct text *t) {
    if (text_reserve(t, 1 << 16) != 0) return -1;
    ssize_t n = read(*fd, t->bytes + t->size, 1 << 16);
    if (n > 0) t->size += (size_t)n;
    else if (n == 0 || errno != EINTR) close_end(fd);
    return 0;
}

// A program may stop reading before the end; that is its own business, and no reason for us to die
// of SIGPIPE.
static void feed(int *fd, const char **input, size_t *left) {
    ssize_t n = write(*fd, *input, *left < (1 << 16) ? *left : 1 << 16);
    if (n > 0) *input += n, *left -= (size_t)n;
    else if (n < 0 && errno != EINTR && errno != EAGAIN) *left = 0;
    if (*left == 0) close_end(fd);
}

static int converse(struct pipes *p, const char *input, size_t left, struct text *out,
                    struct text *err, double end) {
    if (left == 0) close_end(&p->in[WRITE]);
    else fcntl(p->in[WRITE], F_SETFL, O_NONBLOCK);
    while (p->out[READ] >= 0 || p->err[READ] >= 0) {
        struct pollfd fds[3] = {
            {p->in[WRITE], POLLOUT, 0}, {p->out[READ], POLLIN, 0}, {p->err[READ], POLLIN, 0}};
        double wait = end - sys_now();
        if (wait <= 0) return sys_fail("it did not finish in time and was stopped");
        if (poll(fds, 3, wait < 3600 ? (int)(wait * 1000) + 1 : 3600000) < 0) {
            if (errno == EINTR) continue;
            return sys_fail("%s", strerror(errno));
        }
        if (fds[0].revents) feed(&p->in[WRITE], &input, &left);
        if (fds[1].revents && drain(&p->out[READ], out) != 0) return -1;
        if (fds[2].revents && drain(&p->err[READ], err) != 0) return -1;
    }
    return 0;
}

static void block_sigpipe(sigset_t *before, bool *was_pending) {
    sigset_t pipe_only, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    *was_pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, before);
}

static void unblock_sigpipe(const sigset_t *before, bool was_pending) {
    sigset_t pipe_only;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    if (!was_pending) sigtimedwait(&pipe_only, NULL, &(struct timespec){0, 0});
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

static int wait_for(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return 0; // somebody else waits for all children: take it for success
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void end_text(struct text *t, char **bytes, size_t *size) {
    if (t->bytes) t->bytes[t->size] = 0;
    *bytes = t->bytes;
    *size = t->size;
}

int process_run(struct process_result *result, char *const argv[], const void *input,
                size_t input_size, double seconds) {
    *result = (struct process_result){0};
    struct pipes p;
    pid_t child;
    if (open_pipes(&p) != 0) return sys_fail("cannot run %s: %s", argv[0], strerror(errno));
    if (spawn_on_pipes(&child, argv, &p) != 0) return close_pipes(&p), -1;
    close_end(&p.in[READ]), close_end(&p.out[WRITE]), close_end(&p.err[WRITE]);

    struct text out = {0}, err = {0};
    sigset_t before;
    bool was_pending;
    block_sigpipe(&before, &was_pending);
    int status = converse(&p, input, input_size, &out, &err, sys_now() + seconds);
    close_pipes(&p);
    if (status != 0) kill(-child, SIGKILL);
    unblock_sigpipe(&before, was_pending);

    result->code = wait_for(child);
    end_text(&out, &result->output, &result->output_size);
    end_text(&err, &result->errors, &result->errors_size);
    if (status == 0) return 0;
    char why[512];
    strncpy(why, sys_error(), sizeof why - 1)[sizeof why - 1] = 0;
    return sys_fail("%s: %s", argv[0], why);
}

void process_free(struct process_result *result) {
    mem_free(result->output);
    mem_free(result->errors);
    *result = (struct process_result){0};
}

// ---- programs that live on

enum { STARTED_MAX = 32 };
static pid_t started[STARTED_MAX]; // 0: free

// Collects those that have ended and returns a free place (the last one when all are still
// running).
static pid_t *reap(void) {
    pid_t *place = &started[STARTED_MAX - 1];
    for (int i = 0; i < STARTED_MAX; i++) {
        if (started[i] && waitpid(started[i], NULL, WNOHANG) != 0) started[i] = 0;
        if (!started[i]) place = &started[i];
    }
    return place;
}

int process_start(char *const argv[]) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    pid_t child = 0, *place = reap();
    int status = process_spawn(&child, argv, &files, POSIX_SPAWN_SETSID);
    if (status == 0) *place = child;
    posix_spawn_file_actions_destroy(&files);
    return status;
}
